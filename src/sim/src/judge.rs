//! The verdict on a run: what the topics, the actors, the disks and the service outside say, judged by `domain::audit`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use callboard_domain::audit::{self, Execution, Report, Violation};
use callboard_domain::conversation::{Recorded, TurnStatus};
use callboard_domain::id::ConversationId;
use callboard_domain::plan::EffectClass;
use callboard_domain::request::Request;
use callboard_domain::{State, wire};
use callboard_ports::dead_letter;
use callboard_ports::partition::partition_of;
use callboard_ports::record::{Record, Topic};
use callboard_ports::snapshot;

use crate::director::Director;
use crate::disk::Shelf;
use crate::inbox::Backlog;
use crate::world::{World, read};

/// What a run comes to.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    pub report: Report,
    pub violations: Vec<Violation>,
    pub ledger: Ledgered,
}

/// How much there was to be careful about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ledgered {
    /// Unsafe and reconcilable effects that were done.
    pub effects: u64,
    pub reserved: u64,
    pub doubts: u64,
    pub settled: u64,
    /// Approvals that were asked for, and words that were said.
    pub asked: u64,
    pub decided: u64,
    pub dead_letters: u64,
    /// Writings of an answer of which somebody heard something before it was there.
    pub heard: u64,
}

impl Ledgered {
    fn of(world: &World, executions: &[Execution]) -> Self {
        let guarded = |e: &&Execution| matches!(e.class, EffectClass::Unsafe | EffectClass::Reconcilable);
        let is = |record: &&Record, kind: &str| {
            record.value.windows(kind.len()).any(|part| part == kind.as_bytes())
        };
        let count =
            |topic, kind: &str| world.log.records(topic).iter().filter(|r| is(r, kind)).count() as u64;
        Self {
            effects: executions.iter().filter(guarded).count() as u64,
            reserved: count(Topic::ToolEffects, "\"EffectReserved\""),
            doubts: count(Topic::ConversationEvents, "\"ToolInvocationInDoubt\""),
            settled: count(Topic::ConversationEvents, "\"InvocationSettled\""),
            asked: count(Topic::ConversationEvents, "\"ApprovalRequested\""),
            decided: count(Topic::ConversationEvents, "\"ApprovalRecorded\""),
            dead_letters: world.log.records(Topic::DeadLetterQueue).len() as u64,
            heard: world.audience.heard(),
        }
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: Self) {
        self.effects += other.effects;
        self.reserved += other.reserved;
        self.doubts += other.doubts;
        self.settled += other.settled;
        self.asked += other.asked;
        self.decided += other.decided;
        self.dead_letters += other.dead_letters;
        self.heard += other.heard;
    }
}

/// Every conversation's records, in log order.
type Conversations = BTreeMap<ConversationId, Vec<Recorded>>;

fn conversations(world: &World) -> Conversations {
    let mut all = Conversations::new();
    for record in world.log.records(Topic::ConversationEvents) {
        if let Some((conversation, recorded)) = read(&record, world.mix.partitions) {
            all.entry(conversation).or_default().push(recorded);
        }
    }
    all
}

/// What the actors hold of each conversation, asked of them while they run. `None`: nobody says.
pub async fn live_states(director: &Director) -> BTreeMap<ConversationId, Option<State>> {
    let mut states = BTreeMap::new();
    for (id, records) in conversations(&director.world) {
        let end = records.last().map_or(0, |record| record.offset + 1);
        states.insert(id.clone(), live_state(director, &id, end).await);
    }
    states
}

/// A live state that has seen the whole log; the last one that was seen where none ever has.
async fn live_state(director: &Director, id: &ConversationId, end: u64) -> Option<State> {
    const TRIES: u32 = 120;
    const ONE_TRY: Duration = Duration::from_secs(5);
    let mut seen = None;
    for _ in 0..TRIES {
        let hosts = director.processes.iter().filter(|process| process.hosts());
        for node in hosts.filter_map(|process| process.active()).map(|running| &running.node) {
            if let Ok(Ok(state)) = tokio::time::timeout(ONE_TRY, node.read(id, State::clone)).await {
                if state.next_offset >= end {
                    return Some(state);
                }
                seen = Some(state);
            }
        }
        director.world.pass(500).await;
    }
    seen
}

