//! The OpenAI-compatible face, with the official clients of OpenAI: unchanged but for `base_url`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use callboard_testkit::clients::Client;
use serde_json::{Value, json};

use crate::world::{Options, Server};

/// A script is a handful of requests on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// Runs a script against `url`; gives what it printed. Nothing where the client cannot be had.
fn run(client: Client, url: &str, script: &str) -> Option<String> {
    let process = client.script(script)?.env("URL", format!("{url}/v1")).start().unwrap();
    let ended = process.wait_exit(WITHIN).unwrap_or_else(|error| panic!("{error}\n{}", process.tail()));
    assert!(ended.success(), "{client:?}: {}", process.tail());
    Some(process.stdout())
}

const PYTHON: &str = r#"
import os, openai
client = openai.OpenAI(base_url=os.environ["URL"], api_key="none")
ask = lambda text, **more: client.chat.completions.create(
    model="default", messages=[{"role": "user", "content": text}], **more)

answer = ask("What is 17% of 2340?")
assert "397.8" in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop", answer
assert answer.object == "chat.completion" and answer.model == "default" and answer.usage.total_tokens == 0, answer

text, usage, finish = "", None, None
for chunk in ask("What is 12 miles in km?", stream=True, stream_options={"include_usage": True}):
    for choice in chunk.choices:
        text += choice.delta.content or ""
        finish = choice.finish_reason or finish
    usage = chunk.usage or usage
assert "19.312128" in text and usage.total_tokens == 0 and finish == "stop", (text, usage)

for wrong, code in [(dict(model="gpt-4o"), "model_not_found"), (dict(messages=[]), "invalid_messages"), (dict(n=2), "unsupported_parameter")]:
    try:
        client.chat.completions.create(**{"model": "default", "messages": [{"role": "user", "content": "x"}], **wrong})
        raise SystemExit(f"{wrong} was taken")
    except openai.APIStatusError as error:
        assert error.code == code and error.response.headers is not None, error
        assert isinstance(error, openai.NotFoundError if code == "model_not_found" else openai.BadRequestError), error

first = client.chat.completions.with_raw_response.create(model="default", messages=[{"role": "user", "content": "echo one"}])
talk = first.headers["callboard-conversation-id"]
assert first.parse().choices[0].message.content
second = client.chat.completions.with_raw_response.create(
    model="default", messages=[{"role": "user", "content": "echo two"}], extra_headers={"Callboard-Conversation-Id": talk})
assert second.headers["callboard-conversation-id"] == talk
third = client.chat.completions.with_raw_response.create(
    model="default", messages=[{"role": "user", "content": "echo three"}], metadata={"conversation_id": talk}, user="u-1")
assert third.headers["callboard-conversation-id"] == talk
assert [model.id for model in client.models.list()] == ["default"] and client.models.retrieve("default").id == "default"
print(talk)
"#;

const JAVASCRIPT: &str = r#"
const OpenAI = require("openai");
const assert = require("node:assert");
const client = new OpenAI({ baseURL: process.env.URL, apiKey: "none" });
const ask = (text, more) => client.chat.completions.create(
  { model: "default", messages: [{ role: "user", content: text }], ...more });
(async () => {
  const answer = await ask("What is 17% of 2340?");
  assert(answer.choices[0].message.content.includes("397.8"), JSON.stringify(answer));
  let text = "", usage = null;
  for await (const chunk of await ask("What is 12 miles in km?", { stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert(text.includes("19.312128") && usage.total_tokens === 0, text);
  await assert.rejects(ask("x", { model: "gpt-4o" }), (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
  await assert.rejects(ask("x", { messages: [] }), (error) => error instanceof OpenAI.BadRequestError);
  const headers = { headers: { "Callboard-Conversation-Id": "from-js" } };
  for (const text of ["echo one", "echo two", "echo three"]) {
    const body = { model: "default", messages: [{ role: "user", content: text }] };
    const { data, response } = await client.chat.completions.create(body, headers).withResponse();
    assert(data.choices[0].message.content);
    assert.equal(response.headers.get("callboard-conversation-id"), "from-js");
  }
  assert.deepEqual((await client.models.list()).data.map((model) => model.id), ["default"]);
  console.log("from-js");
})().catch((error) => { console.error(error); process.exit(1); });
"#;

#[test]
fn official_clients_ask_stream_fail_and_go_on() {
    let server = Server::start(Options::default());
    for (client, script) in [(Client::Python, PYTHON), (Client::JavaScript, JAVASCRIPT)] {
        let Some(said) = run(client, &server.url, script) else { continue };
        let talk = said.trim();
        let turns = &server.get(&format!("/v1/conversations/{talk}"))["turns"];
        assert_eq!(*turns, json!(3), "{client:?}: one conversation, three turns");
    }
    server.cli(&["verify"]);
}

/// Lets everything through, and cuts the first connection when its answer begins.
fn cutting(server: &Server) -> String {
    let (listener, upstream) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), server.url.trim_start_matches("http://").to_owned());
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (nth, client) in listener.incoming().enumerate() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&upstream)) else { return };
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pipe(from, to, false));
            std::thread::spawn(move || pipe(server, client, nth == 0));
        }
    });
    url
}

