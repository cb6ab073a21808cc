//! A model that answers at once: a stub of the OpenAI API in the bench's own process. It plans an echo step for each word that
//! it is asked for, and answers with the results that it is shown; so a wrong result is a wrong answer.

use anyhow::{Context, Result};
use callboard_testkit::stubs::OpenAi;
use serde_json::{Value, json};

use crate::stage::Stage;

/// What a question for this model begins with.
pub const ASKED: &str = "please repeat ";
/// Nobody checks it, and it opens nothing.
const KEY: &str = "sk-bench";

/// Starts the stub; what `stage` installs from now on plans and answers with it.
pub fn start(stage: &mut Stage) -> Result<OpenAi> {
    let stub = OpenAi::start().context("the model stub does not start")?;
    stub.respond_with(respond);
    stage.set("CALLBOARD__PLANNER__ORDER", r#"["openai"]"#);
    stage.set("CALLBOARD__MODELS__OPENAI__BASE_URL", format!("{}/v1", stub.url()));
    stage.set("OPENAI_API_KEY", KEY);
    Ok(stub)
}

fn respond(request: &Value) -> String {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let content = |message: Option<&Value>| {
        message.and_then(|message| message["content"].as_str()).unwrap_or_default().to_owned()
    };
    let (system, asked) = (content(messages.first()), content(messages.last()));
    let line = asked.lines().next().unwrap_or_default();
    let words = || line.trim_start_matches(ASKED).split_whitespace();
    if system.contains("You are the planner") {
        let steps: Vec<Value> = words()
            .enumerate()
            .map(
                |(at, word)| json!({ "id": format!("e{at}"), "tool": "echo", "arguments": { "text": word } }),
            )
            .collect();
        return json!({ "steps": steps, "then": "answer", "guidance": "" }).to_string();
    }
    let results = asked.split_once("The results of the tool calls:").map_or("", |(_, results)| results);
    words().filter(|word| results.contains(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::respond;

    #[test]
    fn it_plans_what_is_asked_and_answers_what_came_of_it() {
        let chat = |system: &str, user: &str| {
            respond(&json!({ "messages": [{ "content": system }, { "content": user }] }))
        };
        let plan = chat("You are the planner.", "please repeat a1 b2");
        assert!(plan.contains(r#""text":"a1""#) && plan.contains(r#""text":"b2""#), "{plan}");
        let told = "please repeat a1 b2\n\nThe results of the tool calls:\n{\"text\":\"b2\"}";
        assert_eq!(chat("You write answers.", told), "b2");
    }
}
