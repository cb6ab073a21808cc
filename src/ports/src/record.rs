//! Records and topics as every log carries them.

mod headers;

use bytes::Bytes;

pub use headers::{Header, HeaderList, Headers};

/// The topics that this build uses. Names on the wire may carry a prefix; the adapter adds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    UserCommands,
    ConversationEvents,
    ToolInvocationRequests,
    SynthesisRequests,
    DeadLetterQueue,
    /// The ledger of unsafe and reconcilable tools (`domain::ledger`).
    ToolEffects,
    /// Pieces of answers on their way to whoever watches; the answer itself is an event.
    AnswerChunks,
}

impl Topic {
    pub const ALL: [Self; 7] = [
        Self::UserCommands,
        Self::ConversationEvents,
        Self::ToolInvocationRequests,
        Self::SynthesisRequests,
        Self::DeadLetterQueue,
        Self::ToolEffects,
        Self::AnswerChunks,
    ];

    /// The name without prefix.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserCommands => "user-commands",
            Self::ConversationEvents => "conversation-events",
            Self::ToolInvocationRequests => "tool-invocation-requests",
            Self::SynthesisRequests => "synthesis-requests",
            Self::DeadLetterQueue => "dead-letter-queue",
            Self::ToolEffects => "tool-effects",
            Self::AnswerChunks => "answer-chunks",
        }
    }

    /// The topic of this name, without prefix.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// The longest value that the log takes for this topic; key and headers have a bound of their own.
    #[must_use]
    pub fn max_value_bytes(self) -> usize {
        /// A dead letter keeps whatever a foreign producer got into a topic (Kafka's default: 1 MiB), and with
        /// its headers it stays below the 2 MiB of its own topic.
        const MAX_DEAD_LETTER_BYTES: usize = 1_900_000;
        match self {
            Self::DeadLetterQueue => MAX_DEAD_LETTER_BYTES,
            _ => callboard_domain::limits::MAX_RECORD_BYTES,
        }
    }

    /// Whether its records can be derived again from `conversation-events` (or, as the pieces of an answer, are of no use
    /// once their writer is gone), so that losing the newest of them in a power cut costs nothing and their append need not
    /// wait for an fsync.
    #[must_use]
    pub fn is_derivable(self) -> bool {
        matches!(self, Self::ToolInvocationRequests | Self::SynthesisRequests | Self::AnswerChunks)
    }
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Key and headers of one record together: with the longest value they stay below Kafka's default of 1 MiB.
pub const MAX_KEY_AND_HEADERS_BYTES: usize = 64 * 1024;

/// A record as it was read. Bytes are shared, so cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub topic: Topic,
    pub partition: u32,
    pub offset: u64,
    /// The log's append time, epoch milliseconds.
    pub timestamp_ms: i64,
    /// Empty where the record had no key.
    pub key: Bytes,
    pub headers: Headers,
    /// Empty where the record had no value.
    pub value: Bytes,
}

impl Record {
    /// The value of the first header of this name, when it is UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers.get(name)?).ok()
    }

    /// Bytes of key, value and headers together.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.value.len() + self.headers.as_bytes().len()
    }
}

/// A record about to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    pub topic: Topic,
    pub partition: u32,
    pub key: Bytes,
    pub headers: Headers,
    pub value: Bytes,
}

impl NewRecord {
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.value.len() + self.headers.as_bytes().len()
    }

    /// Why no log takes this record, if it is too large; every adapter asks this before it enqueues anything.
    #[must_use]
    pub fn oversize(&self) -> Option<String> {
        let (value, max) = (self.value.len(), self.topic.max_value_bytes());
        if value > max {
            return Some(format!("its value has {value} bytes; {} takes at most {max}", self.topic));
        }
        let rest = self.size_bytes() - value;
        (rest > MAX_KEY_AND_HEADERS_BYTES).then(|| {
            format!("its key and headers have {rest} bytes; at most {MAX_KEY_AND_HEADERS_BYTES} are allowed")
        })
    }
}
