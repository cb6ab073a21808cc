//! Planted defects: wrong turns that a simulation run switches on to prove that it would notice them. Without the
//! feature `planted`, [`is`] is the constant `false` and nothing of this is compiled in; with it, every defect is off
//! until a run switches one on for its own thread.
//!
//! Neighbours: whoever asks [`is`] (the fold here, and the actors), and the simulation, which calls `switch`.

/// What can be done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Defect {
    /// A command id that is known already makes another turn.
    SkipDedup,
    /// A decided event is folded before it has been read back.
    ApplyBeforeLog,
    /// The checkpoint is the position, whatever the stored snapshots cover.
    PositionAsCheckpoint,
    /// A command's offset is committed when it is taken, not when it is done.
    CommitTooEarly,
    /// A snapshot claims records that its state has not folded.
    StaleSnapshot,
    /// What is under way is forgotten at once, so that every step asks for it again.
    DropLease,
    /// A request is run however late it is.
    IgnoreNotAfter,
    /// A turn has the number that its writer gave it.
    WriterNumbersTurns,
    /// A terminal event replaces the one that took effect.
    SecondTerminal,
    /// A record is done before its dead letter is written.
    ForgetDeadLetter,
    /// A host goes on when its partition has been taken away.
    IssueAfterRevocation,
    /// A recovered conversation does not look at what is due.
    ForgetDue,
    /// A result replaces the one that counted.
    CountResultTwice,
    /// The tail starts behind the first record after the catch-up.
    SkipAtTheSeam,
    /// A full window does not pause its partition.
    NeverPause,
    /// An effect is run without reading one's own Reserved back.
    RunUnreserved,
    /// An abandoned unsafe effect is run again instead of being in doubt.
    RunAgainBlindly,
    /// A person's word about a step in doubt changes nothing.
    IgnoreSettlement,
}

impl Defect {
    pub const ALL: [Self; 18] = [
        Self::SkipDedup,
        Self::ApplyBeforeLog,
        Self::PositionAsCheckpoint,
        Self::CommitTooEarly,
        Self::StaleSnapshot,
        Self::DropLease,
        Self::IgnoreNotAfter,
        Self::WriterNumbersTurns,
        Self::SecondTerminal,
        Self::ForgetDeadLetter,
        Self::IssueAfterRevocation,
        Self::ForgetDue,
        Self::CountResultTwice,
        Self::SkipAtTheSeam,
        Self::NeverPause,
        Self::RunUnreserved,
        Self::RunAgainBlindly,
        Self::IgnoreSettlement,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SkipDedup => "skip-dedup",
            Self::ApplyBeforeLog => "apply-before-log",
            Self::PositionAsCheckpoint => "position-as-checkpoint",
            Self::CommitTooEarly => "commit-too-early",
            Self::StaleSnapshot => "stale-snapshot",
            Self::DropLease => "drop-lease",
            Self::IgnoreNotAfter => "ignore-not-after",
            Self::WriterNumbersTurns => "writer-numbers-turns",
            Self::SecondTerminal => "second-terminal",
            Self::ForgetDeadLetter => "forget-dead-letter",
            Self::IssueAfterRevocation => "issue-after-revocation",
            Self::ForgetDue => "forget-due",
            Self::CountResultTwice => "count-result-twice",
            Self::SkipAtTheSeam => "skip-at-the-seam",
            Self::NeverPause => "never-pause",
            Self::RunUnreserved => "run-unreserved",
            Self::RunAgainBlindly => "run-again-blindly",
            Self::IgnoreSettlement => "ignore-settlement",
        }
    }

    /// The defect of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|defect| defect.name() == name)
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