fn pipe(mut from: TcpStream, mut to: TcpStream, cuts: bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if cuts || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // The other direction notices.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn conversations(server: &Server) -> Vec<String> {
    let page = server.get("/v1/conversations");
    let all = page["conversations"].as_array().unwrap().clone();
    all.iter().map(|entry| entry["conversation_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_client_that_repeats_by_itself_makes_no_second_turn() {
    const PYTHON: &str = r#"
import os, openai
client = openai.OpenAI(base_url=os.environ["URL"], api_key="none")
print(client.chat.completions.create(model="default", messages=[{"role": "user", "content": "echo once"}]).choices[0].message.content)
"#;
    const JAVASCRIPT: &str = r#"
const OpenAI = require("openai");
new OpenAI({ baseURL: process.env.URL, apiKey: "none" }).chat.completions
  .create({ model: "default", messages: [{ role: "user", content: "echo once" }] })
  .then((answer) => console.log(answer.choices[0].message.content));
"#;
    for (client, script) in [(Client::Python, PYTHON), (Client::JavaScript, JAVASCRIPT)] {
        let server = Server::start(Options::default());
        let Some(said) = run(client, &cutting(&server), script) else { continue };
        assert!(said.contains("once"), "{said}");
        let talks = conversations(&server);
        assert_eq!(talks.len(), 1, "{client:?} made one turn: {talks:?}");
        assert_eq!(server.get(&format!("/v1/conversations/{}", talks[0]))["turns"], 1);
    }
}

fn completion(server: &Server, headers: &[(&str, &str)], body: &Value) -> (u16, Value, String) {
    let (status, answer, headers) = server.post("/v1/chat/completions", headers, body.to_string());
    let talk = headers.get("callboard-conversation-id").map(|id| id.to_str().unwrap().to_owned());
    (status, answer, talk.unwrap_or_default())
}

#[test]
fn what_was_said_elsewhere_is_context_and_stays_in_the_log() {
    let server = Server::start(Options::default());
    let messages = json!([
        { "role": "system", "content": "be brief" },
        { "role": "user", "content": "What is 17% of 2340?" },
        { "role": "assistant", "content": "397.8" },
        { "role": "user", "content": [{ "type": "text", "text": "echo and now" }] },
    ]);
    let body = json!({ "model": "default", "messages": messages, "user": "u-7" });
    let (status, answer, talk) = completion(&server, &[("Authorization", "Bearer whatever")], &body);
    assert_eq!(status, 200, "{answer}");
    let events = server.events(&talk);
    let asked = &events.iter().find(|event| event["type"] == "UserQueryReceived").unwrap()["payload"];
    assert_eq!(asked["message"], "echo and now");
    assert_eq!(asked["metadata"], json!({ "user": "u-7" }));
    assert_eq!(
        asked["history"],
        json!([
            { "message": "[system] be brief", "answer": null },
            { "message": "What is 17% of 2340?", "answer": "397.8" },
        ])
    );
    let (_, _, same) = completion(&server, &[("Callboard-Conversation-Id", &talk)], &body);
    assert_eq!(same, talk);
    let asked: Vec<Value> =
        server.events(&talk).into_iter().filter(|event| event["type"] == "UserQueryReceived").collect();
    assert!(asked.len() == 2 && asked[1]["payload"].get("history").is_none(), "{asked:?}");
    let server = server.kill_and_restart();
    server.cli(&["verify"]);
}

#[test]
fn keys_join_and_refusals_have_openais_shape() {
    let server = Server::start(Options::default());
    let body = json!({ "model": "default", "messages": [{ "role": "user", "content": "echo one" }] });
    let keyed = [("Idempotency-Key", "k-1")];
    let (first, second) = (completion(&server, &keyed, &body), completion(&server, &keyed, &body));
    assert_eq!((first.0, &first.1["id"], &first.2), (200, &second.1["id"], &second.2));
    let other = json!({ "model": "default", "messages": [{ "role": "user", "content": "echo two" }] });
    let (status, refused, talk) = completion(&server, &keyed, &other);
    assert_eq!((status, &refused["error"]["code"]), (422, &json!("idempotency_key_reused")));
    assert_eq!(talk, first.2, "every answer names its conversation");
    let (status, refused, talk) = completion(
        &server,
        &[("Callboard-Conversation-Id", "mine")],
        &json!({ "model": "x", "messages": [] }),
    );
    assert_eq!((status, talk.as_str()), (400, "mine"), "{refused}");
    let (status, _, _) = completion(&server, &[("Callboard-Conversation-Id", "no good")], &body);
    assert_eq!(status, 400);
    let host = [("Host", "evil.example")];
    let (status, refused, _) = completion(&server, &host, &body);
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("host_not_allowed")));
    let (status, refused, _) = server.post("/v1/chat/completions", &[], "no json");
    assert_eq!((status, &refused["error"]["type"]), (400, &json!("invalid_request_error")));
}

#[test]
fn with_keys_bearer_is_one() {
    let server =
        Server::start(Options::default().env("CALLBOARD__HTTP__API_KEYS", "secret-key-of-anna-0123"));
    let body = json!({ "model": "default", "messages": [{ "role": "user", "content": "echo one" }] });
    let (status, refused, _) = completion(&server, &[("Authorization", "Bearer wrong")], &body);
    assert_eq!((status, &refused["error"]["code"]), (401, &json!("invalid_api_key")), "{refused}");
    let (status, answer, _) =
        completion(&server, &[("Authorization", "Bearer secret-key-of-anna-0123")], &body);
    assert_eq!(status, 200, "{answer}");
}
