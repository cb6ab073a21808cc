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
    /// …and what they may come to as snapshots: a conversation with large results counts for many small ones.
    pub live_snapshot_bytes: usize,
    /// Turns that are open in memory on this node; new questions beyond it are answered with 429. Some 25 kB each,
    /// and more than the workers of one node get through while a client is willing to wait.
    pub open_turns: usize,
    /// Idle time after which a conversation is passivated. People answer later than this, programs sooner; and to bring one
    /// back costs less than a millisecond.
    pub passivate_after: Duration,
    /// Snapshots are taken this often…
    pub flush_every: Duration,
    /// …for at most this many conversations at a time, so that a flush stays a short job.
    pub flush_conversations: usize,
    /// States that the catch-up of a partition holds before it flushes and forgets what is closed: bounds its memory, together
    /// with as many that are being written down…
    pub catch_up_states: usize,
    /// …as does this, of a node: bytes of records that its partitions have folded since. What a state takes in memory is about
    /// that, or less.
    pub catch_up_bytes: usize,
    /// Crashes of a conversation over the same command before that command is given up as poison.
    pub crashes_per_command: u32,
    /// How long a lease outlives the timeout of the work that it covers: queueing and two hops.
    pub lease_margin: Duration,
    /// How long an append may be under way before the same thing is decided again (Kafka's message timeout).
    pub append_timeout: Duration,
    /// Effect ids that a pool remembers as answered…
    pub dedup_entries: usize,
    /// …and for how long: longer than any redelivery, shorter than a day.
    pub dedup_ttl: Duration,
    /// Crashes of a worker or process with the same invocation in hand before it is poison: answered with an error and
    /// dead-lettered.
    pub crashes_per_invocation: u32,
    /// An effect is run within this of the append of its reservation, or not at all: two round trips to a log under load.
    /// Whoever finds a reservation without a result waits this and the tool's timeout, so more would delay a doubt.
    pub claim: Duration,
    /// Consecutive failures of a tool that open its circuit breaker: more than the attempts of one unlucky step.
    pub breaker_failures: u32,
    /// First pause of an open breaker; twice as long after every trial that fails.
    pub breaker_pause: Duration,
    /// Conversations in `history.json`; the longest unchanged leave it.
    pub history_conversations: usize,
    /// Turns kept of each.
    pub history_turns: usize,
    /// A supervisor asks its children this often whether they are alive…
    pub heartbeat_every: Duration,
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
            live_snapshot_bytes: 16 << 20,
            open_turns: 2_048,
            passivate_after: Duration::from_secs(15),
            flush_every: Duration::from_secs(2),
            flush_conversations: 2_000,
            catch_up_states: 10_000,
            catch_up_bytes: 512 << 20,
            crashes_per_command: 3,
            lease_margin: Duration::from_secs(5),
            append_timeout: Duration::from_secs(35),
            dedup_entries: 100_000,
            dedup_ttl: Duration::from_secs(3_600),
            crashes_per_invocation: 3,
            claim: Duration::from_secs(10),
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(10),
            history_conversations: 10_000,
            history_turns: 50,
            heartbeat_every: Duration::from_secs(1),
        }
    }
}

