//! `callboard actors`: the tree of a running server, once or redrawn every second.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::{Client, Request, block_on, say_json};
use super::columns::cut;
use super::screen::{Line, REDRAWN_EVERY, Screen, Tone};
use super::{ActorOrder, ActorsArgs, Failure, Global, Outcome};

/// Pictures for which a restart stays marked: long enough to be seen, gone before the next one matters.
const MARKED_FOR: u32 = 5;
/// What an actor has in hand is cut to this many characters; `--json` shows it whole.
const WORK: usize = 60;

pub fn run(global: &Global, args: &ActorsArgs) -> Outcome {
    let client = Client::new(global)?;
    let (mut screen, mut marks) = (Screen::new(args.watch), Marks::default());
    let mut show = |tree: &Value| {
        if global.json { say_json(tree) } else { screen.draw(&picture(tree, args.sort, &mut marks)) }
    };
    block_on(async {
        // Only a server that was there is waited for.
        show(&read(&client).await?)?;
        if !args.watch {
            return Ok(());
        }
        loop {
            tokio::time::sleep(REDRAWN_EVERY).await;
            match read(&client).await {
                Ok(tree) => show(&tree)?,
                Err(failure) => eprintln!("{failure}\r"),
            }
        }
    })
}

async fn read(client: &Client) -> Result<Value, Failure> {
    client.json(Request::get("/admin/v1/actors")).await
}

/// Restarts as they were in the picture before, so that new ones stand out.
#[derive(Default)]
struct Marks {
    before: BTreeMap<String, (u64, u32)>,
}

impl Marks {
    /// Whether the actor was restarted a moment ago.
    fn look(&mut self, path: &str, restarts: u64) -> bool {
        let (known, left) = self.before.get(path).copied().unwrap_or((restarts, 0));
        let left = if restarts > known { MARKED_FOR } else { left.saturating_sub(1) };
        self.before.insert(path.to_owned(), (restarts, left));
        left > 0
    }
}

/// An actor of the tree.
struct Actor<'a> {
    depth: usize,
    path: &'a str,
    value: &'a Value,
}

impl Actor<'_> {
    fn text(&self, name: &str) -> &str {
        self.value[name].as_str().unwrap_or("?")
    }

    fn restarts(&self) -> u64 {
        self.value["restarts"].as_u64().unwrap_or(0)
    }

    fn waiting(&self) -> u64 {
        self.value["mailbox"]["depth"].as_u64().unwrap_or(0)
    }

    fn endings(&self) -> impl Iterator<Item = (&str, u64)> {
        let endings = self.value["endings"].as_object().into_iter().flatten();
        endings.map(|(ending, count)| (ending.as_str(), count.as_u64().unwrap_or(0)))
    }

    fn line(&self, as_tree: bool, marks: &mut Marks) -> Line {
        let name = if as_tree && self.depth > 0 {
            self.path.rsplit('/').next().unwrap_or(self.path)
        } else {
            self.path
        };
        let indent = if as_tree { self.depth * 2 } else { 0 };
        let mailbox = format!("{}/{}", self.waiting(), self.value["mailbox"]["capacity"]);
        let restarts = match self.restarts() {
            0 => String::new(),
            n => format!("  restarts {n} ({})", counted(self.endings())),
        };
        let work = match &self.value["work"] {
            Value::Null => String::new(),
            work => format!("  {}", cut(&work.to_string(), WORK)),
        };
        let (kind, state) = (self.text("kind"), self.text("state"));
        let text = format!("{:indent$}{name}  [{kind}] {state}  mailbox {mailbox}{restarts}{work}", "");
        let tone = match state {
            _ if marks.look(self.path, self.restarts()) => Tone::Changed,
            "silent" | "wedged" | "restarting" | "backing off" => Tone::Wrong,
            _ => Tone::Plain,
        };
        Line { text, tone }
    }
}

/// `panicked 2, killed 1`, the most frequent first.
fn counted<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut all: Vec<(&str, u64)> = counts.collect();
    all.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let words: Vec<String> = all.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// Workers that have nothing to do and never had anything happen to them: dozens, and nothing to see.
fn is_dull(value: &Value) -> bool {
    value["kind"] == "worker" && value["state"] == "idle" && value["restarts"] == 0
}

fn collect<'a>(value: &'a Value, depth: usize, into: &mut Vec<Actor<'a>>) {
    into.push(Actor { depth, path: value["path"].as_str().unwrap_or("?"), value });
    for child in value["children"].as_array().into_iter().flatten() {
        collect(child, depth + 1, into);
    }
}

