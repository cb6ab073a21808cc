//! The whole process killed at rest and started again: from its snapshots, and without any, when everything is folded anew.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use crate::host::catch_up::forget_snapshots;
use crate::metrics;
use crate::scale::cold::ready_after_start;
use crate::stage::Stage;
use crate::turn::{Client, TurnKind};

const REST_WITHIN: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug, Serialize)]
pub struct Restart {
    pub from: &'static str,
    pub ready_s: f64,
    /// From the start to the answer of a question in a conversation that had lain there.
    pub answered_s: f64,
}

pub async fn both(http: &reqwest::Client, stage: &Stage) -> Result<Vec<Restart>> {
    let snapshots = once(http, stage, "snapshots", 0).await?;
    stage.serve().end();
    forget_snapshots(&stage.serve().data)?;
    let replay = once(http, stage, "full replay", 1).await?;
    Ok(vec![snapshots, replay])
}

async fn once(http: &reqwest::Client, stage: &Stage, from: &'static str, number: u64) -> Result<Restart> {
    let serve = stage.serve();
    if number == 0 {
        // What was just done is to be in the snapshots.
        metrics::at_rest(serve, REST_WITHIN).await;
    }
    serve.end();
    let began = Instant::now();
    let ready_s = ready_after_start(http, serve).await?;
    // Ready is that most partitions are: this one may still be on its way, and its clients wait for it.
    let ask = TurnKind::default().ask(number);
    loop {
        let mut client = Client::connect(&serve.url).await?;
        match client.ask("cold0", &ask).await {
            Ok(_) => break,
            Err(error) if began.elapsed() > REST_WITHIN => return Err(error),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
    Ok(Restart { from, ready_s, answered_s: began.elapsed().as_secs_f64() })
}
