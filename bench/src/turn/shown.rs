//! What a run of `turn` shows.

use super::{Figures, Ratios};
use crate::shown::{Axis, Goal, Plot, Series, Shown, Table, number};

pub fn of(figures: &Figures) -> Shown {
    let mut plots = vec![rates(figures)];
    plots.extend((!figures.open.is_empty()).then(|| waits(figures)));
    Shown {
        tables: vec![closed(figures), open(figures)]
            .into_iter()
            .filter(|table| !table.rows.is_empty())
            .collect(),
        plots,
        goals: figures.ratios.as_ref().map(goals).unwrap_or_default(),
    }
}

fn closed(figures: &Figures) -> Table {
    let columns = [
        "clients",
        "turns/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "max ms",
        "CPU ms a turn",
        "floor: turns/s",
        "floor: p50 ms",
    ];
    let mut table = Table::new(&format!("Turns on {}, closed loop", figures.log), &columns);
    for row in &figures.closed {
        let (at, times) = (row.loop_.clients, &row.loop_.times);
        let floor =
            figures.floor.as_ref().and_then(|floor| floor.turns.iter().find(|pace| pace.in_flight == at));
        let beside = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        table.row([
            at.to_string(),
            number(row.loop_.turns_per_s),
            number(times.p50_ms),
            number(times.p90_ms),
            number(times.p99_ms),
            number(times.max_ms),
            number(row.cpu_ms_per_turn),
            beside(floor.map(|pace| pace.per_second)),
            beside(floor.map(|pace| pace.p50_us as f64 / 1e3)),
        ]);
    }
    table
}

fn open(figures: &Figures) -> Table {
    let columns = ["load %", "offered/s", "answered/s", "p50 ms", "p90 ms", "p99 ms", "max ms"];
    let mut table = Table::new(&format!("Turns on {}, open loop", figures.log), &columns);
    table.note = "Times count from the instant at which a question was due.".to_owned();
    for row in &figures.open {
        let times = &row.times;
        let cells = [row.load_percent, row.offered_per_s, row.answered_per_s];
        let times = [times.p50_ms, times.p90_ms, times.p99_ms, times.max_ms];
        table.row(cells.into_iter().chain(times).map(number));
    }
    table
}

fn rates(figures: &Figures) -> Plot {
    let line = |name: &str, points| Series { name: name.to_owned(), points };
    let ours = figures.closed.iter().map(|row| (row.loop_.clients as f64, row.loop_.turns_per_s)).collect();
    let floor = figures.floor.iter().flat_map(|floor| &floor.turns);
    let floor: Vec<_> = floor.map(|pace| (pace.in_flight as f64, pace.per_second)).collect();
    let mut series = vec![line("Callboard", ours)];
    series.extend((!floor.is_empty()).then(|| line("plain rdkafka, the same records", floor)));
    Plot {
        name: format!("turn-{}-rate", figures.log),
        title: format!("Turns a second, {}", figures.log),
        x: Axis { label: "clients".to_owned(), logarithmic: true },
        y: Axis { label: "turns/s".to_owned(), logarithmic: false },
        series,
    }
}

fn waits(figures: &Figures) -> Plot {
    let line = |name: &str, of: fn(&super::Open) -> f64| Series {
        name: name.to_owned(),
        points: figures.open.iter().map(|row| (row.load_percent, of(row))).collect(),
    };
    Plot {
        name: format!("turn-{}-wait", figures.log),
        title: format!("Time to the answer at a steady rate, {}", figures.log),
        x: Axis { label: "load, % of the best closed loop".to_owned(), logarithmic: false },
        y: Axis { label: "ms".to_owned(), logarithmic: true },
        series: vec![line("p50", |row| row.times.p50_ms), line("p99", |row| row.times.p99_ms)],
    }
}

fn goals(ratios: &Ratios) -> Vec<Goal> {
    let chain = "× a chain of 6 hops";
    vec![
        Goal::at_most("turn, one client, p50", 1.5, ratios.one_client_p50_to_chain, chain),
        Goal::at_most("turn, one client, p99", 3.0, ratios.one_client_p99_to_chain, chain),
        Goal::at_least("saturated turns/s", 0.5, ratios.best_to_turn_shape, "× the turn's shape"),
    ]
}
