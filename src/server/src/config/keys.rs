//! Every key there is: its kind tells how an environment variable is read, its neighbours are suggested when
//! one is misspelt. A test holds this table and [`Config`](super::Config) together.

/// How a key's text is read, and whether it may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Secret,
    Number,
    Switch,
    List,
}

/// A key; `*` stands for one name.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub path: &'static str,
    pub kind: Kind,
}

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key("listen", Kind::Text),
    key("data_dir", Kind::Text),
    key("without", Kind::List),
    key("insecure", Kind::Switch),
    key("allow_chaos", Kind::Switch),
    key("http.wait_ms", Kind::Number),
    key("http.allowed_hosts", Kind::List),
    key("http.api_keys", Kind::Secret),
    key("http.api_keys.*", Kind::Secret),
    key("kafka.brokers", Kind::Text),
    key("kafka.topic_prefix", Kind::Text),
    key("kafka.partitions", Kind::Number),
    key("kafka.create_topics", Kind::Switch),
    key("kafka.static_membership", Kind::Switch),
    key("kafka.group_protocol", Kind::Text),
    key("kafka.properties.*", Kind::Text),
    key("log.fsync", Kind::Text),
    key("snapshots.engine", Kind::Text),
    key("planner.order", Kind::List),
    key("planner.max_rounds", Kind::Number),
    key("planner.history_tokens", Kind::Number),
    key("agents.*.instructions", Kind::Text),
    key("agents.*.tools", Kind::List),
    key("agents.*.model", Kind::Text),
    key("models.ollama.base_url", Kind::Text),
    key("models.ollama.host", Kind::Text),
    key("models.ollama.model", Kind::Text),
    key("models.ollama.timeout_ms", Kind::Number),
    key("models.ollama.connect_timeout_ms", Kind::Number),
    key("models.ollama.first_token_timeout_ms", Kind::Number),
    key("models.ollama.between_tokens_timeout_ms", Kind::Number),
    key("models.ollama.concurrency", Kind::Number),
    key("models.ollama.queue", Kind::Number),
    key("models.ollama.max_tokens", Kind::Number),
    key("models.openai.base_url", Kind::Text),
    key("models.openai.model", Kind::Text),
    key("models.openai.api_key", Kind::Secret),
    key("models.openai.timeout_ms", Kind::Number),
    key("models.openai.connect_timeout_ms", Kind::Number),
    key("models.openai.first_token_timeout_ms", Kind::Number),
    key("models.openai.between_tokens_timeout_ms", Kind::Number),
    key("models.openai.concurrency", Kind::Number),
    key("models.openai.queue", Kind::Number),
    key("models.openai.max_tokens", Kind::Number),
    key("models.embeddings.provider", Kind::Text),
    key("models.embeddings.model", Kind::Text),
    key("models.breaker.failures", Kind::Number),
    key("models.breaker.pause_ms", Kind::Number),
    key("models.prices.*.input_per_million_usd", Kind::Number),
    key("models.prices.*.output_per_million_usd", Kind::Number),
    key("tools.*.timeout_ms", Kind::Number),
    key("tools.*.concurrency", Kind::Number),
    key("tools.*.max_attempts", Kind::Number),
    key("tools.*.pool", Kind::Text),
    key("tools.*.deadline_ms", Kind::Number),
    key("tools.*.backoff.initial_ms", Kind::Number),
    key("tools.*.backoff.max_ms", Kind::Number),
    key("tools.*.approval", Kind::Switch),
    key("tools.*.approval_timeout_ms", Kind::Number),
    key("tools.*.run", Kind::Text),
    key("tools.*.url", Kind::Text),
    key("tools.*.description", Kind::Text),
    key("tools.*.schema", Kind::Text),
    key("tools.*.effect", Kind::Text),
    key("tools.*.headers.*", Kind::Secret),
    key("tools.http_get.allow", Kind::List),
    key("tools.weather.base_url", Kind::Text),
    key("tools.weather.geocoding_url", Kind::Text),
    key("tools.weather.api_key", Kind::Secret),
    key("tools.exchange.base_url", Kind::Text),
    key("tools.knowledge.path", Kind::Text),
    key("tools.knowledge.about", Kind::Text),
    key("tools.knowledge.check_every_ms", Kind::Number),
    key("tools.webhook.allow", Kind::List),
    key("tools.deposit.base_url", Kind::Text),
    key("tools.deposit.allow", Kind::List),
    key("mcp.*.command", Kind::Text),
    key("mcp.*.args", Kind::List),
    key("mcp.*.env.*", Kind::Secret),
    key("mcp.*.cwd", Kind::Text),
    key("mcp.*.url", Kind::Text),
    key("mcp.*.headers.*", Kind::Secret),
    key("mcp.*.timeout_ms", Kind::Number),
    key("mcp.*.start_timeout_ms", Kind::Number),
    key("mcp.*.pool", Kind::Text),
    key("mcp.*.concurrency", Kind::Number),
    key("mcp.*.tools", Kind::List),
    key("mcp.*.approval", Kind::Switch),
    key("mcp.*.approval_timeout_ms", Kind::Number),
    key("mcp.*.effect", Kind::Text),
    key("mcp.*.effects.*", Kind::Text),
    key("turns.planning_timeout_ms", Kind::Number),
    key("turns.synthesis_timeout_ms", Kind::Number),
    key("turns.turn_timeout_ms", Kind::Number),
    key("turns.token_budget", Kind::Number),
    key("limits.commands_in_flight", Kind::Number),
    key("limits.requests_in_flight", Kind::Number),
    key("limits.crashes_per_invocation", Kind::Number),
    key("limits.claim_ms", Kind::Number),
    key("limits.breaker_failures", Kind::Number),
    key("limits.breaker_pause_ms", Kind::Number),
    key("limits.workers_per_pool", Kind::Number),
    key("limits.synthesis_workers", Kind::Number),
    key("limits.planner_calls", Kind::Number),
    key("limits.live_conversations", Kind::Number),
    key("limits.open_turns", Kind::Number),
    key("limits.waiters_per_conversation", Kind::Number),
    key("limits.passivate_after_ms", Kind::Number),
    key("limits.flush_every_ms", Kind::Number),
    key("limits.history_conversations", Kind::Number),
    key("limits.history_turns", Kind::Number),
    key("telemetry.json", Kind::Switch),
    key("telemetry.filter", Kind::Text),
    key("demo.counter_url", Kind::Text),
    key("demo.question", Kind::Text),
];

