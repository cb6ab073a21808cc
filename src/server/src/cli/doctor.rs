//! `callboard doctor`: looks at configuration, data folder, log, Kafka, topics and models, or asks the server that
//! holds the folder, and says what it finds. It makes nothing that is not there; `compose.yaml` takes it as the
//! health check.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Access;
use serde::Serialize;

use super::client::{block_on, say, say_json};
use super::{DoctorArgs, Failure, Global, Outcome};
use crate::App;
use crate::config::Config;
use crate::wiring;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    says: String,
}

pub fn run(global: &Global, args: &DoctorArgs, app: &App) -> Outcome {
    let config = crate::settings(global, &[])?.config;
    if args.repair_log {
        return repair(&config);
    }
    let findings = block_on(async { Ok(examine(&config, app).await) })?;
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

/// A server that holds the data folder looks after folder, log, Kafka and models itself, and is asked; that is
/// cheap enough for a health check. Without one each part is tried.
async fn examine(config: &Config, app: &App) -> Vec<Finding> {
    let mut findings = vec![Finding { what: "configuration", ok: true, says: "is understood".to_owned() }];
    let http = tokio::runtime::Handle::current();
    let models = wiring::models(config, http.clone()).await;
    let completer = models.as_ref().ok().map(|models| models.completer.clone());
    let tools = wiring::tools(config, wiring::Beside { http, completer, embedder: None, own: &app.tools });
    let known = match &tools {
        Err(failure) => Finding { what: "tools", ok: false, says: failure.to_string() },
        Ok(tools) => {
            let specs = callboard_ports::tool::ToolRegistry::specs(&**tools);
            let names: Vec<String> = specs.iter().map(|spec| spec.name.to_string()).collect();
            Finding { what: "tools", ok: true, says: names.join(", ") }
        }
    };
    if let Some(address) = wiring::holder_address(&config.data_dir) {
        let says = format!("{} is in use by the server at {address}", config.data_dir.display());
        findings.push(Finding { what: "data folder", ok: true, says });
        findings.push(server(&address).await);
        findings.push(known);
        // A second copy of each would be started to be looked at; `/admin/v1/actors` shows those that run.
        if let Err(failure) = wiring::mcp::settings(config) {
            findings.push(Finding { what: "MCP servers", ok: false, says: failure.to_string() });
        }
        return findings;
    }
    findings.extend(folder(config));
    findings.push(known);
    if let Ok(tools) = tools {
        findings.extend(examined(models, tools).await);
    }
    findings.extend(mcp(config).await);
    findings.extend(kafka(config).await);
    findings
}

/// Who would plan, and whether each model server is there, takes its key and has its model.
async fn examined(
    models: Result<callboard_models::Connected, Failure>,
    tools: Arc<callboard_tools::Registry>,
) -> Vec<Finding> {
    let failed = |failure: String| vec![Finding { what: "models", ok: false, says: failure }];
    let connected = match models {
        Ok(connected) => connected,
        Err(failure) => return failed(failure.to_string()),
    };
    let examined = connected.examine().await;
    let mut findings = match connected.build(tools) {
        Ok(models) => vec![Finding { what: "models", ok: true, says: models.banner }],
        Err(error) => return failed(error.to_string()),
    };
    let each = examined.into_iter().map(|one| Finding { what: one.what, ok: one.ok, says: one.says });
    findings.extend(each);
    findings
}

/// Each MCP server, started and stopped again.
async fn mcp(config: &Config) -> Vec<Finding> {
    let what = "MCP server";
    match wiring::mcp::try_out(config).await {
        Err(failure) => vec![Finding { what, ok: false, says: failure.to_string() }],
        Ok(servers) => {
            let finding = |(ok, says)| Finding { what, ok, says };
            servers.iter().map(wiring::mcp::says).map(finding).collect()
        }
    }
}

/// A server on this machine says at once whether it is ready; one that takes longer is not well.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Asks the server that listens on `address` whether it is ready.
async fn server(address: &str) -> Finding {
    let url = format!("http://{}", reachable(address));
    let (ok, says) = match ready(&url).await {
        Ok((200, _)) => (true, format!("{url} is ready")),
        Ok((_, waiting)) if !waiting.is_empty() => {
            (false, format!("{url} is not ready: {}", waiting.join("; ")))
        }
        Ok((status, _)) => (false, format!("{url}/readyz answers {status}")),
        Err(error) if error.is_timeout() => {
            (false, format!("{url} did not answer within {} s", READY_WITHIN.as_secs()))
        }
        Err(error) if error.is_connect() => (false, format!("nobody answers at {url}")),
        Err(error) => (false, format!("{url}: {}", error.without_url())),
    };
    Finding { what: "server", ok, says }
}

/// The status of `/readyz` and what the server waits for.
async fn ready(url: &str) -> Result<(u16, Vec<String>), reqwest::Error> {
    // A proxy would be asked for its own loopback.
    let http = reqwest::Client::builder().no_proxy().timeout(READY_WITHIN).build()?;
    let answer = http.get(format!("{url}/readyz")).send().await?;
    let status = answer.status().as_u16();
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    let waiting = body["waiting_for"].as_array().into_iter().flatten();
    Ok((status, waiting.filter_map(|one| one.as_str().map(str::to_owned)).collect()))
}

/// A server on all addresses is on loopback too.
fn reachable(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(all)) if all.ip().is_unspecified() => format!("127.0.0.1:{}", all.port()),
        Ok(SocketAddr::V6(all)) if all.ip().is_unspecified() => format!("[::1]:{}", all.port()),
        _ => address.to_owned(),
    }
}

