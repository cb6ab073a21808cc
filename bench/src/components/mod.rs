//! `callboard-bench components`: each service by itself, one row each.
//!
//! The gateway is that of a real `serve`; the others are the real actors with one role in this process (`node`), each on a log
//! of its own that holds what its neighbours would have written (`records`); planner and history see `service` and below.

pub mod arguments;
mod gateway;
mod node;
mod records;
mod service;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use callboard_actors::Roles;
use callboard_domain::event::TurnLimits;
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::json::RawJson;
use callboard_domain::plan::PlanReason;
use callboard_models::builtin::BuiltinPlanner;
use callboard_ports::Topic;
use callboard_ports::model::{PlanRequest, Planner};
use callboard_ports::tool::ToolRegistry;
use callboard_testkit::stubs::{Exchange, Weather};
use callboard_tools::{Registry, ToolsConfig};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use arguments::ComponentsArgs;
use service::Task;

use crate::machine::Machine;
use crate::shown::{Shown, Table, number};
use crate::{fill, result};

/// Of every plan.
const STEPS: usize = 3;

#[derive(Debug, Serialize)]
struct Figures {
    machine: Machine,
    log: &'static str,
    count: usize,
    components: Vec<Component>,
    shown: Shown,
}

/// A service's row.
#[derive(Debug, Serialize)]
pub struct Component {
    component: String,
    /// What one event is.
    what: &'static str,
    events_per_s: Option<f64>,
    /// Of one at a time.
    mean_ms: Option<f64>,
}

pub fn run(arguments: &ComponentsArgs) -> Result<bool> {
    // Requests of tools run on threads apart, as in `serve`.
    let clients = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = actix_rt::System::new().block_on(measure(arguments, clients.handle().clone()));
    clients.shutdown_background();
    let figures = figures?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    result::write(arguments.out.as_deref(), "components", "embedded", &figures)?;
    Ok(true)
}

async fn measure(arguments: &ComponentsArgs, clients: Handle) -> Result<Figures> {
    // Until the end: the tools ask them.
    let (weather, exchange) = (Weather::start()?, Exchange::start()?);
    let settings: ToolsConfig = serde_json::from_value(json!({
        "weather": { "base_url": weather.url(), "geocoding_url": weather.url() },
        "exchange": { "base_url": exchange.url() },
    }))?;
    let registry = Registry::build(&settings, TurnLimits::default(), clients)?;
    let tools: Arc<dyn ToolRegistry> = Arc::new(registry);
    let bar = fill::bar(9, "services")?;
    let mut components = Vec::new();
    let mut done = |component: Component| {
        bar.set_message(format!("after the {}", component.component));
        bar.inc(1);
        components.push(component);
    };
    done(gateway::measure(arguments).await?);
    done(planner(&tools, arguments).await?);
    done(service::measure(&tools, arguments, host()).await?);
    for (tool, call) in calls() {
        let call = RawJson::from_value(&call);
        let input = move |number| records::invocation(number, tool, &call);
        let component = if matches!(tool, "weather" | "exchange") {
            format!("tool {tool} (stub service)")
        } else {
            format!("tool {tool}")
        };
        let task = Task {
            component,
            what: "a call requested, run and its result appended",
            roles: Roles { pools: vec!["default".to_owned()], ..Roles::default() },
            input: &input,
            output: Topic::ConversationEvents,
            outputs: 1,
            events: 1,
        };
        done(service::measure(&tools, arguments, task).await?);
    }
    let task = Task {
        component: "synthesis".to_owned(),
        what: "an answer requested, written and appended",
        roles: Roles { synthesis: true, ..Roles::default() },
        input: &records::synthesis,
        output: Topic::ConversationEvents,
        outputs: 1,
        events: 1,
    };
    done(service::measure(&tools, arguments, task).await?);
    done(service::history(&tools, arguments).await?);
    bar.finish_and_clear();
    Ok(Figures {
        machine: Machine::look(),
        log: "embedded",
        count: arguments.count,
        shown: shown(&components, arguments),
        components,
    })
}

fn host() -> Task<'static> {
    Task {
        component: "conversation host".to_owned(),
        what: "a record written: question, plan (built-in planner included) and three requests",
        roles: Roles { host: true, ..Roles::default() },
        input: &records::command,
        output: Topic::ToolInvocationRequests,
        outputs: STEPS,
        events: 2 + STEPS,
    }
}

/// Every tool that needs no effect outside, with a call.
fn calls() -> [(&'static str, Value); 4] {
    [
        ("echo", json!({ "text": "hello" })),
        ("math", json!({ "expression": "(17 + 4) * 2 / 3" })),
        ("weather", json!({ "place": "Oslo" })),
        ("exchange", json!({ "amount": 12, "from": "USD", "to": "EUR" })),
    ]
}

/// The built-in planner, called in a loop: plans validated against the tools' schemas.
async fn planner(tools: &Arc<dyn ToolRegistry>, arguments: &ComponentsArgs) -> Result<Component> {
    let planner = BuiltinPlanner::new(tools.clone());
    let length = Duration::from_secs_f64(arguments.seconds);
    let (began, mut plans) = (Instant::now(), 0_usize);
    while plans == 0 || began.elapsed() < length {
        let plan = planner.plan(PlanRequest {
            conversation: ConversationId::new("planned")?,
            command: CommandId::new(&format!("plan-{plans}"))?,
            version: 1,
            reason: PlanReason::First,
            message: Arc::from(records::message(plans)),
            agent: Arc::from("default"),
            history: Vec::new(),
            results: Vec::new(),
            down: Vec::new(),
            timeout_ms: 30_000,
            tokens_left: None,
        });
        let plan = plan.await?;
        (plan.steps.len() == STEPS).then_some(()).context("the plan has not three steps")?;
        plans += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(Component {
        component: "planner (built-in)".to_owned(),
        what: "a plan of three steps, validated",
        events_per_s: Some(plans as f64 / seconds),
        mean_ms: Some(seconds * 1e3 / plans as f64),
    })
}

fn shown(components: &[Component], arguments: &ComponentsArgs) -> Shown {
    let mut table =
        Table::new("Each service by itself", &["component", "events/s", "mean ms", "one event is"]);
    table.note = format!(
        "The gateway: `serve` on the embedded log without fsync, 16 clients, host and tools at work behind it on the same cores; \
         mean ms: one client. Planner: library calls, one after the other. The others: the real actors with that role alone, in \
         this process, on an embedded log without fsync that held {} inputs before they started; mean ms: {} more, one at a \
         time, from append to result read back. weather and exchange answer from their cache after the first.",
        number(arguments.count as f64),
        number(arguments.alone as f64)
    );
    for row in components {
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        table.row([row.component.clone(), cell(row.events_per_s), cell(row.mean_ms), row.what.to_owned()]);
    }
    Shown { tables: vec![table], ..Shown::default() }
}
