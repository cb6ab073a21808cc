//! Golden records of streaming: a piece of an answer, and a question that brings a history along.

use callboard_domain::chunk::{AnswerChunk, Epoch};
use callboard_domain::command::{Command, UserQuery};
use callboard_domain::event::{Event, TurnLimits, UserQueryReceived};
use callboard_domain::request::Exchange;

use super::values::Body;

pub fn all() -> Vec<(&'static str, Body)> {
    let chunk = AnswerChunk {
        epoch: Epoch { version: 1, attempt: 1, start_ms: 1_795_398_159_000, worker: "node-1".into() },
        seq: 2,
        at_byte: 17,
        text: "397.8, Grüße".into(),
        last: false,
    };
    let history = vec![
        Exchange { message: "system: be brief".into(), answer: None },
        Exchange { message: "What is 17% of 2340?".into(), answer: Some("397.8".into()) },
    ];
    let query = UserQuery {
        message: "and of 100?".into(),
        agent: "default".into(),
        principal: Some("anna".into()),
        metadata: None,
        history: Some(history),
    };
    let received = UserQueryReceived {
        token_budget: None,
        message: query.message.clone(),
        agent: query.agent.clone(),
        principal: query.principal.clone(),
        metadata: None,
        body_hash: query.body_hash(),
        limits: TurnLimits {
            planning_timeout_ms: 120_000,
            synthesis_timeout_ms: 180_000,
            turn_timeout_ms: 600_000,
            max_rounds: 4,
        },
        history: query.history.clone(),
    };
    vec![
        ("AnswerChunk", Body::Chunk(chunk)),
        ("UserQueryReceived.history", Body::Command(Command::UserQueryReceived(query))),
        ("UserQueryReceived.history", Body::Event(Event::UserQueryReceived(received))),
    ]
}