/// Data folder and log, when no server has them. What is not there yet is not made here.
fn folder(config: &Config) -> Vec<Finding> {
    let finding = |ok, says| vec![Finding { what: "data folder", ok, says }];
    let path = config.data_dir.display();
    let exists = config.data_dir.exists();
    if !exists || (config.data_dir.is_dir() && !has_format(config)) {
        let what = if exists { "holds no data yet" } else { "does not exist yet" };
        return match could_be_made(&config.data_dir) {
            Ok(()) => finding(true, format!("{path} {what}; `callboard serve` makes its data there")),
            Err(why) => {
                finding(false, format!("{path} {what}, and `callboard serve` could not use it: {why}"))
            }
        };
    }
    let data = match wiring::data_dir(config) {
        Ok(data) => data,
        Err(failure) => return finding(false, failure.to_string()),
    };
    let mut findings = finding(true, format!("{path} can be used"));
    if config.kafka.brokers.is_none() {
        let (ok, says) = if wiring::log_folder(config).exists() {
            match wiring::engine(config, &data, "doctor") {
                Ok(_) => (true, "opens".to_owned()),
                Err(failure) => (false, failure.to_string()),
            }
        } else {
            (true, "no log yet; `callboard serve` makes it".to_owned())
        };
        findings.push(Finding { what: "embedded log", ok, says });
    }
    findings
}

/// Every folder that a server once claimed says its format.
fn has_format(config: &Config) -> bool {
    config.data_dir.join("format").exists()
}

/// Whether a folder could be made at `path` or, where there is one, be written; the nearest thing that exists
/// decides.
fn could_be_made(path: &Path) -> Result<(), String> {
    let path = std::path::absolute(path).map_err(|e| e.to_string())?;
    // A link to nowhere exists too: no folder can be made in its place.
    let nearest = path.ancestors().find(|at| at.symlink_metadata().is_ok()).unwrap_or(&path);
    let name = nearest.display();
    if !nearest.is_dir() {
        return Err(format!("{name} is no folder"));
    }
    rustix::fs::access(nearest, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|errno| format!("{name} cannot be written: {}", std::io::Error::from(errno)))?;
    if is_kernels(nearest) {
        return Err(format!("{name} is the kernel's and takes no folders"));
    }
    Ok(())
}

/// `/proc` and `/sys`: root may write there by their permissions, yet can make nothing.
#[cfg(target_os = "linux")]
fn is_kernels(folder: &Path) -> bool {
    /// As the kernel's magic.h has it.
    const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;
    rustix::fs::statfs(folder)
        .is_ok_and(|of| [rustix::fs::PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&of.f_type))
}

