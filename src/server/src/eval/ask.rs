//! Asks the questions of a suite and reads back what became of them.
//!
//! Between [`super::stage`] (the server) and [`super::score`]: what comes out is [`Observed`], one for each question and
//! repetition, in their order.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::observed::Observed;
use super::suite::{Question, Suite};
use crate::cli::Failure;
use crate::cli::client::{Client, Miss, Request, segment};

/// The server holds a request at most this long; longer waits ask again.
const MOST_PER_REQUEST: Duration = Duration::from_secs(300);
/// Between two tries while a server is busy or away.
const PAUSE: Duration = Duration::from_secs(1);

/// How to ask.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// How often each question is asked.
    pub repeat: usize,
    /// Questions under way at once.
    pub concurrency: usize,
    /// For one message to be answered.
    pub wait: Duration,
}

/// Asks everything; `done` hears of each.
///
/// # Errors
/// When nobody listens at the server: nothing more can be found out.
pub async fn all<'a>(
    client: &Client,
    suite: &'a Suite,
    manner: Manner,
    done: impl Fn(),
) -> Result<Vec<(&'a Question, Observed)>, Failure> {
    let run = uuid::Uuid::now_v7().simple().to_string();
    let asked = suite.questions.iter().flat_map(|question| (0..manner.repeat).map(move |n| (question, n)));
    let mut outcomes = stream::iter(asked)
        .map(|(question, n)| {
            let conversation = format!("eval-{}-{n}-{run}", question.id);
            async move { (question, one(client, question, &conversation, manner.wait).await) }
        })
        .buffered(manner.concurrency);
    let mut all = Vec::new();
    while let Some((question, outcome)) = outcomes.next().await {
        all.push((question, outcome?));
        done();
    }
    Ok(all)
}

/// One question, from its first message to its log.
async fn one(
    client: &Client,
    question: &Question,
    conversation: &str,
    wait: Duration,
) -> Result<Observed, Failure> {
    let mut turn = Value::Null;
    let mut took = Duration::ZERO;
    for message in &question.messages {
        let began = Instant::now();
        turn = match ask(client, question, message, conversation, wait).await {
            Ok(turn) => turn,
            Err(Miss::NoServer(failure)) => return Err(failure),
            Err(miss) => {
                let problem = miss.into_failure().to_string();
                return Ok(Observed::broken(problem, milliseconds(began.elapsed())));
            }
        };
        took = began.elapsed();
    }
    let path = format!("/v1/conversations/{}/events?follow=false", segment(conversation));
    let request = Request::get(&path).accept("application/x-ndjson");
    let lines = match client.wanted(request, Some(MOST_PER_REQUEST)).await {
        Ok(response) => response.text().await.map_err(|error| error.without_url().to_string()),
        Err(failure) => Err(failure.to_string()),
    };
    let seen = lines.and_then(|lines| Observed::read(&turn, &lines, milliseconds(took)));
    Ok(seen.unwrap_or_else(|problem| Observed::broken(problem, milliseconds(took))))
}

/// One message. Every attempt says the same with the same key, so that there is one turn; a wait that runs out gives the
/// turn as it is, still pending.
async fn ask(
    client: &Client,
    question: &Question,
    message: &str,
    conversation: &str,
    wait: Duration,
) -> Result<Value, Miss> {
    let key = uuid::Uuid::now_v7().to_string();
    let mut body = json!({ "message": message, "conversation_id": conversation });
    if let Some(agent) = &question.agent {
        body["agent"] = json!(agent);
    }
    let began = Instant::now();
    loop {
        let left = wait.saturating_sub(began.elapsed());
        let seconds = left.min(MOST_PER_REQUEST).as_secs().max(1);
        let request = Request::post("/v1/chat", body.clone())
            .header("Idempotency-Key", key.clone())
            .header("Prefer", format!("wait={seconds}"));
        match client.attempt(request).await {
            Ok(turn) if turn["status"] != "pending" || began.elapsed() >= wait => return Ok(turn),
            Ok(_) => {}
            Err(Miss::Passing(_)) if began.elapsed() < wait => tokio::time::sleep(PAUSE).await,
            Err(miss) => return Err(miss),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
