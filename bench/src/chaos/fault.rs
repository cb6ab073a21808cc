//! What can be broken, and what came of breaking it: the seed chooses among the kinds that the installation has.

use crate::arguments::Breakable;
use crate::seed::Seed;
use crate::stage::{Role, Stage};

/// A way to break something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SIGKILL, restarted at once.
    Process(Role),
    /// An actor, through the endpoint, anywhere in the tree.
    Actor,
    /// SIGKILL of a broker, restarted after some seconds.
    Broker,
    /// SIGSTOP for 20 s: long enough for a session to be lost, so that a zombie comes back.
    Freeze(Role),
}

/// (kind, weight). Brokers and zombies take their time; the rest is quick.
const EMBEDDED: &[(Kind, usize)] =
    &[(Kind::Process(Role::Serve), 10), (Kind::Actor, 10), (Kind::Freeze(Role::Serve), 1)];
const ON_KAFKA: &[(Kind, usize)] = &[
    (Kind::Process(Role::Serve), 6),
    (Kind::Process(Role::Tools), 5),
    (Kind::Process(Role::Synthesis), 3),
    (Kind::Actor, 8),
    (Kind::Broker, 5),
    (Kind::Freeze(Role::Serve), 1),
    (Kind::Freeze(Role::Tools), 1),
    (Kind::Freeze(Role::Synthesis), 1),
];

impl Kind {
    /// One of those that the installation has and `only` names; nothing when there is none.
    pub fn choose(stage: &Stage, only: &[Breakable], seed: &Seed) -> Option<Self> {
        let table = if stage.engine.kafka().is_some() { ON_KAFKA } else { EMBEDDED };
        let asked = |(kind, _): &&(Self, usize)| only.is_empty() || only.contains(&kind.breakable());
        let asked: Vec<&(Self, usize)> = table.iter().filter(asked).collect();
        let mut at = seed.below(asked.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in asked {
            if at < *weight {
                return Some(*kind);
            }
            at -= weight;
        }
        None
    }

    fn breakable(self) -> Breakable {
        match self {
            Self::Process(Role::Serve) => Breakable::Serve,
            Self::Process(Role::Tools) => Breakable::Tools,
            Self::Process(Role::Synthesis) => Breakable::Synthesis,
            Self::Actor => Breakable::Actor,
            Self::Broker => Breakable::Broker,
            Self::Freeze(_) => Breakable::Freeze,
        }
    }
}

/// Whose progress tells that what was broken works again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Any open turn's.
    All,
    /// What only the process that hosts conversations writes.
    Host,
    /// An open turn's of this partition.
    Partition(u32),
    /// Results of tools.
    Results,
    /// Final answers.
    Answers,
}

/// A fault that took place.
#[derive(Debug, Clone)]
pub struct Fault {
    pub at_ms: i64,
    /// The kind, for figures: `serve killed`, `supervisor killed`, …
    pub kind: String,
    /// What exactly.
    pub what: String,
    pub scope: Scope,
    /// False for the moment when something came back: timed like a fault, and none.
    pub counts: bool,
}

/// An actor as the tree shows it.
#[derive(Debug, Clone)]
pub struct Actor {
    pub path: String,
    pub kind: String,
    pub is_supervisor: bool,
}

/// All actors of a tree, the root last in importance: kinds are chosen first, so that a thousand conversations do not
/// crowd out one bridge.
pub fn choose_actor(tree: &serde_json::Value, seed: &Seed) -> Option<Actor> {
    let mut actors = Vec::new();
    collect(tree, &mut actors);
    let mut kinds: Vec<String> = actors.iter().map(|actor| actor.kind.clone()).collect();
    kinds.sort();
    kinds.dedup();
    let kind = seed.pick(&kinds)?;
    let of_kind: Vec<&Actor> = actors.iter().filter(|actor| actor.kind == *kind).collect();
    seed.pick(&of_kind).map(|actor| (*actor).clone())
}

fn collect(node: &serde_json::Value, into: &mut Vec<Actor>) {
    let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
    let (path, kind) = (text("path"), text("kind"));
    let known = !path.is_empty() && kind != "unknown";
    if known {
        // Bridges, hosts, pools: whoever watches children, also while it has none.
        let leaf = ["conversation", "worker"].iter().any(|leaf| kind.contains(leaf));
        into.push(Actor { path, kind, is_supervisor: !leaf });
    }
    for child in node["children"].as_array().map(Vec::as_slice).unwrap_or_default() {
        collect(child, into);
    }
}

/// Whose progress an actor's path is about.
pub fn scope_of(path: &str) -> Scope {
    let part = |prefix: &str| path.split('/').find_map(|part| part.strip_prefix(prefix));
    if let Some(partition) = part("host-").and_then(|number| number.parse().ok()) {
        return Scope::Partition(partition);
    }
    if part("pool-").is_some() {
        return Scope::Results;
    }
    if part("synthesis-").is_some() {
        return Scope::Answers;
    }
    Scope::All
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Scope, choose_actor, scope_of};
    use crate::seed::Seed;

    #[test]
    fn every_kind_of_actor_is_hit_however_many_there_are_of_one() {
        let talks: Vec<_> = (0..500)
            .map(
                |n| json!({"path": format!("/bridge-0/host-0/c{n}"), "kind": "conversation", "children": []}),
            )
            .collect();
        let tree = json!({"path": "/", "kind": "guardian", "children": [
            {"path": "/bridge-0", "kind": "bridge", "children": talks},
            {"path": "/x", "kind": "unknown", "children": []},
        ]});
        let seed = Seed::new(3);
        let hit: Vec<_> = (0..60).filter_map(|_| choose_actor(&tree, &seed)).collect();
        for kind in ["guardian", "bridge", "conversation"] {
            assert!(hit.iter().filter(|actor| actor.kind == kind).count() > 5, "{kind}");
        }
        assert!(hit.iter().all(|actor| actor.is_supervisor == (actor.kind != "conversation")));
        assert!(hit.iter().all(|actor| actor.kind != "unknown"));
    }

    #[test]
    fn a_path_tells_whose_progress_it_is_about() {
        assert_eq!(scope_of("/bridge-0/host-3/talk-1"), Scope::Partition(3));
        assert_eq!(scope_of("/pool-default-0/worker-2"), Scope::Results);
        assert_eq!(scope_of("/synthesis-0"), Scope::Answers);
        assert_eq!(scope_of("/"), Scope::All);
    }
}