#[cfg(not(target_os = "linux"))]
fn is_kernels(_: &Path) -> bool {
    false
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
    if !has_format(config) || !wiring::log_folder(config).exists() {
        return Err(Failure::usage(format!("{} has no embedded log to repair", config.data_dir.display())));
    }
    let _held = wiring::data_dir(config)?;
    let report = wiring::repair_log(config)?;
    say(&report)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::Path;

    use super::{Finding, block_on, examine, folder, reachable};
    use crate::App;
    use crate::config::Config;
    use crate::wiring;

    fn with_folder(path: &Path) -> Config {
        Config { data_dir: path.to_owned(), ..Config::default() }
    }

    fn is_empty(path: &Path) -> bool {
        std::fs::read_dir(path).unwrap().next().is_none()
    }

    #[test]
    fn what_is_not_there_is_not_made() {
        let temporary = tempfile::tempdir().unwrap();
        let [found] = &folder(&with_folder(&temporary.path().join("a/b")))[..] else { panic!("one finding") };
        assert!(found.ok && found.says.contains("does not exist yet"), "{found:?}");
        let [found] = &folder(&with_folder(temporary.path()))[..] else { panic!("one finding") };
        assert!(found.ok && found.says.contains("holds no data yet"), "{found:?}");
        assert!(is_empty(temporary.path()));

        drop(wiring::data_dir(&with_folder(temporary.path())).unwrap());
        let [_, log] = &folder(&with_folder(temporary.path()))[..] else { panic!("folder and log") };
        assert!(log.ok && log.says.starts_with("no log yet"), "{log:?}");
        assert!(!temporary.path().join("log").exists());
    }

    #[test]
    fn a_folder_that_could_not_be_made_is_a_fault() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut impossible = vec![file.path().join("x"), file.path().to_owned()];
        if cfg!(target_os = "linux") {
            impossible.push("/proc/x".into());
        }
        for path in impossible {
            let [found] = &folder(&with_folder(&path))[..] else { panic!("one finding") };
            assert!(!found.ok, "{found:?}");
        }
    }

    /// What doctor finds while a server holds the folder and answers `/readyz` so.
    fn beside_a_server(status: &str, body: &str) -> Vec<Finding> {
        let temporary = tempfile::tempdir().unwrap();
        let mut config = with_folder(temporary.path());
        // Neither would answer: the server is asked instead.
        config.kafka.brokers = Some(crate::config::Brokers("127.0.0.1:1".to_owned()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut held = wiring::data_dir(&config).unwrap();
        held.publish_address(&format!("0.0.0.0:{}", listener.local_addr().unwrap().port())).unwrap();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let server = std::thread::spawn(move || {
            let (mut caller, _) = listener.accept().unwrap();
            let mut request = [0; 4_096];
            let read = caller.read(&mut request).unwrap();
            caller.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let findings = block_on(async { Ok(examine(&config, &App::new()).await) }).unwrap();
        assert!(server.join().unwrap().starts_with("GET /readyz "));
        findings
    }

    #[test]
    fn the_server_that_holds_the_folder_answers_for_the_rest() {
        let findings = beside_a_server("200 OK", r#"{"ready":true,"waiting_for":[]}"#);
        assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
        let whats: Vec<&str> = findings.iter().map(|finding| finding.what).collect();
        assert_eq!(whats, ["configuration", "data folder", "server", "tools"]);

        let waits = r#"{"ready":false,"waiting_for":["partition 3","no broker"]}"#;
        let findings = beside_a_server("503 Service Unavailable", waits);
        let server = findings.iter().find(|finding| finding.what == "server").unwrap();
        assert!(!server.ok && server.says.ends_with("is not ready: partition 3; no broker"), "{server:?}");
    }

    #[test]
    fn all_addresses_are_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reachable("[::]:8080"), "[::1]:8080");
        assert_eq!(reachable("10.0.0.1:80"), "10.0.0.1:80");
    }
}
