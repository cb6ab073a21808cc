//! Tools of MCP servers: processes that are kept alive and services over streamable HTTP, their tools offered as
//! `SERVER_TOOL`.
//!
//! An adapter: it implements `callboard_ports::tool` and knows no actor and no other adapter. [`config`] is what an
//! operator may set and [`settings`] judges it; `servers` is the face; `server` keeps one server alive, one `life` after
//! another; `catalog` says what is offered of what a server lists; `call` makes a call and says what is known of it.

mod call;
mod catalog;
pub mod config;
mod http;
mod http_client;
mod life;
mod listener;
mod names;
mod pace;
mod result;
mod secret;
mod server;
mod servers;
pub mod settings;
mod status;
mod stderr;
mod stdio;
mod stdout;
mod tool;

pub use call::{ATTEMPT, IDEMPOTENCY_KEY};
pub use config::ServerConfig;
pub use secret::Secret;
pub use servers::{McpServers, Offers};
pub use settings::{SettingError, Settings};
pub use status::{Phase, Status};

/// What a server's process gets of Callboard's own environment, as the official SDKs have it: enough to find programs and
/// folders, nothing that may be secret.
pub const INHERITED: &[&str] =
    &["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];
