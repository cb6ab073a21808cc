//! A turn's stream at a terminal: the answer appears as it is written. Taken up again where it broke off, also by a server that
//! died and came back. Used by `ask`, which tries again.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::client::{Client, Miss, Request, say};

const MEDIA: &str = "text/event-stream";

/// What was heard so far, over all connections.
#[derive(Debug, Default)]
pub struct Heard {
    /// Where the stream is taken up again, and behind which event.
    resume: Option<String>,
    last: String,
    /// Whether a piece of the answer stands on the terminal.
    pub spoken: bool,
}

/// Listens until the turn ends; a wait that runs out is a pending turn.
///
/// # Errors
/// Whether another try may help.
pub async fn listen(
    client: &Client,
    body: &Value,
    key: &str,
    wait: Duration,
    heard: &mut Heard,
) -> Result<Value, Miss> {
    let until = Instant::now() + wait;
    let url = heard.resume.clone();
    let request = match &url {
        None => Request::post("/v1/chat", body.clone()).header("Idempotency-Key", key.to_owned()),
        Some(url) => Request::get(url).header("Last-Event-ID", heard.last.clone()),
    };
    let mut response = client.tried(request.accept(MEDIA), None).await?;
    let mut events = Events::default();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(chunk) = tokio::time::timeout(left, response.chunk()).await else {
            return Ok(json!({ "status": "pending", "conversation_id": body["conversation_id"] }));
        };
        let Ok(Some(chunk)) = chunk else {
            return Err(Miss::Passing(Failure::job("the stream broke off")));
        };
        for event in events.push(&chunk) {
            if let Some(turn) = heard.take(event).map_err(Miss::Final)? {
                return Ok(turn);
            }
        }
    }
}

impl Heard {
    fn take(&mut self, event: Event) -> Result<Option<Value>, Failure> {
        match event.name.as_str() {
            "resume" => self.resume = event.data["url"].as_str().map(str::to_owned),
            "answer" => {
                let mut out = std::io::stdout().lock();
                let piece = event.data["text"].as_str().unwrap_or_default();
                out.write_all(piece.as_bytes()).and_then(|()| out.flush()).map_err(|_| Failure::Said)?;
                self.spoken = true;
            }
            "answer_restarted" if self.spoken => {
                say("")?;
                eprintln!("(the answer begins anew)");
                self.spoken = false;
            }
            "done" => {
                if self.spoken {
                    say("")?;
                }
                return Ok(Some(event.data));
            }
            _ => {}
        }
        self.last = event.id;
        Ok(None)
    }
}

#[derive(Debug, Default, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

/// Server-sent events from bytes as they arrive; one event is at most a step with its result.
#[derive(Default)]
struct Events(Vec<u8>);

impl Events {
    fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.0.extend_from_slice(bytes);
        let mut found = Vec::new();
        while let Some(end) = self.0.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.0.drain(..end + 2).collect();
            let mut event = Event::default();
            for line in String::from_utf8_lossy(&block).lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => id.clone_into(&mut event.id),
                    Some(("event", name)) => name.clone_into(&mut event.name),
                    Some(("data", data)) => event.data = serde_json::from_str(data).unwrap_or_default(),
                    _ => {}
                }
            }
            if !event.name.is_empty() {
                found.push(event);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Event, Events};

    #[test]
    fn events_are_whole_however_they_arrive() {
        let wire = "id: 1.1\nevent: answer\ndata: {\"text\":\"Grüße\\n\"}\n\n: ping\n\nid: 2.1\nevent: done\ndata: {}\n\n";
        let event = |id: &str, name: &str, data| Event { id: id.into(), name: name.into(), data };
        let all = [event("1.1", "answer", json!({ "text": "Grüße\n" })), event("2.1", "done", json!({}))];
        for size in [1, 3, 1_000] {
            let mut events = Events::default();
            let found: Vec<_> = wire.as_bytes().chunks(size).flat_map(|part| events.push(part)).collect();
            assert_eq!(found, all, "in parts of {size}");
        }
    }
}
