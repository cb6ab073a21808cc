//! What a run of chaos shows: promises and their cost. No plots, and no goals: a promise is kept or it is not.

use super::report::Report;
use crate::shown::{Shown, Table, number};

pub fn of(report: &Report) -> Shown {
    Shown { tables: vec![promises(report), costs(report)], ..Shown::default() }
}

fn promises(report: &Report) -> Table {
    let (setup, verdict, replay) = (&report.setup, &report.verdict, &report.replay);
    let title = format!("Chaos on {}, seed {}: {}", setup.log, setup.seed, word(report.good));
    let mut table = Table::new(&title, &["promise", "count"]);
    let faults: Vec<String> = report.faults.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    table.note = format!("In {} s of faults: {}.", number(report.seconds), faults.join(", "));
    let counts = [
        ("turns accepted", verdict.accepted),
        ("turns begun in the log", verdict.turns),
        ("terminal events in effect", verdict.terminal_in_effect),
    ];
    for (what, count) in counts {
        table.row([what.to_owned(), count.to_string()]);
    }
    for (promise, broken) in verdict.broken() {
        table.row([promise.to_owned(), broken.count.to_string()]);
    }
    let compared = replay.equal + replay.different.len() + replay.not_compared.len();
    table.row(["replay = live".to_owned(), format!("{} of {compared}", replay.equal)]);
    table.row(["unexpected exits".to_owned(), report.unexpected_exits.len().to_string()]);
    table
}

fn costs(report: &Report) -> Table {
    let columns = [
        "fault",
        "count",
        "next progress p50 s",
        "next progress max s",
        "open turns' end p50 s",
        "open turns' end max s",
    ];
    let mut table = Table::new(&format!("What a fault costs on {}", report.setup.log), &columns);
    for (kind, cost) in &report.costs {
        let times = [
            cost.next_progress.p50_s,
            cost.next_progress.max_s,
            cost.open_turns_end.p50_s,
            cost.open_turns_end.max_s,
        ];
        let times = times.map(number);
        table.row([kind.clone(), cost.faults.to_string()].into_iter().chain(times));
    }
    table
}

fn word(good: bool) -> &'static str {
    if good { "every promise kept" } else { "a promise was broken" }
}
