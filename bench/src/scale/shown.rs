//! What a run of `scale` shows.

use super::cold::Cold;
use super::growth::exponent;
use super::{Figures, Growth};
use crate::shown::{Axis, Goal, Plot, Series, Shown, Table, count, number};

const MILLION: usize = 1_000_000;
const TEN_THOUSAND: usize = 10_000;

pub fn of(figures: &Figures) -> Shown {
    let tables = vec![cold(figures), partitions(figures), long(figures), growth(figures)];
    Shown {
        tables: tables.into_iter().filter(|table| !table.rows.is_empty()).collect(),
        plots: plots(figures),
        goals: goals(figures),
    }
}

fn cold(figures: &Figures) -> Table {
    let columns = [
        "cold conversations",
        "start to ready s",
        "without snapshots s",
        "… at most MB",
        "resident MB",
        "after hot turns MB",
        "log MB",
        "snapshots MB",
        "history MB",
        "hot p50 ms",
        "hot p99 ms",
    ];
    let mut table = Table::new("Cold conversations, embedded log", &columns);
    table.note = "Each has one answered turn of one step (4 events). Without snapshots, all is folded again. Hot: one client asks turns of three steps, a new conversation \
                  every 20 turns."
        .to_owned();
    for row in &figures.cold {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        table.row(
            std::iter::once(count(row.conversations as u64)).chain(
                [
                    row.ready_s,
                    row.rebuild_s,
                    row.rebuild_mb,
                    row.rest_mb,
                    row.resident_mb,
                    mb(row.log_bytes),
                    mb(row.snapshot_bytes),
                    mb(row.history_bytes),
                    row.hot.p50_ms,
                    row.hot.p99_ms,
                ]
                .map(number),
            ),
        );
    }
    table
}

fn partitions(figures: &Figures) -> Table {
    let clients = figures.partitions.first().map_or(0, |row| row.loop_.clients);
    let columns = ["partitions", "turns/s", "p50 ms", "p99 ms", "resident MB"];
    let mut table = Table::new(&format!("Partitions, embedded log, {clients} clients"), &columns);
    for row in &figures.partitions {
        let (loop_, times) = (&row.loop_, &row.loop_.times);
        let cells = [loop_.turns_per_s, times.p50_ms, times.p99_ms, row.resident_mb].map(number);
        table.row(std::iter::once(row.partitions.to_string()).chain(cells));
    }
    table
}

fn long(figures: &Figures) -> Table {
    let mut table = Table::new("Turns in one conversation, one client", &["up to turn", "p50 ms", "p99 ms"]);
    let Some(long) = &figures.long else { return table };
    table.note = "Each row is of the last turns up to this one. The last row is a new conversation afterwards: what differs from \
                  the first row there is the machine, or the server's age."
        .to_owned();
    for window in &long.windows {
        let cells = [window.times.p50_ms, window.times.p99_ms].map(number);
        table.row(std::iter::once(count(window.up_to as u64)).chain(cells));
    }
    let anew = [long.anew.p50_ms, long.anew.p99_ms].map(number);
    table.row(std::iter::once("a new conversation".to_owned()).chain(anew));
    table
}

fn growth(figures: &Figures) -> Table {
    let mut table = Table::new("How it grows", &["figure", "with", "exponent"]);
    table.note =
        "Least squares over logarithms: 0 does not grow at all, 1 in proportion. Rows with nothing cold are left out.".to_owned();
    for Growth { figure, with, exponent } in &figures.growth {
        table.row([(*figure).to_owned(), (*with).to_owned(), format!("{exponent:.2}")]);
    }
    table
}

