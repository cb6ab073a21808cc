//! What a run of `turn` shows.

use super::question::TurnKind;
use super::{Figures, Ratios};
use crate::shown::{Axis, Goal, Plot, Series, Shown, Table, number};

pub fn of(figures: &Figures) -> Shown {
    let mut plots = vec![rates(figures)];
    plots.extend((!figures.open.is_empty()).then(|| waits(figures)));
    Shown {
        tables: [closed(figures), open(figures), matrix(figures)]
            .into_iter()
            .filter(|table| !table.rows.is_empty())
            .collect(),
        plots,
        goals: if figures.turn == TurnKind::default() { goals(figures) } else { Vec::new() },
    }
}

/// The log, and what was set otherwise than usual.
fn place(figures: &Figures) -> String {
    let set: Vec<String> = figures.settings.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
    let usual = figures.turn == TurnKind::default();
    let turn = if usual { String::new() } else { format!(", {}", figures.turn) };
    if set.is_empty() {
        format!("{}{turn}", figures.log)
    } else {
        format!("{}, {}{turn}", figures.log, set.join(", "))
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
    let mut table = Table::new(&format!("Turns on {}, closed loop", place(figures)), &columns);
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
    let mut table = Table::new(&format!("Turns on {}, open loop", place(figures)), &columns);
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
        title: format!("Turns a second, {}", words(figures)),
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
        title: format!("Time to the answer at a steady rate, {}", words(figures)),
        x: Axis { label: "load, % of the best closed loop".to_owned(), logarithmic: false },
        y: Axis { label: "ms".to_owned(), logarithmic: true },
        series: vec![line("p50", |row| row.times.p50_ms), line("p99", |row| row.times.p99_ms)],
    }
}

/// As [`place`], for a plot, which knows no marks.
fn words(figures: &Figures) -> String {
    place(figures).replace('`', "")
}

fn matrix(figures: &Figures) -> Table {
    let columns = ["turn", "one client: p50 ms", "p99 ms", "64 clients: turns/s", "CPU ms a turn", "remark"];
    let mut table = Table::new(&format!("Other turns on {}", place(figures)), &columns);
    table.note =
        "`echo` steps where nothing else is said; each row's plan was read back and is of that shape."
            .to_owned();
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    for kind in &figures.matrix {
        let times = kind.one_client.as_ref();
        table.row([
            kind.row.clone(),
            figure(times.map(|times| times.p50_ms)),
            figure(times.map(|times| times.p99_ms)),
            figure(kind.many_turns_per_s),
            figure(kind.many_cpu_ms_per_turn),
            kind.refused.as_ref().map(|why| format!("refused by design: {why}")).unwrap_or_default(),
        ]);
    }
    table
}

fn goals(figures: &Figures) -> Vec<Goal> {
    let mut goals = figures.ratios.as_ref().map(against_the_floor).unwrap_or_default();
    let on = place(figures);
    let alone = figures.closed.iter().find(|row| row.loop_.clients == 1).map(|row| row.loop_.times.p50_ms);
    if let (Some(fsync_ms), Some(alone)) = (figures.fsync_ms, alone) {
        goals.extend(embedded(figures, fsync_ms, alone));
    } else {
        let costs = |row: &super::Row| row.cpu_ms_per_turn;
        if let Some(row) = figures.closed.iter().find(|row| row.loop_.clients == 64) {
            goals.push(Goal::at_most(&format!("CPU a turn at 64 clients, {on}"), 0.6, costs(row), "ms"));
        }
        if let Some(row) =
            figures.closed.iter().max_by(|a, b| a.loop_.turns_per_s.total_cmp(&b.loop_.turns_per_s))
        {
            goals.push(Goal::at_most(&format!("CPU a turn at the best rate, {on}"), 0.3, costs(row), "ms"));
        }
    }
    if let (Some(open), Some(alone)) = (figures.open.iter().find(|open| open.load_percent == 75.0), alone) {
        let figure = format!("open loop at 75 % of the best rate, p99, {on}");
        let ratio = open.times.p99_ms / alone.max(1e-9);
        goals.push(Goal::at_most(&figure, 10.0, ratio, "× one client's p50"));
    }
    goals
}

/// One client on the embedded log, by when a record is durable there.
fn embedded(figures: &Figures, fsync_ms: f64, p50_ms: f64) -> Option<Goal> {
    let mode = figures.settings.iter().find(|(name, _)| name == "log.fsync");
    match mode.map_or("group", |(_, mode)| mode.as_str()) {
        "never" => {
            Some(Goal::at_most("turn on the embedded log, `never`, one client, p50", 2.0, p50_ms, "ms"))
        }
        "group" => {
            let figure = format!(
                "turn on the embedded log, `group`, one client, p50 (5 fsyncs of {} ms + 2 ms)",
                number(fsync_ms)
            );
            Some(Goal::at_most(&figure, 5.0 * fsync_ms + 2.0, p50_ms, "ms"))
        }
        _ => None,
    }
}

fn against_the_floor(ratios: &Ratios) -> Vec<Goal> {
    let chain = "× a chain of 6 hops";
    vec![
        Goal::at_most("turn, one client, p50", 1.5, ratios.one_client_p50_to_chain, chain),
        Goal::at_most("turn, one client, p99", 3.0, ratios.one_client_p99_to_chain, chain),
        Goal::at_least("saturated turns/s", 0.5, ratios.best_to_turn_shape, "× the turn's shape"),
    ]
}
