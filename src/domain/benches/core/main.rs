//! What the core costs on one thread: `cargo bench -p callboard-domain`. The fold from events and from bytes, `due`, plan
//! validation, and the codec of every record type, on the golden records.

mod turn;

use std::fmt;
use std::path::Path;

use callboard_domain::chunk::AnswerChunk;
use callboard_domain::command::Command;
use callboard_domain::conversation::State;
use callboard_domain::due::{Due, due};
use callboard_domain::event::{Event, PlanGenerated};
use callboard_domain::ledger::Entry;
use callboard_domain::plan::{PlanReason, validate};
use callboard_domain::request::Request;
use callboard_domain::wire::{self, Readable, Stamp};
use callboard_domain::{CommandId, ConversationId, apply};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Events a second of one core, decoded already: what a replay adds to decoding.
#[divan::bench]
fn fold_events(bencher: Bencher<'_, '_>) {
    let records = turn::records();
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| {
        let mut state = State::new(turn::conversation());
        for record in black_box(&records) {
            apply(&mut state, record);
        }
        state
    });
}

/// Events a second of one core, from the bytes of the log.
#[divan::bench]
fn fold_bytes(bencher: Bencher<'_, '_>) {
    let written = turn::written();
    bencher
        .counter(ItemsCount::new(written.len()))
        .counter(BytesCount::new(written.iter().map(Vec::len).sum::<usize>()))
        .bench_local(|| turn::fold(turn::read(black_box(&written))));
}

/// With three steps to request, beside the newest turns in full.
#[divan::bench]
fn due_with_three_steps(bencher: Bencher<'_, '_>) {
    let state = turn::in_flight();
    let now_ms = state.clock_ms;
    assert_eq!(due(&state, now_ms).effects.len(), turn::STEPS);
    bencher.bench_local(|| -> Due { due(black_box(&state), now_ms) });
}

#[divan::bench]
fn due_at_rest(bencher: Bencher<'_, '_>) {
    let state = turn::fold(turn::records().into_iter());
    let now_ms = state.clock_ms;
    assert!(due(&state, now_ms).effects.is_empty());
    bencher.bench_local(|| due(black_box(&state), now_ms));
}

#[divan::bench(args = [1, 3, 9, 32])]
fn validate_parallel(bencher: Bencher<'_, '_>, steps: usize) {
    validated(bencher, steps, false);
}

#[divan::bench(args = [3, 9, 32])]
fn validate_chained(bencher: Bencher<'_, '_>, steps: usize) {
    validated(bencher, steps, true);
}

fn validated(bencher: Bencher<'_, '_>, steps: usize, chained: bool) {
    let proposal = turn::proposal(steps, chained);
    bencher.bench_local(|| -> PlanGenerated {
        validate(black_box(&proposal), &turn::Echo, turn::builtin(), 1, PlanReason::First)
            .expect("a plan of known tools")
    });
}

/// A golden record, and what it says.
struct Golden {
    name: String,
    bytes: Vec<u8>,
    body: Body,
}

enum Body {
    Command(Command),
    Event(Event),
    Request(Request),
    Effect(Entry),
    Chunk(AnswerChunk),
}

impl fmt::Display for Golden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The key of every golden record.
const KEY: &str = "conversation-1";

/// One record of every type and form.
fn golden() -> Vec<Golden> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1"));
    let mut all = Vec::new();
    for kind in ["command", "event", "request", "effect", "chunk"] {
        let files = std::fs::read_dir(root.join(kind)).expect("the golden records are in the repository");
        for file in files {
            let path = file.expect("a folder that can be read").path();
            let bytes = std::fs::read(&path).expect("a file that can be read");
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            all.push(Golden { name: format!("{kind}/{name}"), body: decode(kind, &bytes), bytes });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn decode(kind: &str, bytes: &[u8]) -> Body {
    const READS: &str = "every golden record reads";
    match kind {
        "command" => Body::Command(wire::read_command(KEY.as_bytes(), bytes).expect(READS).1.command),
        "event" => match wire::read_event(KEY.as_bytes(), bytes).expect(READS).1 {
            Readable::Event(event) => Body::Event(event),
            Readable::Unknown { kind, .. } => unreachable!("{kind} is a golden event"),
        },
        "request" => Body::Request(wire::read_request(bytes).expect(READS).1),
        "effect" => Body::Effect(wire::read_ledger(bytes).expect(READS).1),
        _ => Body::Chunk(wire::read_chunk(bytes).expect(READS).1),
    }
}

#[divan::bench(args = golden())]
fn decode_record(bencher: Bencher<'_, '_>, record: &Golden) {
    let (kind, _) = record.name.split_once('/').expect("a kind and a name");
    bencher
        .counter(BytesCount::new(record.bytes.len()))
        .bench_local(|| decode(kind, black_box(&record.bytes)));
}

#[divan::bench(args = golden())]
fn encode_record(bencher: Bencher<'_, '_>, record: &Golden) {
    let conversation = ConversationId::new(KEY).expect("a short id");
    let command = CommandId::new("command-1").expect("a short id");
    let write = || {
        let stamp = Stamp {
            id: "018f3a5e-7c00-7000-8000-000000000001",
            conversation: &conversation,
            command: Some(&command),
            at: "2026-11-23T01:42:39.000Z",
            causation_id: "018f3a5e-7c00-7000-8000-000000000000",
        };
        match black_box(&record.body) {
            Body::Command(command) => wire::write_command(stamp, command),
            Body::Event(event) => wire::write_event(stamp, event),
            Body::Request(request) => wire::write_request(stamp, request),
            Body::Effect(entry) => wire::write_ledger(stamp, entry),
            Body::Chunk(chunk) => wire::write_chunk(stamp, chunk),
        }
        .expect("every record is JSON")
    };
    bencher.counter(BytesCount::new(record.bytes.len())).bench_local(write);
}
