//! `callboard-bench chaos`: a steady load, faults at random instants, a rest, and a judgement from the log.
//!
//! `act` is one run. In it, `fault` says what can be broken, `injector` breaks it, `settle` is the person who resolves
//! doubts. Then `story` tells the log, `verdict` judges, `recovery` measures, `report` tells, `shown`
//! lays it out.

mod act;
mod fault;
mod injector;
#[cfg(test)]
mod proof;
mod recovery;
mod report;
mod settle;
mod shown;
mod verdict;

use anyhow::Result;

use crate::arguments::{ChaosArgs, LogKind};
use crate::result;
use act::Act;

/// Seconds of faults of the short form, for each log.
const SHORT: [(LogKind, f64); 3] =
    [(LogKind::Embedded, 30.0), (LogKind::Kafka1, 30.0), (LogKind::Kafka3, 25.0)];
const DEFAULT_SECONDS: f64 = 300.0;

/// Runs it; whether every promise was kept.
pub fn run(arguments: &ChaosArgs) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if !arguments.short {
        let seconds = arguments.minutes.map(|minutes| minutes * 60.0);
        let seconds = seconds.or(arguments.kills.is_none().then_some(DEFAULT_SECONDS));
        return runtime.block_on(one(arguments, arguments.log, seconds));
    }
    let mut good = true;
    for (log, seconds) in SHORT {
        let arguments = ChaosArgs { pace: 2.0, rate: 6.0, ..arguments.clone() };
        good &= runtime.block_on(one(&arguments, log, Some(seconds)))?;
    }
    Ok(good)
}

async fn one(arguments: &ChaosArgs, log: LogKind, seconds: Option<f64>) -> Result<bool> {
    let act = Act::start(arguments, log).await?;
    let report = act.play(arguments, seconds).await?;
    report.print();
    let job = if arguments.short { "chaos-short" } else { "chaos" };
    result::write(arguments.out.as_deref(), job, log.word(), &report)?;
    Ok(report.good)
}
