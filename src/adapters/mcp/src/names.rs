//! What a server's tool is called in plans: `SERVER_TOOL`, in the letters that plans, metrics and models' APIs take.
//!
//! [`crate::catalog`] names with it; [`crate::settings`] keeps underscores out of servers' names, so that what stands
//! before the first one says whose a tool is.

/// The function names of OpenAI's API, which others copied, are 1 to 64 of `[a-zA-Z0-9_-]`.
pub(crate) const MAX_TOOL_NAME_BYTES: usize = 64;

/// The name in plans of the tool that `server` calls `tool`.
///
/// # Errors
/// Why there is none.
pub(crate) fn offered(server: &str, tool: &str) -> Result<String, String> {
    if tool.is_empty() {
        return Err("it has no name".to_owned());
    }
    let letter = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = format!("{server}_").chars().chain(tool.chars().map(letter)).collect();
    if name.len() > MAX_TOOL_NAME_BYTES {
        return Err(format!(
            "as {name} it has {} characters; at most {MAX_TOOL_NAME_BYTES} are allowed (a shorter name for the server \
             helps)",
            name.len()
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::offered;

    #[test]
    fn names_fit_plans_and_models() {
        assert_eq!(offered("files", "read_file").unwrap(), "files_read_file");
        assert_eq!(offered("git-hub", "issues/list.all ü").unwrap(), "git-hub_issues_list_all__");
        assert!(offered("files", &"x".repeat(59)).unwrap_err().contains("at most 64"));
        assert!(offered("files", "").is_err());
    }
}
