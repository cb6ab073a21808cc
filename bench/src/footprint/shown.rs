//! What a run of `footprint` shows.

use super::Figures;
use super::counted::{Counted, PerTurn};
use crate::arguments::LogKind;
use crate::shown::{Goal, Shown, Table, number};

pub fn of(figures: &Figures) -> Shown {
    Shown { tables: vec![process(figures), turn(figures)], plots: Vec::new(), goals: goals(figures) }
}

fn process(figures: &Figures) -> Table {
    let life = &figures.life;
    let mut table = Table::new(&format!("The process, {}", figures.log), &["figure", "value"]);
    table.note = format!(
        "Idle is {} s in which nothing is asked, after everything came to rest. The binary is a {} build.",
        number(life.idle_seconds),
        figures.machine.bench_build
    );
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("start to ready, empty folder, median", format!("{} s", number(life.start_median_s)));
    row("binary", format!("{} MB", number(figures.binary_bytes as f64 / 1e6)));
    let bare = figures.stripped_bytes.map(|bytes| format!("{} MB", number(bytes as f64 / 1e6)));
    row("binary without symbols", bare.unwrap_or_else(|| "strip is not on this machine".to_owned()));
    row("idle, resident", format!("{} MB", number(life.idle_mb)));
    row("idle, processor", format!("{} % of a core", number(life.idle_core_percent)));
    row("resident after the turns", format!("{} MB", number(life.after_turns_mb)));
    table
}

fn turn(figures: &Figures) -> Table {
    let life = &figures.life;
    let mut table = Table::new(&format!("What a turn costs, {}", figures.log), &["figure", "value", "how"]);
    table.note =
        "A turn of three parallel echo steps; Callboard's process only, broker and load apart.".to_owned();
    let mut row = |name: &str, value: String, how: String| table.row([name.to_owned(), value, how]);
    let how = format!("{} turns, {} turns/s", number(life.turns as f64), number(life.turns_per_s));
    row("processor time", format!("{} ms", number(life.cpu_ms_per_turn)), how.clone());
    let whose =
        if figures.log == "embedded" { "the data folder's growth" } else { "the brokers' folder's growth" };
    row("disk", format!("{} bytes", number(life.disk_bytes_per_turn)), whose.to_owned());
    let written = life.written_bytes_per_turn.map(|bytes| format!("{} bytes", number(bytes)));
    let how = "write_bytes of /proc, compaction included".to_owned();
    row("written by Callboard", written.unwrap_or_else(|| "the system does not say".to_owned()), how);
    for counted in &figures.counted {
        let how = format!("{}, {} turns against {}", counted.tool, counted.turns, counted.turns * 2);
        match counted.per_turn {
            Some(PerTurn { instructions, allocations }) => {
                row("instructions", number(instructions), how.clone());
                row("allocations", number(allocations), how);
            }
            None => row(&counted.tool, missing(counted), "no figure".to_owned()),
        }
    }
    table
}

fn missing(counted: &Counted) -> String {
    counted.missing.as_deref().and_then(|why| why.lines().next()).unwrap_or("not counted").to_owned()
}

fn goals(figures: &Figures) -> Vec<Goal> {
    let life = &figures.life;
    let on = |what: &str| format!("{what}, {}", figures.log);
    // On Kafka a start takes as long as the broker takes to let a member in.
    let start = (figures.log == LogKind::Embedded.word())
        .then(|| Goal::at_most(&on("start to ready, empty folder"), 0.3, life.start_median_s, "s"));
    let idle = [
        Goal::at_most(&on("idle, resident"), 60.0, life.idle_mb, "MB"),
        Goal::at_most(&on("idle, processor"), 1.0, life.idle_core_percent, "% of a core"),
    ];
    start.into_iter().chain(idle).collect()
}