/// Judges a run that has come to rest.
#[must_use]
pub fn judge(director: &Director, live: &BTreeMap<ConversationId, Option<State>>) -> Verdict {
    let world = &director.world;
    let mut verdict = Verdict::default();
    let all = conversations(world);
    for (id, records) in &all {
        let report = audit::conversation(id, records, true);
        verdict.violations.extend(report.violations.iter().cloned());
        verdict.report.merge(report);
        let replayed = audit::replay(id, records);
        match live.get(id) {
            Some(Some(live)) => verdict.violations.extend(audit::replay_equals_live(live, &replayed)),
            _ => verdict.violations.push(Violation {
                invariant: "readable",
                conversation: id.clone(),
                detail: "no node shows it, though all run and nothing is wrong any more".into(),
            }),
        }
    }
    for (id, commands) in &world.known().acknowledged {
        let state = audit::replay(id, all.get(id).map_or(&[], Vec::as_slice));
        verdict.violations.extend(audit::accepted_is_durable(commands, &state));
    }
    for (id, turn) in &director.encore {
        let state = audit::replay(id, all.get(id).map_or(&[], Vec::as_slice));
        let status = state.known(turn.as_str()).map(|known| known.status);
        if status != Some(TurnStatus::Answered) {
            verdict.violations.push(Violation {
                invariant: "serves_again",
                conversation: id.clone(),
                detail: format!("nothing was wrong any more, and the turn {turn} is {status:?}"),
            });
        }
    }
    let undone = |backlog: &Backlog| Violation {
        invariant: "everything_is_done",
        conversation: ConversationId::new(&format!("partition-{}", backlog.partition))
            .expect("letters are an id"),
        detail: format!("{} has done {} of {}", backlog.group, backlog.committed, backlog.end),
    };
    verdict.violations.extend(director.backlogs.iter().map(undone));
    let executions = world.outside.executions();
    verdict.ledger = Ledgered::of(world, &executions);
    verdict.violations.extend(audit::unsafe_at_most_once(&executions));
    let tolerance_ms = 2 * world.mix.skews_ms.iter().map(|skew| skew.unsigned_abs()).max().unwrap_or(0) + 100;
    verdict.violations.extend(audit::started_in_time(&executions, &not_after(world), tolerance_ms));
    verdict.violations.extend(audit::given_up_is_kept(&unreadable(world), &letters(world)));
    verdict.violations.extend(audit::nothing_after_revocation(world.ownership().trespasses()));
    verdict.violations.extend(director.overflows.iter().cloned());
    verdict.violations.extend(world.audience.violations());
    for process in &director.processes {
        for (partition, shelf) in &*process.disk.shelves() {
            let here = |id: &ConversationId| {
                partition_of(id.as_str().as_bytes(), world.mix.partitions) == *partition
            };
            for (id, records) in all.iter().filter(|(id, _)| here(id)) {
                verdict.violations.extend(disk(&process.name, *partition, shelf, id, records));
            }
        }
    }
    if world.mix.calm {
        exact(world, &mut verdict.violations);
    }
    verdict
}

/// Until when each attempt may be started, by what was requested.
fn not_after(world: &World) -> BTreeMap<(String, u32), i64> {
    let mut until: BTreeMap<(String, u32), i64> = BTreeMap::new();
    for record in world.log.records(Topic::ToolInvocationRequests) {
        if let Ok((_, Request::ToolInvocationRequested(body))) = wire::read_request(&record.value) {
            let of = until.entry((body.effect_id.to_string(), body.attempt)).or_insert(i64::MIN);
            *of = (*of).max(body.not_after_ms);
        }
    }
    until
}

