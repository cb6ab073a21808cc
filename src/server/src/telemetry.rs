//! Log lines to standard error: for people, or as JSON; filtered by `CALLBOARD_LOG`, `RUST_LOG` or
//! `telemetry.filter`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::TelemetrySettings;

/// Our own words, and of the libraries what went wrong. What goes wrong with an MCP server is told by `callboard_mcp`; its
/// library would repeat what servers say, and their URLs.
const USUAL: &str = "warn,callboard=info,callboard_actors=info,callboard_kafka=info,callboard_stores=info,\
    callboard_models=info,callboard_tools=info,callboard_mcp=info,rmcp=off";

/// Starts logging, panics included. Only the first call counts.
///
/// # Errors
/// A filter that cannot be read, with what is wrong in it.
pub fn start(settings: &TelemetrySettings) -> Result<(), String> {
    let variable = ["CALLBOARD_LOG", "RUST_LOG"].into_iter().find_map(|name| {
        std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (name, value))
    });
    let (origin, text) = match (variable, &settings.filter) {
        (Some((name, value)), _) => (name, value),
        (None, Some(filter)) => ("telemetry.filter", filter.clone()),
        (None, None) => ("default", USUAL.to_owned()),
    };
    let filter = EnvFilter::try_new(&text).map_err(|e| format!("{origin} {text:?} is no log filter: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, as in tests, keeps the first.
    let _ = if settings.json {
        builder.json().try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
    std::panic::set_hook(Box::new(|panic| {
        // A supervised actor that panics is restarted and says so itself; one line here says where.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let words = panic.payload_as_str().unwrap_or("(no message)");
        let thread = std::thread::current().name().unwrap_or("(unnamed)").to_owned();
        tracing::error!(place, thread, "panicked: {words}");
    }));
    Ok(())
}
