//! Closed loop: so many clients, each asking its next question when it has the answer to the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::task::JoinSet;

use super::client::Client;
use super::question::TurnKind;
use super::spread::Times;
use super::talk::Talk;

/// What a loop came to.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Closed {
    pub clients: usize,
    /// Asked and answered while it was measured.
    pub turns: usize,
    /// All that were answered, warm-up included.
    pub answered: usize,
    pub turns_per_s: f64,
    #[serde(flatten)]
    pub times: Times,
}

/// Asks with `clients` clients for `warm_up` unmeasured and `measured` measured. Every answer is checked.
///
/// # Errors
/// The first wrong answer or lost connection.
pub async fn run(
    url: &str,
    clients: usize,
    kind: TurnKind,
    numbers: &Arc<AtomicU64>,
    (warm_up, measured): (Duration, Duration),
) -> Result<Closed> {
    let mut connected = Vec::with_capacity(clients);
    for _ in 0..clients {
        connected.push(Client::connect(url).await?);
    }
    let start = Instant::now() + warm_up;
    let end = start + measured;
    let mut all = JoinSet::new();
    for mut client in connected {
        let numbers = numbers.clone();
        all.spawn(async move {
            let (mut took, mut talk, mut turns) = (Vec::new(), Talk::default(), 0);
            while Instant::now() < end {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                turns += 1;
                let asked = Instant::now();
                let time = client.ask(talk.conversation(number), &kind.ask(number)).await?;
                if asked >= start && asked + time <= end {
                    took.push(time);
                }
            }
            anyhow::Ok((turns, took))
        });
    }
    let (mut took, mut answered) = (Vec::new(), 0);
    while let Some(client) = all.join_next().await {
        let (all_turns, measured) = client.context("a client panicked")??;
        answered += all_turns;
        took.extend(measured);
    }
    let turns = took.len();
    let turns_per_s = turns as f64 / measured.as_secs_f64();
    Ok(Closed { clients, turns, answered, turns_per_s, times: Times::of(took) })
}
