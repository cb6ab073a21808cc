//! One client: a connection of its own, kept open, that asks a question and reads the whole answer. Lean on purpose: it shares
//! its cores with what it measures.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Nothing that is measured takes longer; whatever does has hung.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of an answer that is wrong.
const MOST_SHOWN: usize = 2_000;

/// What a question must be answered with.
#[derive(Debug, Clone)]
pub struct Ask {
    pub message: String,
    /// Every one of them must be in the answer.
    pub facts: Vec<String>,
}

/// A question that the server does not take: too large, or not to be understood.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {detail}")]
pub struct Refused {
    status: u16,
    detail: String,
}

/// A connection to a server.
pub struct Client {
    address: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// `url` as `http://HOST:PORT`.
    pub async fn connect(url: &str) -> Result<Self> {
        let address = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&address).await.context("the server takes no connection")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// Asks, waits for the answer and checks it; the time that it took.
    pub async fn ask(&mut self, conversation: &str, ask: &Ask) -> Result<Duration> {
        let body = json!({ "message": ask.message, "conversation_id": conversation }).to_string();
        let request = Request::post("/v1/chat")
            .header("host", &self.address)
            .header("content-type", "application/json")
            .header("prefer", "wait=60")
            .body(Full::new(Bytes::from(body)))?;
        let began = Instant::now();
        let reply = tokio::time::timeout(PATIENCE, async {
            self.sender.ready().await?;
            let reply = self.sender.send_request(request).await?;
            let status = reply.status();
            anyhow::Ok((status, reply.into_body().collect().await?.to_bytes()))
        });
        let (status, body) = reply.await.context("no answer in a minute")??;
        let took = began.elapsed();
        let turn: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = turn["answer"].as_str().unwrap_or_default();
        if matches!(status.as_u16(), 400 | 413 | 422) {
            let told = turn["detail"].as_str().or(turn["title"].as_str()).unwrap_or("no reason given");
            bail!(Refused { status: status.as_u16(), detail: told.to_owned() });
        }
        if status != 200 || turn["status"] != "answered" {
            bail!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(MOST_SHOWN)]));
        }
        match ask.facts.iter().find(|fact| !answer.contains(fact.as_str())) {
            Some(fact) => {
                let shown: String = answer.chars().take(MOST_SHOWN).collect();
                bail!("the answer lacks {fact:?}: {shown}")
            }
            None => Ok(took),
        }
    }
}