/// Records that nobody can read, as their dead letters name them.
fn unreadable(world: &World) -> BTreeSet<String> {
    let partitions = world.mix.partitions;
    let misrouted = |record: &Record| partition_of(&record.key, partitions) != record.partition;
    let readable = |record: &Record| match record.topic {
        Topic::ConversationEvents => {
            wire::read_event(&record.key, &record.value).is_ok() && !misrouted(record)
        }
        Topic::UserCommands => wire::read_command(&record.key, &record.value).is_ok() && !misrouted(record),
        Topic::ToolInvocationRequests => matches!(
            wire::read_request(&record.value),
            Ok((_, Request::ToolInvocationRequested(_) | Request::ToolInvocationCancelled(_)))
        ),
        Topic::SynthesisRequests => {
            matches!(wire::read_request(&record.value), Ok((_, Request::SynthesizeFinalAnswerRequested(_))))
        }
        Topic::DeadLetterQueue | Topic::ToolEffects | Topic::AnswerChunks => true,
    };
    let records = Topic::ALL.into_iter().flat_map(|topic| world.log.records(topic));
    let unreadable = records.filter(|record| !readable(record));
    unreadable.map(|record| dead_letter::id(record.topic, record.partition, record.offset)).collect()
}

fn letters(world: &World) -> BTreeSet<String> {
    let letters = world.log.records(Topic::DeadLetterQueue);
    letters.iter().filter_map(|letter| letter.header("callboard-dlq-id").map(str::to_owned)).collect()
}

/// What a disk holds of a conversation is a fold of the log, and covers what its checkpoint says.
fn disk(
    name: &str,
    partition: u32,
    shelf: &Shelf,
    id: &ConversationId,
    records: &[Recorded],
) -> Vec<Violation> {
    let Some(checkpoint) = &shelf.checkpoint else { return Vec::new() };
    let kept = shelf.conversations.get(id);
    let bytes = kept.and_then(|kept| kept.stored.snapshot.as_deref());
    // One that does not verify is not used.
    let decode = |bytes| snapshot::decode(bytes, id, partition, &checkpoint.identity, u64::MAX).ok();
    let state = bytes.and_then(decode);
    let mut violations = Vec::new();
    if let Some(state) = &state {
        let known: Vec<Recorded> =
            records.iter().filter(|record| record.offset < state.next_offset).cloned().collect();
        if let Some(differs) = audit::replay_equals_live(state, &audit::replay(id, &known)) {
            let detail = format!("on the disk of {name}: {}", differs.detail);
            violations.push(Violation { invariant: "snapshot_is_a_fold", detail, ..differs });
        }
    }
    let folded = state.map_or(0, |state| state.next_offset);
    let indexed = |offset: &u64| {
        kept.is_some_and(|kept| kept.stored.offsets.iter().any(|range| range.contains(offset)))
    };
    let mut below = records.iter().map(|record| record.offset).filter(|offset| *offset >= folded);
    let lost = below.find(|offset| *offset < checkpoint.next_offset && !indexed(offset));
    violations.extend(lost.map(|lost| Violation {
        invariant: "checkpoint_is_covered",
        conversation: id.clone(),
        detail: format!(
            "the disk of {name} has partition {partition} up to {}, and {lost} in neither snapshot nor index",
            checkpoint.next_offset
        ),
    }));
    violations
}

/// Where nothing went wrong, nothing was asked for or done twice.
fn exact(world: &Arc<World>, violations: &mut Vec<Violation>) {
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    let mut of: BTreeMap<String, ConversationId> = BTreeMap::new();
    for topic in [Topic::ToolInvocationRequests, Topic::SynthesisRequests] {
        for record in world.log.records(topic) {
            let Ok((meta, request)) = wire::read_request(&record.value) else { continue };
            let what = match request {
                Request::ToolInvocationRequested(body) => body.effect_id.invocation(body.attempt),
                Request::ToolInvocationCancelled(body) => {
                    format!("cancel {}#{}", body.effect_id, body.attempt)
                }
                Request::SynthesizeFinalAnswerRequested(body) => {
                    let command = meta.command.map(|command| command.to_string()).unwrap_or_default();
                    format!("answer {command} {}", body.version)
                }
            };
            of.insert(what.clone(), meta.conversation);
            *times.entry(what).or_default() += 1;
        }
    }
    for (what, times) in times.iter().filter(|(_, times)| **times > 1) {
        let detail = format!("nothing went wrong, and {what} was requested {times} times");
        violations.push(Violation { invariant: "asked_once", conversation: of[what].clone(), detail });
    }
}
