//! Finding somebody in the actor tree, as `GET /admin/v1/actors` shows it: whom [`super::scenes`] kills.

use serde_json::Value;

/// A supervisor of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Pool,
    Host,
    Bridge,
}

impl Target {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Pool => "the tool pool with all its workers",
            Self::Host => "the partition host with its conversations",
            Self::Bridge => "the Kafka bridge with all partitions",
        }
    }

    /// Its path, near the conversation.
    #[must_use]
    pub fn find(self, tree: &Value, conversation: &str) -> Option<String> {
        let children = |actor: &Value| actor["children"].as_array().cloned().unwrap_or_default();
        let path = |actor: &Value| actor["path"].as_str().map(str::to_owned);
        if self == Self::Pool {
            return path(&busy_worker(tree, conversation)?)?
                .rsplit_once('/')
                .map(|(pool, _)| pool.to_owned());
        }
        let bridges = children(tree).into_iter().filter(|actor| actor["kind"] == "bridge");
        let ending = format!("/{conversation}");
        let hosts = |actor: &Value| {
            children(actor).iter().any(|c| c["path"].as_str().is_some_and(|p| p.ends_with(&ending)))
        };
        for bridge in bridges {
            if let Some(host) = children(&bridge).iter().find(|host| hosts(host)) {
                return path(if self == Self::Host { host } else { &bridge });
            }
        }
        None
    }
}

/// The worker that has something of this conversation in hand.
#[must_use]
pub fn busy_worker(tree: &Value, conversation: &str) -> Option<Value> {
    let effect = tree["work"]["job"]["effect"].as_str().unwrap_or_default();
    let ours = effect.strip_prefix(conversation).is_some_and(|rest| rest.starts_with(':'));
    if tree["kind"] == "worker" && ours {
        return Some(tree.clone());
    }
    tree["children"].as_array()?.iter().find_map(|child| busy_worker(child, conversation))
}

/// The actor at `path`.
#[must_use]
pub fn actor_at<'t>(tree: &'t Value, path: &str) -> Option<&'t Value> {
    if tree["path"] == path {
        return Some(tree);
    }
    tree["children"].as_array()?.iter().find_map(|child| actor_at(child, path))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Target, actor_at, busy_worker};

    fn actor(path: &str, kind: &str, effect: Option<&str>, children: &[Value]) -> Value {
        let job = effect.map(|effect| json!({ "effect": effect, "attempt": 1 }));
        json!({ "path": path, "kind": kind, "work": { "job": job }, "children": children })
    }

    fn tree() -> Value {
        let conversation = |name: &str| actor(&format!("/bridge-1/host-3/{name}"), "conversation", None, &[]);
        let host =
            actor("/bridge-1/host-3", "partition_host", None, &[conversation("other"), conversation("c")]);
        let pool = actor(
            "/pool-default-0",
            "tool_pool",
            None,
            &[
                actor("/pool-default-0/worker-0", "worker", Some("other:k:1:deposit-1"), &[]),
                actor("/pool-default-0/worker-1", "worker", Some("c:k:1:deposit-2"), &[]),
            ],
        );
        let bridges = [actor("/bridge-0", "bridge", None, &[]), actor("/bridge-1", "bridge", None, &[host])];
        actor("/", "guardian", None, &[bridges[0].clone(), bridges[1].clone(), pool])
    }

    #[test]
    fn whoever_works_for_the_conversation_is_found() {
        let tree = tree();
        assert_eq!(busy_worker(&tree, "c").unwrap()["path"], "/pool-default-0/worker-1");
        assert!(busy_worker(&tree, "nobody").is_none() && busy_worker(&tree, "oth").is_none());
        for (target, path) in [
            (Target::Pool, "/pool-default-0"),
            (Target::Host, "/bridge-1/host-3"),
            (Target::Bridge, "/bridge-1"),
        ] {
            assert_eq!(target.find(&tree, "c").as_deref(), Some(path));
            assert_eq!(target.find(&tree, "nobody"), None);
        }
        assert_eq!(actor_at(&tree, "/bridge-1/host-3/c").unwrap()["kind"], "conversation");
        assert!(actor_at(&tree, "/bridge-2").is_none());
    }
}
