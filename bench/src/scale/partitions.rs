//! The same load on more and more partitions.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::arguments::ScaleArgs;
use super::cold::megabytes;
use crate::arguments::LogKind;
use crate::load;
use crate::stage::{Shape, Stage};
use crate::turn::{Closed, TurnKind, closed_loop};

#[derive(Debug, Serialize)]
pub struct Partitions {
    pub partitions: u32,
    #[serde(flatten)]
    pub loop_: Closed,
    pub resident_mb: f64,
}

pub async fn measure(arguments: &ScaleArgs, partitions: u32) -> Result<Partitions> {
    let mut stage = Stage::prepare(LogKind::Embedded, arguments.binary.as_deref(), None)?;
    stage.set("CALLBOARD__KAFKA__PARTITIONS", partitions.to_string());
    stage.install(Shape::Alone);
    stage.start(&load::http()?).await?;
    let serve = stage.serve().clone();
    let length = Duration::from_secs_f64(arguments.seconds);
    let numbers = Arc::new(AtomicU64::new(1));
    let lengths = (length / 4, length);
    let loop_ = closed_loop(&serve.url, arguments.clients, TurnKind::default(), &numbers, lengths).await?;
    let resident_mb = megabytes(&serve);
    stage.stop()?;
    Ok(Partitions { partitions, loop_, resident_mb })
}
