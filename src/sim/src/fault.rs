//! What the adversary can do. Each seed draws how often it does each of these.

macro_rules! faults {
    ($($name:ident = $word:literal,)*) => {
        /// One kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Fault { $($name),* }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As the report calls it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

faults! {
    AppendDropped = "append dropped, reported unknown",
    AppendTwice = "append duplicated",
    AppendDelayed = "append delayed",
    AppendUnknown = "append done, reported unknown",
    AppendLate = "append done, reported late",
    AppendComesLater = "append reported unknown, done later",
    AppendFull = "append refused, queue full",
    RecordCopied = "record copied",
    CommandRepeated = "command repeated",
    Garbage = "garbage written",
    ReadDelayed = "read delayed between partitions",
    ReadTwice = "records delivered twice",
    LogAway = "log unavailable",
    CommitLost = "commit lost",
    ActorPanicked = "actor told to panic",
    ActorStopped = "actor told to stop",
    ActorAborted = "actor aborted",
    NodeCrashed = "node crashed at an instant",
    NodeCrashedAtCall = "node crashed at a call",
    NodePaused = "node paused",
    NodeStopped = "node stopped in order",
    NodeFailed = "node gave up",
    OwnerEvicted = "owner evicted, told late",
    StoreLost = "snapshots lost",
    StoreStale = "snapshots stale",
    StoreCorrupted = "snapshot corrupted",
    StoreFailed = "store call failed",
    StoreSlow = "store call slow",
    FlushUnreported = "flush done, reported failed",
    ToolHung = "tool hung",
    ToolFailed = "tool failed",
    ToolPanicked = "tool panicked",
    ToolAnsweredTwice = "tool answered twice",
    ModelFailed = "model failed",
    ModelHung = "model hung",
    ModelPanicked = "model panicked",
    ModelNonsense = "model answered nonsense",
    ClockSkewed = "clock skewed",
}
