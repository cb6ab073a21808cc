//! What a run of `floor` shows.

use callboard_kafka::floor::{Pace, Rates};

use super::Floor;
use crate::shown::{Axis, Plot, Series, Shown, Table, number};

pub fn of(log: &str, floor: &Floor, rates: &Rates) -> Shown {
    let chains = format!("A chain of {} hops on {log}, plain rdkafka", floor.chain_hops);
    let turns = format!(
        "The turn's shape on {log}, plain rdkafka: {} records, {} bytes",
        floor.turn_records,
        number(floor.turn_bytes as f64)
    );
    Shown {
        tables: vec![
            single(log, floor, rates),
            paces(&chains, "chains/s", &floor.chains),
            paces(&turns, "turns/s", &floor.turns),
        ],
        plots: vec![plot(log, floor)],
        goals: Vec::new(),
    }
}

fn single(log: &str, floor: &Floor, rates: &Rates) -> Table {
    let mut table = Table::new(&format!("Plain rdkafka on {log}"), &["figure", "value"]);
    for (figure, value) in [
        ("hop, p50 ms", floor.hop.p50_us as f64 / 1e3),
        ("hop, p99 ms", floor.hop.p99_us as f64 / 1e3),
        ("hop, max ms", floor.hop.max_us as f64 / 1e3),
        ("records produced a second", rates.produced_per_second),
        ("records consumed a second", rates.consumed_per_second),
    ] {
        table.row([figure.to_owned(), number(value)]);
    }
    table.note = format!(
        "A hop is from `produce` to `consume`, one at a time; the rates are of {} records of {} bytes.",
        number(rates.records as f64),
        rates.bytes
    );
    table
}

fn paces(title: &str, rate: &str, paces: &[Pace]) -> Table {
    let mut table = Table::new(title, &["in flight", rate, "p50 ms", "p90 ms", "p99 ms", "max ms"]);
    for pace in paces {
        let times = [pace.p50_us, pace.p90_us, pace.p99_us, pace.max_us].map(|us| number(us as f64 / 1e3));
        table.row([pace.in_flight.to_string(), number(pace.per_second)].into_iter().chain(times));
    }
    table
}

fn plot(log: &str, floor: &Floor) -> Plot {
    let line = |name: String, paces: &[Pace]| Series {
        name,
        points: paces.iter().map(|pace| (pace.in_flight as f64, pace.per_second)).collect(),
    };
    Plot {
        name: format!("floor-{log}"),
        title: format!("Plain rdkafka, {log}"),
        x: Axis { label: "in flight".to_owned(), logarithmic: true },
        y: Axis { label: "a second".to_owned(), logarithmic: false },
        series: vec![
            line(format!("chains of {} hops", floor.chain_hops), &floor.chains),
            line("turns by their shape".to_owned(), &floor.turns),
        ],
    }
}
