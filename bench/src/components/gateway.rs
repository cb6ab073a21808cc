//! The gateway of a real `serve`: questions that need not be answered at once (`Prefer: respond-async`), each acknowledged
//! when it is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::task::JoinSet;

use super::Component;
use super::arguments::ComponentsArgs;
use crate::arguments::LogKind;
use crate::load;
use crate::stage::{Shape, Stage};

const CLIENTS: usize = 16;

pub async fn measure(arguments: &ComponentsArgs) -> Result<Component> {
    let http = load::http()?;
    let mut stage = Stage::prepare(LogKind::Embedded, arguments.binary.as_deref(), None)?;
    // Accepting is the subject, not the bound on what is open.
    stage.set("CALLBOARD__LIMITS__OPEN_TURNS", "1000000");
    stage.set("CALLBOARD__LOG__FSYNC", "never");
    stage.install(Shape::Alone);
    stage.start(&http).await?;
    let url = stage.serve().url.clone();
    let numbers = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    for _ in 0..arguments.alone.max(1) {
        accept(&http, &url, numbers.fetch_add(1, Ordering::Relaxed)).await?;
    }
    let mean_ms = began.elapsed().as_secs_f64() * 1e3 / arguments.alone.max(1) as f64;
    let until = Instant::now() + Duration::from_secs_f64(arguments.seconds);
    let (began, mut clients) = (Instant::now(), JoinSet::new());
    for _ in 0..CLIENTS {
        let (http, url, numbers) = (http.clone(), url.clone(), numbers.clone());
        clients.spawn(async move {
            let mut accepted = 0_u64;
            while Instant::now() < until {
                accept(&http, &url, numbers.fetch_add(1, Ordering::Relaxed)).await?;
                accepted += 1;
            }
            anyhow::Ok(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(client) = clients.join_next().await {
        accepted += client.context("a client panicked")??;
    }
    let seconds = began.elapsed().as_secs_f64();
    // What it still has to do is no part of this.
    stage.serve().end();
    Ok(Component {
        component: "gateway".to_owned(),
        what: "a question taken with 202",
        events_per_s: Some(accepted as f64 / seconds),
        mean_ms: Some(mean_ms),
    })
}

async fn accept(http: &reqwest::Client, url: &str, number: u64) -> Result<()> {
    let body = json!({ "message": "echo x", "conversation_id": format!("gate-{number}") });
    let request = http
        .post(format!("{url}/v1/chat"))
        .header("content-type", "application/json")
        .header("prefer", "respond-async")
        .body(body.to_string());
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    if status.as_u16() != 202 {
        bail!("the gateway answered {status} instead of 202: {text}");
    }
    Ok(())
}