/// Mailbox of an actor that takes batches: a few, so that back-pressure reaches the log reader quickly.
pub const BATCH_MAILBOX: usize = 64;
/// Mailbox of a conversation: events come in groups, so that a few dozen messages are many records.
pub const CONVERSATION_MAILBOX: usize = 128;
/// Mailbox of a partition host: batches, flush steps, look-ups from HTTP threads.
pub const HOST_MAILBOX: usize = 1_024;
/// …and gives a child up that has left so many of these times unanswered: a full mailbox of the largest batches is worked
/// off in about one second, and whoever hangs is noticed before the patience of a client ends.
pub const HEARTBEATS_MISSED: u32 = 5;
/// A watchdog that is itself later than this starts all counts again: everybody stood still (SIGSTOP, a closed lid).
pub const LATE: Duration = Duration::from_secs(1);
/// Arbiters are asked this often whether they run…
pub const ARBITER_TICK: Duration = Duration::from_millis(250);
/// …and abandoned after this silence: a hundred times the longest honest work of one handler, and less than the 5 s after
/// which Kafka memberships give back everything.
pub const ARBITER_WEDGED_AFTER: Duration = Duration::from_secs(4);
/// So many wedged arbiters end the process: each leaves a thread behind that nobody can end, and what wedged two of them
/// will wedge the next.
pub const ARBITERS_WEDGED: u32 = 2;
/// Commands pause at so many times the open turns that a node may have. Whoever asks over HTTP is refused at once that many,
/// so that what ends turns (cancel, settle, approve) still gets through; this is for those who write to the topic themselves.
pub const OPEN_TURNS_PAUSE: usize = 2;
/// A partition whose commands wait for turns to end looks this often whether enough have: a few times a turn's length.
pub const HELD_RETRY: Duration = Duration::from_millis(100);
/// Paths that an unknown path is answered with.
pub const NEAR_PATHS: usize = 5;
/// Whoever finds an actor being restarted asks again after this: less than the shortest back-off.
pub const RESTART_RETRY: Duration = Duration::from_millis(10);
/// Live followers of one conversation lag at most this many records before they re-read the log.
pub const FOLLOW_RECORDS: usize = 256;
/// Answers that clients of this node may watch at once: with the longest of all answers 128 MB…
pub const ANSWER_STREAMS: usize = 512;
/// …and clients that may watch one of them.
pub const ANSWER_STREAMS_OF_ONE: usize = 64;
/// Newest records of a partition of `answer-chunks` that are read again for whoever joins late: a minute of one answer, or
/// seconds of a busy partition.
pub const CHUNKS_READ_BACK: u64 = 2_000;
/// Children that one actor shows; the rest is counted.
pub const SHOWN_CHILDREN: usize = 200;
/// How long an actor waits for a child to show itself.
pub const SHOW_TIMEOUT: Duration = Duration::from_millis(500);
/// A full append queue is tried again after this: a few linger-free producer round trips.
pub const FULL_RETRY: Duration = Duration::from_millis(50);
/// Records of a conversation that arrive while it is being loaded; beyond it they are read again from the log.
pub const PENDING_WHILE_LOADING: usize = 1_024;
/// An open circuit breaker tries again at least this often: a service that is back is used within a minute.
pub const BREAKER_LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Tools whose failures are counted: more than any configuration names, so that foreign names cannot fill the memory.
pub const BREAKER_TOOLS: usize = 1_024;
/// Entries of one partition's open index that one question looks at: a few milliseconds of its arbiter.
pub const OPEN_SCAN: usize = 10_000;
/// Open turns of one page: their states are read one by one.
pub const OPEN_PAGE: usize = 200;
/// Conversations of one partition that are read at once to bring them back: enough to keep the store's thread busy, few
/// enough that somebody who asks for another one is served in between.
pub const RESUMES_AT_ONCE: usize = 64;
/// States launched in one go at a start; then whoever waits is heard.
pub const LAUNCHES_AT_ONCE: usize = 256;
/// Conversations that clients ask for while a partition catches up; those go first.
pub const WANTED_FIRST: usize = 1_024;
/// Offsets of records that no stored snapshot covers, of one partition: 32 MB. A store that takes none for so long is given
/// up, and the partition goes on without.
pub const UNCOVERED_OFFSETS: usize = 4_000_000;
/// A partition without snapshots looks this often, at first, whether its store works again…
pub const STORE_PROBE: Duration = Duration::from_secs(60);
/// …and at last this often: every success costs a rebuild from the log.
pub const STORE_PROBE_LONGEST: Duration = Duration::from_secs(3_600);
/// A store that is found corrupt a second time within this is not rebuilt again.
pub const STORE_TROUBLE: Duration = Duration::from_secs(600);
/// Gauges that need a look around (open turns, lag) are set this often: what people watch, not what anything waits for.
pub const GAUGES_EVERY: Duration = Duration::from_secs(2);
/// Requests done behind one that takes long are committed this often: a crash repeats fewer of them, and a commit is cheap
/// beside so many answers.
pub const COMMIT_LATER_EVERY: usize = 16;
/// Effects that a pool remembers as called off; each is also told again by its host until nobody may start it.
pub const CALLED_OFF: usize = 10_000;
