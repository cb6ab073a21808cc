//! `callboard eval`: asks the questions of a file and prints how plans and answers did. `crate::eval` does it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callboard_domain::json::RawJson;
use callboard_ports::tool::{Call, ToolRegistry};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::client::{Client, block_on, say, say_json};
use super::{Failure, Global, Outcome};
use crate::config::EnginePart;
use crate::eval::ask::{self, Manner};
use crate::eval::report::{self, Row};
use crate::eval::score::{Rules, score};
use crate::eval::stage::{Changes, Stage};
use crate::eval::suite::{self, Question, Suite};

/// A file of thousands of questions; a larger one is not one.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// An expression of a question takes a millisecond.
const EXPRESSION_TIMEOUT_MS: u64 = 2_000;

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The questions (TOML, see docs/eval.md)
    pub file: PathBuf,
    /// Who should plan and write [default: as configured]
    #[arg(long, value_enum)]
    pub provider: Option<Provider>,
    /// Which of the provider's models
    #[arg(long, value_name = "NAME", requires = "provider")]
    pub model: Option<String>,
    /// Only questions whose id or kind is one of these
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Ask every question so often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub repeat: u16,
    /// Questions under way at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
    /// Seconds to wait for one answer
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub wait: u64,
    /// Ask the tools' real services instead of the file's stubs
    #[arg(long)]
    pub live: bool,
    /// Fail (exit code 1) below this score, from 0 to 1
    #[arg(long, value_name = "SCORE", value_parser = share)]
    pub min_score: Option<f64>,
    /// Say what cost points
    #[arg(long)]
    pub why: bool,
    /// Write everything as JSON to this file too
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A provider by its name in `planner.order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    Ollama,
    Openai,
    Builtin,
}

impl Provider {
    fn part(self) -> EnginePart {
        match self {
            Self::Ollama => EnginePart::Ollama,
            Self::Openai => EnginePart::Openai,
            Self::Builtin => EnginePart::Builtin,
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "a score lies between 0 and 1".to_owned())
}

pub fn run(global: &Global, args: &EvalArgs) -> Outcome {
    let suite = chosen(read(args)?, &args.only)?;
    let (rows, min_score) = (judged(global, args, &suite)?, args.min_score.unwrap_or(0.0));
    let json = report::json(&suite.title, &rows);
    if let Some(out) = &args.out {
        let text = serde_json::to_string_pretty(&json).map_err(Failure::job)?;
        std::fs::write(out, text + "\n")
            .map_err(|error| Failure::job(format!("{}: {error}", out.display())))?;
    }
    if global.json {
        say_json(&json)?;
    } else {
        say(&report::table(&rows, args.why))?;
    }
    let reached = report::Summary::of(rows.iter()).score;
    if reached < min_score {
        return Err(Failure::job(format!("the score is {reached:.4}, below --min-score {min_score}")));
    }
    Ok(())
}

fn read(args: &EvalArgs) -> Result<Suite, Failure> {
    let file = args.file.display();
    let wrong = |problem: String| Failure::usage(format!("{file}: {problem}"));
    let size = std::fs::metadata(&args.file).map_err(|error| wrong(error.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(wrong(format!("it has {size} bytes; at most {MAX_FILE_BYTES} are read")));
    }
    let text = std::fs::read_to_string(&args.file).map_err(|error| wrong(error.to_string()))?;
    suite::read(&text).map_err(|problem| Failure::usage(format!("{file}, {problem}")))
}

fn chosen(mut suite: Suite, only: &[String]) -> Result<Suite, Failure> {
    let named = |question: &Question, name: &String| question.id == *name || question.kind == *name;
    if let Some(unknown) = only.iter().find(|name| !suite.questions.iter().any(|q| named(q, name))) {
        return Err(Failure::usage(format!("--only {unknown}: no question has this id or kind")));
    }
    suite.questions.retain(|question| only.is_empty() || only.iter().any(|name| named(question, name)));
    Ok(suite)
}

/// Asks on a server that is named, or else on one of its own.
fn judged<'a>(global: &Global, args: &EvalArgs, suite: &'a Suite) -> Result<Vec<Row<'a>>, Failure> {
    if global.offline || global.data_dir.is_some() {
        return Err(Failure::usage(
            "an eval asks a server: one of its own in a temporary folder, or the one that --server names; leave \
             out --data-dir and --offline",
        ));
    }
    let bar = ProgressBar::new((suite.questions.len() * usize::from(args.repeat)) as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} questions, {elapsed}") {
        bar.set_style(style);
    }
    let manner = Manner {
        repeat: args.repeat.into(),
        concurrency: args.concurrency.into(),
        wait: Duration::from_secs(args.wait),
    };
    let (asked, stubs) = match &global.server {
        Some(_) if args.model.is_some() => {
            return Err(Failure::usage("--model changes a server of the eval's own; leave out --server"));
        }
        Some(_) => {
            let client = Client::new(global)?;
            (block_on(ask::all(&client, suite, manner, || bar.inc(1)))?, false)
        }
        None => on_its_own(global, args, suite, manner, &bar)?,
    };
    bar.finish_and_clear();
    let calculator = Calculator::new()?;
    let evaluate = |expression: &str| calculator.value(expression);
    let provider = args.provider.map(|provider| provider.part().as_str());
    let rules = Rules { provider, stubs, evaluate: &evaluate };
    Ok(asked
        .into_iter()
        .map(|(question, seen)| Row { question, score: score(question, &seen, rules), seen })
        .collect())
}

type Asked<'a> = Vec<(&'a Question, crate::eval::observed::Observed)>;

fn on_its_own<'a>(
    global: &Global,
    args: &EvalArgs,
    suite: &'a Suite,
    manner: Manner,
    bar: &ProgressBar,
) -> Result<(Asked<'a>, bool), Failure> {
    let config = crate::settings(global, &[])?.config;
    let openai = &config.models.openai;
    if args.provider == Some(Provider::Openai) && openai.api_key.is_none() && openai.base_url.is_none() {
        return Err(Failure::usage(
            "--provider openai needs OPENAI_API_KEY, or models.openai.base_url for a server of your own",
        ));
    }
    let stubs = if args.live { Vec::new() } else { suite.stubs.clone() };
    let stubbed = !stubs.is_empty();
    let provider = args.provider.map(Provider::part);
    let stage = Stage::set(config, &Changes { provider, model: args.model.clone(), stubs })?;
    let asked = block_on(async {
        stage.child.ready().await?;
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Err(Failure::job("interrupted; the eval's server has ended")),
            asked = ask::all(stage.child.client(), suite, manner, || bar.inc(1)) => asked,
        }
    });
    block_on(async {
        stage.child.stop().await;
        Ok(())
    })?;
    Ok((asked?, stubbed))
}

/// What expressions come to, by the tool `math` itself.
struct Calculator {
    runtime: tokio::runtime::Runtime,
    tools: Arc<dyn ToolRegistry>,
}

impl Calculator {
    fn new() -> Result<Self, Failure> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::job)?;
        let tools = callboard_tools::Registry::build(
            &Default::default(),
            Default::default(),
            runtime.handle().clone(),
        );
        Ok(Self { runtime, tools: Arc::new(tools.map_err(Failure::job)?) })
    }

    fn value(&self, expression: &str) -> Option<String> {
        let math = self.tools.tool("math")?;
        let call = Call {
            idempotency_key: "eval".to_owned(),
            attempt: 1,
            arguments: RawJson::from_value(&json!({ "expression": expression })),
            timeout_ms: EXPRESSION_TIMEOUT_MS,
        };
        let result = self.runtime.block_on(math.call(call)).ok()?.to_value();
        result["result"].as_str().map(str::to_owned)
    }
}
