//! Where the testkit keeps what it fetches once per machine: `$CALLBOARD_TESTKIT_CACHE`, or `$XDG_CACHE_HOME`, or
//! `~/.cache`, and below it `callboard`.
//!
//! [`crate::kafka`] has its jars there, [`crate::real_model`] its wheels, [`crate::mcp`] its packages.

use std::path::PathBuf;

/// No variable says where a cache may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("set CALLBOARD_TESTKIT_CACHE, XDG_CACHE_HOME or HOME")]
pub struct NoFolder;

pub(crate) fn folder() -> Result<PathBuf, NoFolder> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("CALLBOARD_TESTKIT_CACHE")
        .or_else(|| set("XDG_CACHE_HOME"))
        .or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.ok_or(NoFolder)?.join("callboard"))
}
