//! Which models an Ollama has, and which of them to use for the one that is wanted.

/// What an Ollama has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// Scheme, host and port.
    pub base_url: String,
    /// Names with their tags, newest first, as it lists them.
    pub installed: Vec<String>,
}

impl Detection {
    /// The model to use: the wanted one, or its nearest relative, or any that can chat.
    #[must_use]
    pub fn choose(&self, wanted: &str) -> Option<&str> {
        let family = |name: &&String| name.split(':').next().is_some_and(|family| family == wanted);
        let relative = |name: &&String| name.starts_with(wanted);
        let chats =
            |name: &&String| !name.contains("embed") && !name.contains("bert") && !name.contains("minilm");
        let find = |fits: &dyn Fn(&&String) -> bool| self.installed.iter().find(fits).map(String::as_str);
        find(&|name| is(name, wanted))
            .or_else(|| find(&|name| family(name)))
            .or_else(|| find(&|name| relative(name)))
            .or_else(|| find(&|name| chats(name)))
    }
}

/// Whether `installed` is the model that somebody calls `wanted`.
pub(crate) fn is(installed: &str, wanted: &str) -> bool {
    installed == wanted || installed.strip_suffix(":latest") == Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::Detection;

    #[test]
    fn the_wanted_model_or_its_nearest_relative_is_chosen() {
        let has = |names: &[&str]| Detection {
            base_url: String::new(),
            installed: names.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(has(&["mistral:7b", "llama3:latest"]).choose("llama3"), Some("llama3:latest"));
        assert_eq!(has(&["mistral:7b", "llama3:70b"]).choose("llama3"), Some("llama3:70b"));
        assert_eq!(has(&["mistral:7b", "llama3.2:3b"]).choose("llama3"), Some("llama3.2:3b"));
        assert_eq!(has(&["nomic-embed-text:latest", "mistral:7b"]).choose("llama3"), Some("mistral:7b"));
        assert_eq!(has(&["nomic-embed-text:latest"]).choose("llama3"), None);
    }
}
