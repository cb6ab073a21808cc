//! A reader of server-sent events, as a stranger would write it.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::Value;

use crate::world::Server;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

/// An open stream.
pub struct Listener(BufReader<reqwest::blocking::Response>);

impl Listener {
    /// Asks, and listens.
    pub fn ask(server: &Server, body: &Value, headers: &[(&str, &str)]) -> Self {
        let mut request = client().post(format!("{}/v1/chat", server.url)).body(body.to_string());
        request = request.header("content-type", "application/json").header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self::of(request.send().unwrap())
    }

    /// Takes a stream up again behind the event of this id.
    pub fn resume(server: &Server, url: &str, after: &str) -> Self {
        let request = client().get(format!("{}{url}", server.url)).header("last-event-id", after);
        Self::of(request.send().unwrap())
    }

    fn of(response: reqwest::blocking::Response) -> Self {
        let (status, media) = (response.status(), response.headers().get("content-type").cloned());
        assert_eq!(status.as_u16(), 200, "{}", response.text().unwrap());
        assert_eq!(media.unwrap(), "text/event-stream");
        Self(BufReader::new(response))
    }

    /// The next event; nothing when the stream ends or breaks off.
    pub fn next(&mut self) -> Option<Event> {
        let mut event = Event { id: String::new(), name: String::new(), data: Value::Null };
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                _ if event.name.is_empty() => {}
                _ => return Some(event),
            }
        }
    }

    /// Everything that follows.
    pub fn rest(mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

fn client() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder().timeout(Duration::from_secs(120)).build().unwrap()
}

/// Names of events.
pub fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// The pieces since the last restart, joined.
pub fn answer(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        match event.name.as_str() {
            "answer" => text.push_str(event.data["text"].as_str().unwrap()),
            "answer_restarted" => text.clear(),
            _ => {}
        }
    }
    text
}
