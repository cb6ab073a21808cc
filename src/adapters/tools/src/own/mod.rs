//! Tools of one's own, from `[tools.NAME]`: a service that is called over HTTP ([`http`]), or a worker elsewhere that serves
//! requests from Kafka and is only specified here.
//!
//! [`schema`] reads what their arguments look like; [`crate::spec`] judges what all tools have.

mod http;
mod schema;

use callboard_domain::plan::EffectClass;
use tokio::runtime::Handle;

pub use crate::config::OwnConfig;
use crate::registry::{BuildError, Offer};
use crate::spec;

/// Whether somebody else can take requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// The topics are on Kafka, where workers of any kind read them.
    Anywhere,
    /// The topics are in this process.
    HereOnly,
}

/// The tool of `[tools.NAME]`; an HTTP tool's requests run on `runtime`.
///
/// # Errors
/// [`BuildError`] names the setting that is wrong and what would be right.
pub fn own(name: &str, config: &OwnConfig, runs: Runs, runtime: Handle) -> Result<Offer, BuildError> {
    let wrong = |key, problem: String| BuildError::Setting { tool: name.to_owned(), key, problem };
    let effect = match config.effect.as_deref() {
        Some("pure") => EffectClass::Pure,
        Some("idempotent") => EffectClass::Idempotent,
        Some("reconcilable") => EffectClass::Reconcilable,
        Some("unsafe") => EffectClass::Unsafe,
        other => return Err(wrong("effect", classes(other))),
    };
    let run = config.run.as_deref().unwrap_or_default();
    let mut overrides = config.overrides();
    if run == "external" {
        // A pool is a consumer group whose members run all its tools, so this one is nobody else's.
        overrides.pool.get_or_insert_with(|| name.to_owned());
    }
    let schema = schema::read(config.schema.as_ref()).map_err(|problem| wrong("schema", problem))?;
    let spec =
        spec::own(name, config.description.as_deref().unwrap_or_default(), schema, effect, &overrides)?;
    match run {
        "http" => Ok(Offer::Here(std::sync::Arc::new(http::HttpTool::new(spec, config, runtime)?))),
        "external" => {
            if let Some(key) = [("url", config.url.is_some()), ("headers", !config.headers.is_empty())]
                .into_iter()
                .find_map(|(key, set)| set.then_some(key))
            {
                let words =
                    "is for run = \"http\"; a worker of an external tool reads its requests from Kafka";
                return Err(wrong(key, words.to_owned()));
            }
            if runs == Runs::HereOnly {
                let words = "is \"external\", which needs Kafka (kafka.brokers): nobody else can take requests from the \
                             embedded log; run = \"http\" works on both";
                return Err(wrong("run", words.to_owned()));
            }
            Ok(Offer::Elsewhere(spec))
        }
        other => {
            let words = "say \"http\" (a service that is called) or \"external\" (a worker on Kafka)";
            let is = if other.is_empty() { "is missing".to_owned() } else { format!("is {other:?}") };
            Err(wrong("run", format!("{is}; {words}")))
        }
    }
}

fn classes(is: Option<&str>) -> String {
    let is = is.map_or_else(|| "is missing".to_owned(), |is| format!("is {is:?}"));
    format!(
        "{is}; say what repeating a call does: \"pure\" (it only reads), \"idempotent\" (the same Idempotency-Key twice does it \
         once), \"reconcilable\" (a GET of its effect says whether it was done) or \"unsafe\" (it is never repeated)"
    )
}
