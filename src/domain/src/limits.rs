//! Every bound that the fold relies on, each with its reason. Bounds of queues and pools live in
//! `actors::limits`; these are part of the meaning of the log and never read from configuration.

/// Conversation and command ids: 128 characters hold a UUID, a hash or a prefixed tenant id.
pub const MAX_ID_BYTES: usize = 128;
/// Step ids are written by models: long enough for a phrase, short enough for a metric label.
pub const MAX_STEP_ID_BYTES: usize = 64;
/// A user's message: with a plan's results it must still fit one record.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// A message as JSON writes it, where control characters take six bytes each: with metadata and envelope it
/// must fit one record, or its event could never be appended.
pub const MAX_WRITTEN_MESSAGE_BYTES: usize = 768 * 1024;
/// Caller's metadata is for routing and display, not for documents.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;
/// An agent's name: a section of the configuration and a metric label.
pub const MAX_AGENT_BYTES: usize = 64;
/// Who asked: an OIDC subject has at most 255 characters.
pub const MAX_PRINCIPAL_BYTES: usize = 256;
/// One record, key and headers apart: below Kafka's default `max.message.bytes` of 1 MiB with head-room.
pub const MAX_RECORD_BYTES: usize = 900_000;
/// One tool result.
pub const MAX_RESULT_BYTES: usize = 256 * 1024;
/// All results of one turn together: message + results + history must fit a synthesis request.
pub const MAX_TURN_RESULTS_BYTES: usize = 384 * 1024;
/// All arguments of one plan version as written, and one step's after its references are resolved.
pub const MAX_ARGUMENTS_BYTES: usize = 256 * 1024;
/// What of earlier turns goes into a plan or synthesis request.
pub const MAX_HISTORY_BYTES: usize = 64 * 1024;
/// Exchanges that a question may bring along: a long talk of short sentences.
pub const MAX_SEED_EXCHANGES: usize = 256;
/// A final answer.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// An error's words: enough for a cause, not for a page of HTML.
pub const MAX_ERROR_BYTES: usize = 2 * 1024;
/// Steps of one plan version; a model that wants more should use `then: continue`.
pub const MAX_STEPS: usize = 32;
/// Plan versions of one turn whatever `max_rounds` says.
pub const MAX_VERSIONS: u32 = 16;
/// Turns waiting behind the running one; the next is refused with `queue_full`.
pub const MAX_QUEUED_TURNS: usize = 64;
/// Closed turns kept in full for the planner…
pub const MAX_CLOSED_TURNS: usize = 20;
/// …as long as they take no more than this together.
pub const MAX_CLOSED_BYTES: usize = 512 * 1024;
/// Command ids remembered: the reach of an idempotency key.
pub const MAX_KNOWN_COMMANDS: usize = 1_024;
/// Attempts of one step whatever its policy says.
pub const MAX_ATTEMPTS: u32 = 20;
/// Steps of one conversation whose outcome nobody knows: each keeps its turn whole until it is settled, and a
/// person can look through this many.
pub const MAX_DOUBTS: usize = 64;
/// Effects of one partition that a ledger's reader keeps in mind, a few hundred bytes each. What is older than
/// that many effects may not be started any more (`not_after`), so forgetting it runs nothing twice.
pub const MAX_LEDGER_EFFECTS: usize = 100_000;

/// How long an approval is waited for where nothing else is said: people have week-ends and days off.
pub const DEFAULT_APPROVAL_TIMEOUT_MS: u64 = 7 * 86_400_000;
/// The longest: every open turn ends some day, by itself.
pub const MAX_APPROVAL_TIMEOUT_MS: u64 = 365 * 86_400_000;

/// Providers that were asked in vain, as a plan or an answer names them: three providers, each tried twice, and some room.
pub const MAX_FAILED_CALLS: usize = 8;
