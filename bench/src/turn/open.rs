//! Open loop: questions at a steady rate, whatever the answers do. A time counts from the instant at which the question was
//! due, not from when a client was free to ask it: waiting for a slow server is part of what its users feel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::Client;
use super::question::TurnKind;
use super::spread::Times;
use super::talk::Talk;

/// Users who ask in turn, each with a connection and a conversation; more are needed only by a server that is far behind.
const USERS: usize = 512;
/// The first part of a run fills queues and caches.
const WARM_UP_SHARE: f64 = 0.2;

/// Whoever asks.
struct User {
    client: Client,
    talk: Talk,
}

/// What a rate came to.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Open {
    /// Of the best closed loop, percent.
    pub load_percent: f64,
    pub offered_per_s: f64,
    pub turns: usize,
    pub answered_per_s: f64,
    #[serde(flatten)]
    pub times: Times,
}

/// Asks `per_second` questions a second for `length`.
///
/// # Errors
/// The first wrong answer or lost connection.
pub async fn run(
    url: &str,
    (load_percent, per_second): (f64, f64),
    kind: TurnKind,
    numbers: &Arc<AtomicU64>,
    length: Duration,
) -> Result<Open> {
    let (free, users) = tokio::sync::mpsc::channel(USERS);
    for _ in 0..USERS {
        let user = User { client: Client::connect(url).await?, talk: Talk::default() };
        free.try_send(user).ok().context("as many users as there is room for")?;
    }
    let users = Arc::new(Mutex::new(users));
    let began = Instant::now();
    let measured_from = began + length.mul_f64(WARM_UP_SHARE);
    let mut asking: JoinSet<Result<Option<Duration>>> = JoinSet::new();
    let mut took = Vec::new();
    for nth in 0.. {
        let due = began + Duration::from_secs_f64(f64::from(nth) / per_second.max(0.01));
        if due >= began + length {
            break;
        }
        tokio::time::sleep_until(due).await;
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let (free, users) = (free.clone(), users.clone());
        asking.spawn(async move {
            let user = users.lock().await.recv().await;
            let mut user = user.context("users come back")?;
            user.client.ask(user.talk.conversation(number), &kind.ask(number)).await?;
            let time = due.elapsed();
            let _ = free.send(user).await;
            Ok((due >= measured_from).then_some(time))
        });
        while let Some(ended) = asking.try_join_next() {
            took.extend(ended.context("a user panicked")??);
        }
    }
    while let Some(ended) = asking.join_next().await {
        took.extend(ended.context("a user panicked")??);
    }
    let whole = measured_from.elapsed().as_secs_f64();
    Ok(Open {
        load_percent,
        offered_per_s: per_second,
        turns: took.len(),
        answered_per_s: took.len() as f64 / whole.max(1e-9),
        times: Times::of(took),
    })
}
