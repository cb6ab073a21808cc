//! `/healthz` (the process answers), `/readyz` (a question would be served), `/metrics`.

use std::fmt;
use std::sync::atomic::Ordering;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, web};
use callboard_actors::{MetricKind, MetricLine, Metrics};
use callboard_mcp::{Phase, Status};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::api::Api;
use super::dto::ReadyDto;
use super::model_metrics;
use super::problem::Problem;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = String)))]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// Owned partitions are caught up, and a question would be served.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, body = ReadyDto), (status = 503, body = ReadyDto)))]
pub async fn readyz(api: web::Data<Api>) -> HttpResponse {
    let ready = if api.is_stopping() {
        ReadyDto { ready: false, waiting_for: vec!["this server is stopping".to_owned()] }
    } else {
        match api.running() {
            Err(problem) => ReadyDto { ready: false, waiting_for: vec![problem.detail.clone()] },
            Ok(running) => {
                let mut readiness = running.node.readiness();
                readiness.waiting_for.extend((running.unreachable)());
                ReadyDto {
                    ready: readiness.ready && readiness.waiting_for.is_empty(),
                    waiting_for: readiness.waiting_for,
                }
            }
        }
    };
    let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = HttpResponse::build(status);
    if !ready.ready {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response.json(ready)
}

const REFUSALS: (&str, &str, MetricKind) = (
    "callboard_http_refusals",
    "HTTP requests that were refused, by status and reason.",
    MetricKind::Counter,
);

const SERVER_UP: (&str, &str, MetricKind) =
    ("callboard_mcp_server_up", "Whether the tools of an MCP server can be called.", MetricKind::Gauge);
const SERVER_STARTS: (&str, &str, MetricKind) =
    ("callboard_mcp_server_starts", "Starts of an MCP server, the first one included.", MetricKind::Counter);

fn of_servers(servers: &[Status]) -> Vec<MetricLine> {
    let of = |server: &Status| {
        let up = u64::from(server.phase == Phase::Up);
        [(SERVER_UP, up), (SERVER_STARTS, server.generation)].map(|((name, help, kind), value)| MetricLine {
            name,
            help,
            kind,
            labels: vec![("server", server.name.to_string())],
            value: value as f64,
        })
    };
    servers.iter().flat_map(of).collect()
}

/// Counters and gauges for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let mut lines = api.running().map(|running| running.node.metrics().snapshot()).unwrap_or_default();
    if let Ok(running) = api.running() {
        lines.extend(model_metrics::lines(&running.models.read()));
    }
    for (digit, count) in api.answers.iter().enumerate().skip(1) {
        lines.push(MetricLine {
            name: "callboard_http_answers",
            help: "HTTP answers by the first digit of their status.",
            kind: MetricKind::Counter,
            labels: vec![("status", format!("{digit}xx"))],
            value: count.load(Ordering::Relaxed) as f64,
        });
    }
    for ((status, reason), count) in api.refusals() {
        lines.push(MetricLine {
            name: REFUSALS.0,
            help: REFUSALS.1,
            kind: REFUSALS.2,
            labels: vec![("status", status.to_string()), ("reason", reason)],
            value: count as f64,
        });
    }
    lines.extend(api.running().map(|running| of_servers(&running.mcp.status())).unwrap_or_default());
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Lines(lines)));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Problem::internal())?;
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(HttpResponse::Ok().content_type(media).body(text))
}

#[derive(Debug)]
struct Lines(Vec<MetricLine>);

impl Collector for Lines {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        // A family is described once, so that its lines have to stand together.
        let mut names: Vec<&'static str> = Vec::new();
        for line in &self.0 {
            if !names.contains(&line.name) {
                names.push(line.name);
            }
        }
        // What has not happened yet is described all the same, so that boards and alerts can be checked against it.
        let own = [REFUSALS, SERVER_UP, SERVER_STARTS];
        let silent = Metrics::described().into_iter().chain(own).chain(model_metrics::FAMILIES);
        for (name, help, kind) in silent.filter(|(name, ..)| !names.contains(name)) {
            encoder.encode_descriptor(name, help, None, metric_type(kind))?;
        }
        for name in names {
            let lines: Vec<&MetricLine> = self.0.iter().filter(|line| line.name == name).collect();
            let Some(first) = lines.first() else { continue };
            let mut family = encoder.encode_descriptor(name, first.help, None, metric_type(first.kind))?;
            if first.labels.is_empty() {
                number(first, family)?;
                continue;
            }
            for line in &lines {
                number(line, family.encode_family(&line.labels)?)?;
            }
        }
        Ok(())
    }
}

fn metric_type(kind: MetricKind) -> MetricType {
    match kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
    }
}

fn number(line: &MetricLine, encoder: prometheus_client::encoding::MetricEncoder<'_>) -> fmt::Result {
    match line.kind {
        MetricKind::Counter => ConstCounter::new(line.value).encode(encoder),
        MetricKind::Gauge => ConstGauge::new(line.value).encode(encoder),
    }
}
