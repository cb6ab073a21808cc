//! Every bound of the running system, each with its reason. Bounds that belong to the meaning of the log are in
//! `domain::limits`.

use std::time::Duration;

/// Bounds that a deployment may change. All queues are bounded; a full one pauses its source or answers 429.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Commands of one partition that are taken from the inbox and not yet done; beyond it the partition pauses.
    /// A few arbiter milliseconds of work, so that a pause never idles the host.
    pub commands_in_flight: usize,
    /// Bytes of those commands: messages may have 256 kB each.
    pub command_bytes_in_flight: usize,
    /// Requests of one partition that a pool has taken and not answered; beyond it the partition pauses.
    pub requests_in_flight: usize,
    /// Workers of one pool, so invocations at once.
    pub workers_per_pool: usize,
    /// Answers written at once.
    pub synthesis_workers: usize,
    /// Planner calls at once.
    pub planner_calls: usize,
    /// Planner calls that may wait for one of those places.
    pub planner_queue: usize,
    /// HTTP requests that may wait for one conversation.
    pub waiters_per_conversation: usize,
    /// Live conversations of one partition before the longest idle are passivated.
    pub live_conversations: usize,
    /// Idle time after which a conversation is passivated.
    pub passivate_after: Duration,
    /// Snapshots are taken this often…
    pub flush_every: Duration,
    /// …for at most this many conversations at a time, so that a flush stays a short job.
    pub flush_conversations: usize,
    /// Records that a catch-up folds before it flushes and forgets what is closed: bounds its memory.
    pub catch_up_states: usize,
    /// How long a lease outlives the timeout of the work that it covers: queueing and two hops.
    pub lease_margin: Duration,
    /// How long an append may be under way before the same thing is decided again (Kafka's message timeout).
    pub append_timeout: Duration,
    /// Effect ids that a pool remembers as answered…
    pub dedup_entries: u64,
    /// …and for how long: longer than any redelivery, shorter than a day.
    pub dedup_ttl: Duration,
    /// Crashes of a worker with the same invocation in hand before that invocation is answered with an error.
    pub crashes_per_invocation: u32,
    /// Conversations in `history.json`; the longest unchanged leave it.
    pub history_conversations: usize,
    /// Turns kept of each.
    pub history_turns: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commands_in_flight: 512,
            command_bytes_in_flight: 16 << 20,
            requests_in_flight: 512,
            workers_per_pool: 64,
            synthesis_workers: 32,
            planner_calls: 32,
            planner_queue: 1_024,
            waiters_per_conversation: 256,
            live_conversations: 20_000,
            passivate_after: Duration::from_secs(60),
            flush_every: Duration::from_secs(2),
            flush_conversations: 2_000,
            catch_up_states: 50_000,
            lease_margin: Duration::from_secs(5),
            append_timeout: Duration::from_secs(35),
            dedup_entries: 100_000,
            dedup_ttl: Duration::from_secs(3_600),
            crashes_per_invocation: 3,
            history_conversations: 10_000,
            history_turns: 50,
        }
    }
}

/// Mailbox of an actor that takes batches: a few, so that back-pressure reaches the log reader quickly.
pub const BATCH_MAILBOX: usize = 64;
/// Mailbox of a conversation: events come in groups, so that a few dozen messages are many records.
pub const CONVERSATION_MAILBOX: usize = 128;
/// Mailbox of a partition host: batches, flush steps, look-ups from HTTP threads.
pub const HOST_MAILBOX: usize = 1_024;
/// Live followers of one conversation lag at most this many records before they re-read the log.
pub const FOLLOW_RECORDS: usize = 256;
/// Children that one actor shows; the rest is counted.
pub const SHOWN_CHILDREN: usize = 200;
/// How long an actor waits for a child to show itself.
pub const SHOW_TIMEOUT: Duration = Duration::from_millis(500);
/// A full append queue is tried again after this: a few linger-free producer round trips.
pub const FULL_RETRY: Duration = Duration::from_millis(50);
/// Records of a conversation that arrive while it is being loaded; beyond it they are read again from the log.
pub const PENDING_WHILE_LOADING: usize = 1_024;
