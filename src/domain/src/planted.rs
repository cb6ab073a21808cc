//! Planted defects: wrong turns that a simulation run switches on to prove that it would notice them. Without the
//! feature `planted`, [`is`] is the constant `false` and nothing of this is compiled in; with it, every defect is off
//! until a run switches one on for its own thread.
//!
//! Neighbours: whoever asks [`is`] (the fold here, and the actors), and the simulation, which calls `switch`.

macro_rules! defects {
    ($($name:ident = $word:literal, $says:literal;)*) => {
        /// What can be done wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Defect { $(#[doc = $says] $name),* }

        impl Defect {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// What is done wrong, in a sentence.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self { $(Self::$name => $says),* }
            }
        }
    };
}

defects! {
    SkipDedup = "skip-dedup", "A command id that is known already makes another turn";
    ApplyBeforeLog = "apply-before-log", "A decided event is folded before it has been read back";
    PositionAsCheckpoint = "position-as-checkpoint", "The checkpoint is the position, whatever the stored snapshots cover";
    CommitTooEarly = "commit-too-early", "A command's offset is committed when it is taken, not when it is done";
    StaleSnapshot = "stale-snapshot", "A snapshot claims records that its state has not folded";
    DropLease = "drop-lease", "What is under way is forgotten at once, so that every step asks for it again";
    IgnoreNotAfter = "ignore-not-after", "A request is run however late it is";
    WriterNumbersTurns = "writer-numbers-turns", "A turn has the number that its writer gave it";
    SecondTerminal = "second-terminal", "A terminal event replaces the one that took effect";
    ForgetDeadLetter = "forget-dead-letter", "A record is done before its dead letter is written";
    IssueAfterRevocation = "issue-after-revocation", "A host goes on when its partition has been taken away";
    ForgetDue = "forget-due", "A recovered conversation does not look at what is due";
    CountResultTwice = "count-result-twice", "A result replaces the one that counted";
    SkipAtTheSeam = "skip-at-the-seam", "The tail starts behind the first record after the catch-up";
    NeverPause = "never-pause", "A full window does not pause its partition";
    RunUnreserved = "run-unreserved", "An effect is run without reading one's own Reserved back";
    RunAgainBlindly = "run-again-blindly", "An abandoned unsafe effect is run again instead of being in doubt";
    RunUnapproved = "run-unapproved", "A step that needs approval is run without asking for it";
    ShowTornAnswer = "show-torn-answer", "A watched answer is shown although a piece of it is missing";
    IgnoreSettlement = "ignore-settlement", "A person's word about a step in doubt changes nothing";
}

impl Defect {
    /// The defect of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|defect| defect.name() == name)
    }
}

/// Whether `defect` is switched on for this thread.
#[cfg(not(feature = "planted"))]
#[inline]
#[must_use]
pub const fn is(_: Defect) -> bool {
    false
}

#[cfg(feature = "planted")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Defect>> = const { std::cell::Cell::new(None) };
}

/// Whether `defect` is switched on for this thread.
#[cfg(feature = "planted")]
#[inline]
#[must_use]
pub fn is(defect: Defect) -> bool {
    ACTIVE.get() == Some(defect)
}

/// Switches a defect on for this thread, or all of them off. Gives what was on.
#[cfg(feature = "planted")]
pub fn switch(to: Option<Defect>) -> Option<Defect> {
    ACTIVE.replace(to)
}