fn picture(tree: &Value, order: ActorOrder, marks: &mut Marks) -> Vec<Line> {
    let mut actors = Vec::new();
    collect(tree, 0, &mut actors);
    let mut endings: BTreeMap<&str, u64> = BTreeMap::new();
    for (ending, count) in actors.iter().flat_map(Actor::endings) {
        *endings.entry(ending).or_default() += count;
    }
    let restarts: u64 = actors.iter().map(Actor::restarts).sum();
    let endings = counted(endings.into_iter());
    let mut lines =
        vec![Line::bold(format!("{} actors, {restarts} restarts; endings: {endings}", actors.len()))];
    match order {
        ActorOrder::Tree => {}
        ActorOrder::Path => actors.sort_by_key(|actor| actor.path),
        ActorOrder::Restarts => actors.sort_by_key(|actor| (std::cmp::Reverse(actor.restarts()), actor.path)),
        ActorOrder::Mailbox => actors.sort_by_key(|actor| (std::cmp::Reverse(actor.waiting()), actor.path)),
        ActorOrder::Kind => {
            actors.sort_by(|a, b| (a.text("kind"), a.path).cmp(&(b.text("kind"), b.path)));
        }
    }
    if order == ActorOrder::Tree {
        let runs = actors.chunk_by(|a, b| a.depth == b.depth && is_dull(a.value) && is_dull(b.value));
        for run in runs {
            match run {
                [first, _, ..] => {
                    let text =
                        format!("{:indent$}… {} idle workers", "", run.len(), indent = first.depth * 2);
                    lines.push(Line::plain(text));
                }
                _ => lines.extend(run.iter().map(|actor| actor.line(true, marks))),
            }
        }
    } else {
        lines.extend(actors.iter().map(|actor| actor.line(false, marks)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MARKED_FOR, Marks, Tone, picture};
    use crate::cli::ActorOrder;

    fn actor(path: &str, restarts: u64, depth: u64, children: Vec<Value>) -> Value {
        let endings = if restarts > 0 { json!({ "panicked": restarts }) } else { json!({}) };
        json!({ "path": path, "kind": "x", "state": "running", "restarts": restarts, "endings": endings,
                "mailbox": { "depth": depth, "capacity": 64 }, "work": null, "children": children })
    }

    fn tree(restarts: u64) -> Value {
        actor("/", 0, 0, vec![actor("/b", restarts, 1, vec![]), actor("/a", 1, 9, vec![])])
    }

    #[test]
    fn restarts_stand_out_for_a_while() {
        let mut marks = Marks::default();
        let tone = |restarts, marks: &mut Marks| picture(&tree(restarts), ActorOrder::Tree, marks)[2].tone;
        assert_eq!(tone(2, &mut marks), Tone::Plain, "what was so before anybody looked is no news");
        assert_eq!(tone(3, &mut marks), Tone::Changed);
        let shown = (0..MARKED_FOR).filter(|_| tone(3, &mut marks) == Tone::Changed).count();
        assert_eq!(shown, MARKED_FOR as usize - 1);
    }

    #[test]
    fn idle_workers_are_one_line_of_the_tree() {
        let worker = |n: u32, state: &str, restarts: u64| {
            let mut worker = actor(&format!("/p/worker-{n}"), restarts, 0, vec![]);
            worker["kind"] = "worker".into();
            worker["state"] = state.into();
            worker
        };
        let workers =
            vec![worker(0, "busy", 0), worker(1, "idle", 0), worker(2, "idle", 0), worker(3, "idle", 1)];
        let tree = actor("/p", 0, 0, workers);
        let lines: Vec<String> = picture(&tree, ActorOrder::Tree, &mut Marks::default())
            .into_iter()
            .map(|line| line.text)
            .collect();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[3], "  … 2 idle workers");
        assert!(lines[2].contains("busy") && lines[4].contains("restarts 1"), "{lines:?}");
        assert_eq!(picture(&tree, ActorOrder::Path, &mut Marks::default()).len(), 6, "a list has them all");
    }

    #[test]
    fn it_is_a_tree_or_the_most_telling_first() {
        let of = |order| {
            let lines = picture(&tree(2), order, &mut Marks::default());
            assert_eq!(lines[0].text, "3 actors, 3 restarts; endings: panicked 3");
            lines[1].text.split_whitespace().next().unwrap().to_owned()
        };
        assert_eq!(of(ActorOrder::Tree), "/");
        assert_eq!(of(ActorOrder::Restarts), "/b");
        assert_eq!(of(ActorOrder::Mailbox), "/a");
    }
}