/// The table's entry for a path.
#[must_use]
pub fn known(path: &[String]) -> Option<&'static Key> {
    let fits = |key: &&Key| {
        let parts: Vec<&str> = key.path.split('.').collect();
        parts.len() == path.len() && parts.iter().zip(path).all(|(want, is)| *want == "*" || want == is)
    };
    // A literal entry says more than one with a star.
    let mut matching: Vec<&'static Key> = KEYS.iter().filter(fits).collect();
    matching.sort_by_key(|key| key.path.contains('*'));
    matching.first().copied()
}

/// Whether the value at `path` must not be shown.
#[must_use]
pub fn is_secret(path: &[String]) -> bool {
    if known(path).is_some_and(|key| key.kind == Kind::Secret) {
        return true;
    }
    let name = path.last().map_or("", String::as_str);
    let hides = ["password", "secret", "key.pem", "token", "jaas"].iter().any(|word| name.contains(word));
    path.first().is_some_and(|first| first == "kafka") && hides
}

/// The known keys that `shown` says nothing about, neither whole nor in part; `NAME` stands for a star.
#[must_use]
pub fn not_among(shown: &[String]) -> Vec<String> {
    let about = |key: &str, line: &str| {
        // A list of keys speaks for its table of keys, and the other way.
        key.split('.').zip(line.split('.')).all(|(want, is)| want == "*" || want == is)
    };
    let silent = KEYS.iter().filter(|key| !shown.iter().any(|line| about(key.path, line)));
    silent.map(|key| key.path.replace('*', "NAME")).collect()
}

/// The known key nearest to `path`.
#[must_use]
pub fn nearest(path: &[String]) -> String {
    let candidate = |key: &Key| {
        let names = key.path.split('.').enumerate();
        let names = names
            .map(|(i, part)| if part == "*" { path.get(i).map_or("NAME", String::as_str) } else { part });
        names.collect::<Vec<_>>().join(".")
    };
    let written = path.join(".");
    let scored = KEYS.iter().map(candidate).map(|name| (distance(&written, &name), name));
    scored.min().map_or_else(String::new, |(_, name)| name)
}

/// Letters apart, seen as a whole, table by table (a wrong table is worse), and as a key without its table.
fn distance(written: &str, known: &str) -> usize {
    let apart = strsim::damerau_levenshtein;
    let (table, rest) = written.split_once('.').unwrap_or((written, ""));
    let (known_table, known_rest) = known.split_once('.').unwrap_or((known, ""));
    let name = known.rsplit('.').next().unwrap_or(known);
    let by_table = 2 * apart(table, known_table) + apart(rest, known_rest);
    apart(written, known).min(by_table).min(2 + apart(written, name))
}

#[cfg(test)]
mod tests {
    use super::{Kind, is_secret, known, nearest, not_among};

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_misspelt_key_finds_its_neighbour() {
        assert_eq!(nearest(&path("htpp.wait_ms")), "http.wait_ms");
        assert_eq!(nearest(&path("kafka.broker")), "kafka.brokers");
        assert_eq!(nearest(&path("tools.math.timeout")), "tools.math.timeout_ms");
        assert_eq!(nearest(&path("wait")), "http.wait_ms");
    }

    #[test]
    fn what_is_shown_in_part_or_under_a_name_is_not_missing() {
        let shown = ["http.api_keys.alice", "tools.math.timeout_ms"].map(str::to_owned);
        let missing = not_among(&shown);
        for shown in ["http.api_keys", "http.api_keys.NAME", "tools.NAME.timeout_ms"] {
            assert!(!missing.iter().any(|key| key == shown), "{shown}");
        }
        for missed in ["tools.NAME.pool", "kafka.properties.NAME", "kafka.brokers"] {
            assert!(missing.iter().any(|key| key == missed), "{missed}");
        }
    }

    #[test]
    fn secrets_are_known_by_key_or_by_name() {
        assert_eq!(known(&path("tools.weather.api_key")).map(|k| k.kind), Some(Kind::Secret));
        let property = vec!["kafka".to_owned(), "properties".to_owned(), "sasl.password".to_owned()];
        assert!(is_secret(&property));
        assert!(is_secret(&path("http.api_keys.alice")));
        assert!(!is_secret(&path("kafka.brokers")));
    }
}
