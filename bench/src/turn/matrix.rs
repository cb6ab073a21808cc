//! Other turns than the usual one, a row each: fewer and more steps, at once and one after the other, longer texts, another
//! tool, a model. One client for the time, many for the rate.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;

use super::client::Refused;
use super::question::{Order, ToolKind, TurnKind};
use super::spread::Times;
use super::{Client, model, row};
use crate::load;
use crate::stage::{Member, Shape, Stage};

/// Clients that find a row's rate: enough to keep two cores busy.
const MANY: usize = 64;
/// A row is a look, not a run of its own.
const LONGEST: Duration = Duration::from_secs(5);

/// A kind of turn and what it came to.
#[derive(Debug, Serialize)]
pub struct Kind {
    pub row: String,
    pub turn: TurnKind,
    /// Steps of its plan that wait for another one, as the server tells it.
    pub waiting_steps: Option<usize>,
    pub one_client: Option<Times>,
    pub many_clients: usize,
    pub many_turns_per_s: Option<f64>,
    pub many_cpu_ms_per_turn: Option<f64>,
    /// How the server refused such a turn, where it does so by design.
    pub refused: Option<String>,
    /// Answers that were checked, warm-up included.
    pub answered: usize,
}

/// Every row, on a stage that runs. The rows with a model start its server again, with other settings.
pub async fn run(
    stage: &mut Stage,
    numbers: &Arc<AtomicU64>,
    length: Duration,
    bar: &ProgressBar,
) -> Result<Vec<Kind>> {
    let length = length.min(LONGEST);
    let serve = stage.serve().clone();
    let mut rows = Vec::new();
    for (name, turn) in kinds() {
        bar.set_message(name.clone());
        rows.push(measure(&serve, name, turn, numbers, length).await?);
    }
    bar.set_message("a model stub");
    stage.stop()?;
    let stub = model::start(stage)?;
    stage.install(Shape::Alone);
    stage.start(&load::http()?).await?;
    let serve = stage.serve().clone();
    let turn = TurnKind { tool: ToolKind::Model, ..TurnKind::default() };
    let name = "3 parallel, planned and answered by a model stub that answers at once".to_owned();
    rows.push(measure(&serve, name, turn, numbers, length).await?);
    drop(stub);
    Ok(rows)
}

/// All rows that the built-in planner plans.
fn kinds() -> Vec<(String, TurnKind)> {
    let usual = TurnKind::default();
    let mut all = vec![("1 step".to_owned(), TurnKind { steps: 1, ..usual })];
    for steps in [3, 9] {
        all.push((format!("{steps} parallel"), TurnKind { steps, ..usual }));
        all.push((format!("{steps} sequential"), TurnKind { steps, order: Order::Sequential, ..usual }));
    }
    for (words, text_bytes) in [("200 B", 200), ("2 kB", 2_000), ("20 kB", 20_000), ("200 kB", 200_000)] {
        all.push((format!("3 parallel, {words} each"), TurnKind { text_bytes, ..usual }));
    }
    all.push(("1 step, 200 kB".to_owned(), TurnKind { steps: 1, text_bytes: 200_000, ..usual }));
    all.push(("3 parallel `math`".to_owned(), TurnKind { tool: ToolKind::Math, ..usual }));
    let chained = TurnKind { tool: ToolKind::Math, order: Order::Sequential, ..usual };
    all.push(("3 sequential `math`".to_owned(), chained));
    all
}

async fn measure(
    serve: &Member,
    name: String,
    turn: TurnKind,
    numbers: &Arc<AtomicU64>,
    length: Duration,
) -> Result<Kind> {
    let mut kind = Kind {
        row: name,
        turn,
        waiting_steps: None,
        one_client: None,
        many_clients: MANY,
        many_turns_per_s: None,
        many_cpu_ms_per_turn: None,
        refused: None,
        answered: 0,
    };
    match look(serve, &turn, numbers).await {
        Ok(waiting) => kind.waiting_steps = Some(waiting),
        Err(why) => match why.downcast_ref::<Refused>() {
            Some(refused) => {
                kind.refused = Some(refused.to_string());
                return Ok(kind);
            }
            None => return Err(why.context(format!("a turn of {}", kind.row))),
        },
    }
    let alone = row(serve, 1, turn, numbers, length).await?;
    let many = row(serve, MANY, turn, numbers, length).await?;
    kind.answered = alone.loop_.answered + many.loop_.answered;
    // A run that was too short for one whole turn has no figure.
    kind.one_client = (alone.loop_.turns > 0).then_some(alone.loop_.times);
    kind.many_turns_per_s = (many.loop_.turns > 0).then_some(many.loop_.turns_per_s);
    kind.many_cpu_ms_per_turn = Some(many.cpu_ms_per_turn);
    Ok(kind)
}

/// Asks one turn and looks whether its plan is the one that was meant; how many of its steps wait for another.
async fn look(serve: &Member, turn: &TurnKind, numbers: &Arc<AtomicU64>) -> Result<usize> {
    let number = numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let conversation = format!("bench-look-{number}");
    Client::connect(&serve.url).await?.ask(&conversation, &turn.ask(number)).await?;
    let url = format!("{}/v1/conversations/{conversation}/plan", serve.url);
    let plan = load::http()?.get(url).send().await?.error_for_status()?;
    let plan: Value = plan.json().await.context("the plan is no JSON")?;
    let steps = plan["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let waits = |step: &&Value| {
        let after = step["depends_on"].as_array().is_some_and(|after| !after.is_empty());
        after || step["arguments"].to_string().contains("${")
    };
    let waiting = steps.iter().filter(waits).count();
    let meant = if turn.order == Order::Sequential { turn.steps - 1 } else { 0 };
    if (steps.len(), waiting) != (turn.steps, meant) {
        bail!(
            "the plan has {} steps of which {waiting} wait for another, not {} and {meant}: {plan}",
            steps.len(),
            turn.steps
        );
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use super::kinds;

    #[test]
    fn every_row_is_a_turn_of_its_own() {
        let mut names: Vec<String> = kinds().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 12);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 12);
    }
}
