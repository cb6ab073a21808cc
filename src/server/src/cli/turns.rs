//! `callboard turns`: what is open, in doubt or old, once or redrawn every second.

use serde_json::{Value, json};

use super::client::{Client, block_on, say_json, segment};
use super::columns::{columns, length, text};
use super::screen::{Line, REDRAWN_EVERY, Screen};
use super::{Failure, Global, Outcome, TurnsArgs};

pub fn run(global: &Global, args: &TurnsArgs) -> Outcome {
    let client = Client::new(global)?;
    let mut screen = Screen::new(args.watch);
    let mut show = |turns: &[Value]| {
        if global.json { say_json(&json!({ "turns": turns })) } else { screen.draw(&picture(turns)) }
    };
    block_on(async {
        // Only a server that was there, and that understood the filter, is waited for.
        show(&read(&client, args).await?)?;
        if !args.watch {
            return Ok(());
        }
        loop {
            tokio::time::sleep(REDRAWN_EVERY).await;
            match read(&client, args).await {
                Ok(turns) => show(&turns)?,
                Err(failure) => eprintln!("{failure}\r"),
            }
        }
    })
}

async fn read(client: &Client, args: &TurnsArgs) -> Result<Vec<Value>, Failure> {
    let mut path = String::from("/v1/turns?limit=200");
    for (name, value) in [("status", &args.status), ("older_than", &args.older_than), ("tool", &args.tool)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    client.all(&path, "turns", args.limit).await
}

fn picture(turns: &[Value]) -> Vec<Line> {
    let mut statuses: Vec<(String, usize)> = Vec::new();
    for turn in turns {
        let status = text(&turn["status"]);
        match statuses.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => statuses.push((status, 1)),
        }
    }
    let counts: Vec<String> = statuses.iter().map(|(status, count)| format!("{count} {status}")).collect();
    if turns.is_empty() {
        return vec![Line::bold("nothing is open")];
    }
    let head = ["STATUS", "AGE", "CONVERSATION", "TURN", "TOOLS", "WAITS FOR"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(turns.iter().map(row)).collect();
    let mut lines = vec![Line::bold(format!("{} open: {}", turns.len(), counts.join(", ")))];
    let table = columns(&rows);
    lines.extend(
        table.lines().enumerate().map(|(i, line)| if i == 0 { Line::bold(line) } else { Line::plain(line) }),
    );
    lines
}

fn row(turn: &Value) -> [String; 6] {
    let list =
        |name: &str| -> Vec<String> { turn[name].as_array().into_iter().flatten().map(text).collect() };
    let (doubts, approvals) = (list("in_doubt"), list("awaiting_approval"));
    let waits = match turn["retry_at"].as_str() {
        _ if !doubts.is_empty() => format!("settle {}", doubts.join(", ")),
        _ if !approvals.is_empty() => format!("approve {}", approvals.join(", ")),
        Some(at) => format!("retry at {at}"),
        None => String::new(),
    };
    let ended = if turn["ended"] == true { " (ended)" } else { "" };
    [
        format!("{}{ended}", text(&turn["status"])),
        length(turn["age_ms"].as_u64().unwrap_or(0)),
        text(&turn["conversation_id"]),
        text(&turn["turn"]),
        list("tools").join(","),
        waits,
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::picture;

    #[test]
    fn what_a_turn_waits_for_is_said() {
        let turns = [
            json!({ "status": "in_doubt", "ended": true, "age_ms": 320_000, "conversation_id": "c", "turn": 1,
                    "tools": ["webhook"], "in_doubt": ["c:k:1:s"], "retry_at": null }),
            json!({ "status": "backing_off", "ended": false, "age_ms": 900, "conversation_id": "d", "turn": 2,
                    "tools": ["weather"], "in_doubt": [], "retry_at": "2026-11-23T01:42:39.000Z" }),
        ];
        let lines: Vec<String> = picture(&turns).into_iter().map(|line| line.text).collect();
        assert_eq!(lines[0], "2 open: 1 in_doubt, 1 backing_off");
        assert!(lines[2].contains("in_doubt (ended)") && lines[2].contains("settle c:k:1:s"), "{lines:?}");
        assert!(lines[3].contains("0.9s") && lines[3].contains("retry at 2026"), "{lines:?}");
        assert_eq!(picture(&[])[0].text, "nothing is open");
    }
}
