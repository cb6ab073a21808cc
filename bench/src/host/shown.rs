//! What a run of `host` shows.

use super::Figures;
use crate::shown::{Axis, Goal, Plot, Series, Shown, Table, count, number};

/// Where a folded event counts as cheap.
const FOLD_GOAL_PER_S: f64 = 1e6;
const CATCH_UP_GOAL_PER_S: f64 = 150_000.0;
const REHYDRATION_GOAL_MS: f64 = 5.0;
/// The events of the conversation that the goal is about.
const GOAL_EVENTS: usize = 10_000;

pub fn of(figures: &Figures) -> Shown {
    Shown {
        tables: vec![fold(figures), rehydration(figures), catch_up(figures), stores(figures), logs(figures)],
        plots: vec![back(figures)],
        goals: goals(figures),
    }
}

fn fold(figures: &Figures) -> Table {
    let mut table = Table::new("The fold, one core", &["what", "events/s"]);
    table.note = format!(
        "Turns of three echo steps, 20 in each of 200 conversations; an event has {} bytes on average.",
        number(figures.fold.mean_event_bytes)
    );
    table.row(["fold of decoded events".to_owned(), number(figures.fold.fold_per_s)]);
    table.row([
        "decode from the record's bytes, then fold".to_owned(),
        number(figures.fold.decode_and_fold_per_s),
    ]);
    table
}

fn rehydration(figures: &Figures) -> Table {
    let columns = [
        "events",
        "snapshot bytes",
        "snapshot p50 ms",
        "snapshot p99 ms",
        "genesis p50 ms",
        "genesis p99 ms",
    ];
    let mut table = Table::new("A conversation back into memory", &columns);
    table.note = "In process, by the parts that the host uses: the default snapshot store read, verified and decoded; or its \
                  records read from the embedded log through the offset index, among those of three others, decoded and folded."
        .to_owned();
    for row in &figures.rehydration {
        table.row([
            count(row.events as u64),
            count(row.snapshot_bytes as u64),
            number(row.from_snapshot.p50_ms),
            number(row.from_snapshot.p99_ms),
            number(row.from_genesis.p50_ms),
            number(row.from_genesis.p99_ms),
        ]);
    }
    table
}

fn catch_up(figures: &Figures) -> Table {
    let columns = ["conversations", "turns in each", "events", "seconds", "events/s", "snapshots written"];
    let mut table = Table::new(&format!("Catch-up of one partition, {}", figures.log), &columns);
    table.note = "`callboard serve` on a log filled while it was away, one partition, no snapshots; from the first record to the \
                  end as the host says in its log, snapshots that it writes on the way included."
        .to_owned();
    for row in &figures.catch_up {
        let counts = [row.conversations as u64, row.turns, row.events].map(count);
        let rates = [row.seconds, row.events_per_s].map(number);
        table.row(counts.into_iter().chain(rates).chain([count(row.snapshots)]));
    }
    table
}

fn stores(figures: &Figures) -> Table {
    let columns = ["engine", "snapshot bytes", "written/s", "read/s", "read p50 ms", "read p99 ms"];
    let mut table = Table::new("Snapshot stores", &columns);
    table.note = "Written in flushes of 2,000 with their offset index, encoding included; read one after the other, verified and \
                  decoded."
        .to_owned();
    for row in &figures.stores {
        let cells = [row.snapshot_bytes, row.written_per_s, row.read_per_s, row.read.p50_ms, row.read.p99_ms];
        table.row(std::iter::once(row.engine.to_owned()).chain(cells.map(number)));
    }
    table
}

fn logs(figures: &Figures) -> Table {
    let columns = ["log", "one append p50 ms", "one append p99 ms", "appended/s", "read/s", "record bytes"];
    let mut table = Table::new("The log alone", &columns);
    table.note = "Through the port: one record at a time, acknowledged before the next; then appends of a turn's six events with \
                  32 under way; then all of it read back."
        .to_owned();
    for row in &figures.logs {
        let cells =
            [row.alone.p50_ms, row.alone.p99_ms, row.appended_per_s, row.read_per_s, row.record_bytes];
        table.row(std::iter::once(row.log.clone()).chain(cells.map(number)));
    }
    table
}

fn back(figures: &Figures) -> Plot {
    let line = |name: &str, of: fn(&super::Rehydration) -> f64| Series {
        name: name.to_owned(),
        points: figures.rehydration.iter().map(|row| (row.events as f64, of(row))).collect(),
    };
    Plot {
        name: format!("host-{}-rehydration", figures.log),
        title: "A conversation back into memory".to_owned(),
        x: Axis { label: "events".to_owned(), logarithmic: true },
        y: Axis { label: "p50, ms".to_owned(), logarithmic: true },
        series: vec![
            line("from its snapshot", |row| row.from_snapshot.p50_ms),
            line("from genesis", |row| row.from_genesis.p50_ms),
        ],
    }
}

/// Only of what this run has measured: a smaller one claims less.
fn goals(figures: &Figures) -> Vec<Goal> {
    let mut goals =
        vec![Goal::at_least("fold, one core", FOLD_GOAL_PER_S, figures.fold.fold_per_s, "events/s")];
    // Without snapshots on the way it would not be the whole of it; of those with, the slowest counts.
    let whole = figures.catch_up.iter().filter(|row| row.snapshots > 0);
    if let Some(row) = whole.min_by(|a, b| a.events_per_s.total_cmp(&b.events_per_s)) {
        let name = format!("catch-up of a partition, {}", figures.log);
        goals.push(Goal::at_least(&name, CATCH_UP_GOAL_PER_S, row.events_per_s, "events/s"));
    }
    if let Some(row) = figures.rehydration.iter().find(|row| row.events >= GOAL_EVENTS) {
        let name = "rehydration of 10,000 events from the snapshot, p50";
        goals.push(Goal::at_most(name, REHYDRATION_GOAL_MS, row.from_snapshot.p50_ms, "ms"));
    }
    goals
}
