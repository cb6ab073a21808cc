//! `callboard inspect`: a turn's plan as a table (every version of it), as Mermaid or as JSON.

use super::client::{Client, Request, block_on, say, say_json, segment};
use super::plan_table::table;
use super::{Failure, Global, InspectArgs, Outcome, PlanFormat};

pub fn run(global: &Global, args: &InspectArgs) -> Outcome {
    let client = Client::new(global)?;
    let id = segment(&args.id);
    let path = match &args.turn {
        Some(turn) => format!("/v1/conversations/{id}/turns/{}/plan", segment(turn)),
        None => format!("/v1/conversations/{id}/plan"),
    };
    if args.format == PlanFormat::Mermaid {
        let request = Request::get(&path).accept("text/vnd.mermaid");
        let text = block_on(async {
            client.wanted(request, None).await?.text().await.map_err(|e| Failure::job(e.without_url()))
        })?;
        return say(text.trim_end());
    }
    let plan = block_on(client.json(Request::get(&path)))?;
    if global.json {
        return say_json(&plan);
    }
    if plan["versions"].as_u64().unwrap_or(0) < 2 {
        return say(&table(&plan));
    }
    let path = format!("/v1/conversations/{id}/turns/{}/plans", plan["turn"]);
    let all = block_on(client.json(Request::get(&path)))?;
    let tables: Vec<String> = all["plans"].as_array().into_iter().flatten().map(table).collect();
    say(&tables.join("\n\n"))
}