/// The exponents of everything that was measured at two sizes at least.
pub fn exponents(figures: &Figures) -> Vec<Growth> {
    let cold = |of: fn(&Cold) -> f64| -> Vec<(f64, f64)> {
        figures.cold.iter().map(|row| (row.conversations as f64, of(row))).collect()
    };
    let partitions = |of: fn(&super::partitions::Partitions) -> f64| {
        figures.partitions.iter().map(move |row| (f64::from(row.partitions), of(row))).collect()
    };
    let windows = figures.long.iter().flat_map(|long| &long.windows);
    let conversations = "cold conversations";
    let all: Vec<(_, _, Vec<(f64, f64)>)> = vec![
        ("start to ready", conversations, cold(|row| row.ready_s)),
        ("start to ready without snapshots", conversations, cold(|row| row.rebuild_s)),
        ("resident memory", conversations, cold(|row| row.resident_mb)),
        ("log on disk", conversations, cold(|row| row.log_bytes as f64)),
        ("snapshots on disk", conversations, cold(|row| row.snapshot_bytes as f64)),
        ("hot p50", conversations, cold(|row| row.hot.p50_ms)),
        ("hot p99", conversations, cold(|row| row.hot.p99_ms)),
        ("turns/s", "partitions", partitions(|row| row.loop_.turns_per_s)),
        ("p50", "partitions", partitions(|row| row.loop_.times.p50_ms)),
        ("p50", "turns", windows.map(|window| (window.up_to as f64, window.times.p50_ms)).collect()),
    ];
    all.into_iter()
        .filter_map(|(figure, with, points)| Some(Growth { figure, with, exponent: exponent(&points)? }))
        .collect()
}

fn plots(figures: &Figures) -> Vec<Plot> {
    let rows: Vec<&Cold> = figures.cold.iter().filter(|row| row.conversations > 0).collect();
    let line = |name: &str, of: fn(&Cold) -> f64| Series {
        name: name.to_owned(),
        points: rows.iter().map(|row| (row.conversations as f64, of(row))).collect(),
    };
    let plot = |name: &str, title: &str, unit: &str, series| Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        x: Axis { label: "cold conversations".to_owned(), logarithmic: true },
        y: Axis { label: unit.to_owned(), logarithmic: true },
        series,
    };
    let mut plots = Vec::new();
    if rows.len() > 1 {
        plots.push(plot(
            "scale-resident",
            "Memory under cold conversations",
            "MB",
            vec![line("resident", |row| row.resident_mb)],
        ));
        plots.push(plot(
            "scale-start",
            "Start to ready",
            "s",
            vec![line("with snapshots", |row| row.ready_s), line("without: all folded", |row| row.rebuild_s)],
        ));
        plots.push(plot(
            "scale-hot",
            "A hot turn among cold conversations",
            "ms",
            vec![line("p50", |row| row.hot.p50_ms), line("p99", |row| row.hot.p99_ms)],
        ));
    }
    if let Some(long) = figures.long.as_ref().filter(|long| long.windows.len() > 1) {
        let points = long.windows.iter().map(|window| (window.up_to as f64, window.times.p50_ms)).collect();
        plots.push(Plot {
            name: "scale-long".to_owned(),
            title: "Turns in one conversation".to_owned(),
            x: Axis { label: "turn".to_owned(), logarithmic: true },
            y: Axis { label: "p50, ms".to_owned(), logarithmic: false },
            series: vec![Series { name: "the last turns up to this one".to_owned(), points }],
        });
    }
    plots
}

/// Only of what this run has measured: a smaller one claims less.
fn goals(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    let empty = figures.cold.iter().find(|row| row.conversations == 0);
    if let Some(row) = figures.cold.iter().find(|row| row.conversations >= MILLION) {
        let memory = row.resident_mb.max(row.rest_mb);
        goals.push(Goal::at_most("a million cold conversations, resident", 300.0, memory, "MB"));
        goals.push(Goal::at_most("start to ready, a million cold, embedded", 2.0, row.ready_s, "s"));
        if let Some(empty) = empty {
            let ratio = row.hot.p99_ms / empty.hot.p99_ms.max(1e-9);
            goals.push(Goal::at_most("hot p99 among a million cold", 1.2, ratio, "× that with an empty log"));
        }
    }
    if let Some(long) = figures.long.as_ref().filter(|long| long.turns >= TEN_THOUSAND) {
        let (name, unit) = ("p50 of the 10,000th turn of a conversation", "× that of its first");
        goals.push(Goal::at_most(name, 1.3, long.last_to_first_p50, unit));
    }
    goals
}
