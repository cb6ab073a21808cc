//! One conversation that goes on and on.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::arguments::ScaleArgs;
use crate::arguments::LogKind;
use crate::stage::{Shape, Stage};
use crate::turn::{Client, Times, TurnKind};
use crate::{fill, load};

/// Turns that one figure is of.
const WINDOW: usize = 100;
/// Turns elsewhere before the first is measured: caches and code are cold.
const WARM_UP: u64 = 200;

#[derive(Debug, Serialize)]
pub struct Long {
    pub turns: usize,
    pub windows: Vec<Window>,
    /// A new conversation after all of them: what the machine had become by then.
    pub anew: Times,
    pub last_to_first_p50: f64,
    pub last_to_anew_p50: f64,
}

/// The last turns up to this one.
#[derive(Debug, Serialize)]
pub struct Window {
    pub up_to: usize,
    #[serde(flatten)]
    pub times: Times,
}

pub async fn measure(arguments: &ScaleArgs) -> Result<Long> {
    let mut stage = Stage::prepare(LogKind::Embedded, arguments.binary.as_deref(), None)?;
    stage.install(Shape::Alone);
    stage.start(&load::http()?).await?;
    let mut client = Client::connect(&stage.serve().url).await?;
    let kind = TurnKind::default();
    let window = WINDOW.min(arguments.turns.div_ceil(2)).max(1);
    let warm_up = WARM_UP.min(arguments.turns as u64);
    for number in 0..warm_up {
        client.ask("warm-up", &kind.ask(number)).await?;
    }
    let bar = fill::bar(arguments.turns as u64, "turns of one conversation")?;
    let mut took: Vec<Duration> = Vec::with_capacity(arguments.turns);
    for number in 0..arguments.turns as u64 {
        took.push(client.ask("long", &kind.ask(warm_up + number)).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut anew = Vec::with_capacity(window);
    for number in 0..window as u64 {
        anew.push(client.ask("anew", &kind.ask(1_000_000 + number)).await?);
    }
    stage.stop()?;
    let windows: Vec<Window> = ends(window, took.len())
        .into_iter()
        .map(|up_to| Window { up_to, times: Times::of(took[up_to - window..up_to].to_vec()) })
        .collect();
    let anew = Times::of(anew);
    let p50 = |at: Option<&Window>| at.map_or(0.0, |window| window.times.p50_ms);
    let (first, last) = (p50(windows.first()), p50(windows.last()));
    Ok(Long {
        turns: took.len(),
        last_to_first_p50: last / first.max(1e-9),
        last_to_anew_p50: last / anew.p50_ms.max(1e-9),
        windows,
        anew,
    })
}

/// The first window, then each power of ten and half of it, and the last.
fn ends(window: usize, turns: usize) -> Vec<usize> {
    let mut ends = vec![window.min(turns)];
    let mut next = 10;
    while next <= turns {
        ends.extend([next, next * 5].into_iter().filter(|end| *end > window && *end < turns));
        next *= 10;
    }
    ends.push(turns);
    ends.sort_unstable();
    ends.dedup();
    ends
}

#[cfg(test)]
mod tests {
    use super::ends;

    #[test]
    fn windows_end_at_round_numbers_and_at_the_last_turn() {
        assert_eq!(ends(100, 10_000), [100, 500, 1_000, 5_000, 10_000]);
        assert_eq!(ends(10, 20), [10, 20]);
        assert_eq!(ends(1, 1), [1]);
    }
}
