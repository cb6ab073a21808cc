//! `callboard doctor`: looks at configuration, data folder, log, Kafka, topics and models, and says what it finds.

use super::client::{block_on, say, say_json};
use super::{DoctorArgs, Failure, Global, Outcome};
use crate::config::Config;
use crate::wiring;
use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    says: String,
}

pub fn run(global: &Global, args: &DoctorArgs) -> Outcome {
    let config = crate::settings(global, &[])?.config;
    if args.repair_log {
        return repair(&config);
    }
    let mut findings = vec![Finding { what: "configuration", ok: true, says: "is understood".to_owned() }];
    findings.extend(folder(&config));
    findings.extend(block_on(async { Ok(outside(&config).await) })?);
    let healthy = findings.iter().all(|finding| finding.ok);
    if global.json {
        say_json(&serde_json::json!({ "ok": healthy, "findings": findings }))?;
    } else {
        for finding in &findings {
            say(&format!("{} {}: {}", if finding.ok { "ok  " } else { "FAIL" }, finding.what, finding.says))?;
        }
    }
    if healthy { Ok(()) } else { Err(Failure::Said) }
}

/// Data folder and log; a folder that a server holds is looked after by that server.
fn folder(config: &Config) -> Vec<Finding> {
    let path = config.data_dir.display();
    if let Some(address) = wiring::holder_address(&config.data_dir) {
        return vec![Finding {
            what: "data folder",
            ok: true,
            says: format!("{path} is in use by the server at {address}"),
        }];
    }
    if !config.data_dir.exists() {
        return vec![Finding {
            what: "data folder",
            ok: true,
            says: format!("{path} does not exist yet; `callboard serve` makes it"),
        }];
    }
    let data = match wiring::data_dir(config) {
        Ok(data) => data,
        Err(failure) => return vec![Finding { what: "data folder", ok: false, says: failure.to_string() }],
    };
    let mut findings = vec![Finding { what: "data folder", ok: true, says: format!("{path} can be used") }];
    if config.kafka.brokers.is_none() {
        findings.push(match wiring::engine(config, &data, "doctor") {
            Ok(_) => Finding { what: "embedded log", ok: true, says: "opens".to_owned() },
            Err(failure) => Finding { what: "embedded log", ok: false, says: failure.to_string() },
        });
    }
    findings
}

async fn outside(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let http = tokio::runtime::Handle::current();
    match wiring::tools(config, http.clone()) {
        Err(failure) => findings.push(Finding { what: "tools", ok: false, says: failure.to_string() }),
        Ok(tools) => {
            let names: Vec<String> = callboard_ports::tool::ToolRegistry::specs(&*tools)
                .iter()
                .map(|spec| spec.name.to_string())
                .collect();
            findings.push(Finding { what: "tools", ok: true, says: names.join(", ") });
            findings.push(match wiring::models(config, tools, http).await {
                Ok(models) => Finding { what: "models", ok: true, says: models.banner },
                Err(failure) => Finding { what: "models", ok: false, says: failure.to_string() },
            });
        }
    }
    findings.extend(kafka(config).await);
    findings
}

#[cfg(not(feature = "kafka"))]
async fn kafka(config: &Config) -> Vec<Finding> {
    let wanted = config.kafka.brokers.as_ref();
    wanted
        .map(|_| Finding { what: "Kafka", ok: false, says: "this build has none".to_owned() })
        .into_iter()
        .collect()
}

#[cfg(feature = "kafka")]
async fn kafka(config: &Config) -> Vec<Finding> {
    use callboard_ports::admin::TopicAdmin;
    use std::time::Duration;

    /// A broker that is up answers within this, its first connection included.
    const REACHED_WITHIN: Duration = Duration::from_secs(10);
    let Some(brokers) = &config.kafka.brokers else { return Vec::new() };
    let failed = |what, says: String| vec![Finding { what, ok: false, says }];
    let log = match wiring::kafka_log(config, brokers, "doctor", "doctor") {
        Ok(log) => log,
        Err(failure) => return failed("Kafka", failure.to_string()),
    };
    if let Err(error) = log.reachable(REACHED_WITHIN).await {
        return failed("Kafka", error.to_string());
    }
    let mut findings = vec![Finding { what: "Kafka", ok: true, says: format!("{} is reachable", brokers.0) }];
    findings.push(match log.diff().await {
        Ok(drift) if drift.is_empty() => {
            Finding { what: "topics", ok: true, says: "are as declared".to_owned() }
        }
        Ok(drift) => {
            let lines: Vec<String> = drift.iter().map(crate::startup::drift_line).collect();
            Finding { what: "topics", ok: !drift.iter().any(|one| one.fatal), says: lines.join("; ") }
        }
        Err(error) => Finding { what: "topics", ok: false, says: error.to_string() },
    });
    findings
}

fn repair(config: &Config) -> Outcome {
    if config.kafka.brokers.is_some() {
        return Err(Failure::usage("--repair-log is for the embedded log; Kafka's logs are Kafka's"));
    }
    let _held = wiring::data_dir(config)?;
    let report = wiring::repair_log(config)?;
    say(&report)
}
