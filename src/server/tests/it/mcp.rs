//! MCP servers end to end: configured in a file, planned with, killed, restarted, looked at; and the examples of
//! `docs/mcp.md` as they stand there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use callboard_testkit::mcp::{HttpServer, NODE, Packages, require};
use callboard_testkit::stubs::OpenAi;
use callboard_testkit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{Options, PATIENCE, Server};

/// A model that plans these steps, and answers with everything that it was told.
fn model(steps: Value) -> OpenAi {
    let stub = OpenAi::start().unwrap();
    stub.respond_with(move |request| {
        if request["response_format"].is_object() {
            return json!({ "steps": steps }).to_string();
        }
        let messages = request["messages"].as_array().unwrap();
        messages.iter().filter_map(|message| message["content"].as_str()).collect::<Vec<_>>().join("\n")
    });
    stub
}

/// Everything that it was asked.
fn prompts(model: &OpenAi) -> String {
    model.requests().iter().map(|request| request.json().to_string()).collect()
}

/// A process whose plans come from that model.
fn planned_by(model: &OpenAi) -> Options {
    Options::default()
        .env("CALLBOARD__PLANNER__ORDER", r#"["openai"]"#)
        .env("CALLBOARD__MODELS__OPENAI__BASE_URL", format!("{}/v1", model.url()))
        .env("CALLBOARD__MODELS__OPENAI__API_KEY", "not-a-key-and-nobody-asks")
}

/// A folder with a configuration in it, and files for a server to serve.
struct Place {
    folder: TempDir,
    files: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().canonicalize().unwrap().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("note.txt"), "The safe is behind the picture.").unwrap();
        Self { folder, files }
    }

    fn configured(self, config: &str) -> Self {
        std::fs::write(self.folder.path().join("callboard.toml"), config).unwrap();
        self
    }

    fn with_files(self) -> Self {
        let config = files_toml(&self.files);
        self.configured(&config)
    }
}

fn files_toml(folder: &Path) -> String {
    let script = Packages::ensure().unwrap().filesystem();
    format!("[mcp.files]\ncommand = {NODE:?}\nargs = [{script:?}, {folder:?}]\n")
}

fn every_toml() -> String {
    let script = Packages::ensure().unwrap().everything();
    format!("[mcp.every]\ncommand = {NODE:?}\nargs = [{script:?}, \"stdio\"]\n")
}

fn step(id: &str, tool: &str, arguments: Value) -> Value {
    json!({ "id": id, "tool": tool, "arguments": arguments })
}

/// A server of the actor tree.
fn shown(server: &Server, name: &str) -> Value {
    let tree = server.get("/admin/v1/actors");
    let above =
        tree["children"].as_array().unwrap().iter().find(|child| child["path"] == "/mcp").unwrap().clone();
    let path = format!("/mcp/{name}");
    above["children"].as_array().unwrap().iter().find(|child| child["path"] == *path).unwrap().clone()
}

fn until(server: &Server, what: &str, so: impl FnMut() -> bool) {
    if let Err(error) = wait::until(PATIENCE, what, so) {
        panic!("{error}\n{}", server.process.tail());
    }
}

fn steps(server: &Server, conversation: &str) -> Value {
    server.try_get(&format!("/v1/conversations/{conversation}/plan")).map_or(Value::Null, |(_, body)| {
        serde_json::from_str::<Value>(&body).unwrap_or_default()["steps"].clone()
    })
}

#[test]
fn a_question_is_answered_from_a_file() {
    if !require() {
        return;
    }
    let place = Place::new().with_files();
    let note = place.files.join("note.txt");
    let copy = place.files.join("copy.txt");
    let model = model(json!([
        step("read", "files_read_text_file", json!({ "path": note })),
        step("write", "files_write_file", json!({ "path": copy, "content": "${read.content}" })),
    ]));
    let server = Server::start_in(place.folder, planned_by(&model));
    let turn = server.ask("Where is the safe? Copy the note.");
    assert!(turn["answer"].as_str().unwrap().contains("The safe is behind the picture."), "{turn}");
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "The safe is behind the picture.");
    // The planner was told what there is, in the server's own words.
    let asked = prompts(&model);
    assert!(
        asked.contains("files_read_text_file") && asked.contains("Read the complete contents"),
        "{asked}"
    );
    let tree = shown(&server, "files");
    assert_eq!(
        (&tree["kind"], &tree["state"], &tree["restarts"]),
        (&json!("mcp_server"), &json!("up"), &json!(0))
    );
    assert_eq!(tree["work"]["transport"], json!("stdio"), "{tree}");
    assert!(server.cli(&["actors"]).contains("files  [mcp_server] up"));
    assert!(
        server.metric("callboard_mcp_server_up") > 0.5 && server.metric("callboard_mcp_server_starts") > 0.5
    );
    server.cli(&["verify"]);
    let pid = tree["work"]["pid"].as_u64().unwrap();
    assert_eq!(server.stop(), Some(0), "{}", server.process.tail());
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "its process ends with ours");
}

#[test]
fn a_server_that_is_killed_in_a_call_comes_back_and_the_plan_goes_on() {
    if !require() {
        return;
    }
    let place = Place::new().configured(&every_toml());
    let long = step("long", "every_trigger-long-running-operation", json!({ "duration": 4, "steps": 4 }));
    let mut sum = step("sum", "every_get-sum", json!({ "a": 2, "b": 40 }));
    sum["depends_on"] = json!(["long"]);
    let model = model(json!([long, sum]));
    let server = Server::start_in(place.folder, planned_by(&model).arg("--allow-chaos"));
    let (conversation, command) = server.send("take your time, then add 2 and 40");
    let in_hand = || shown(&server, "every")["mailbox"]["depth"] == json!(1);
    until(&server, "the call is under way", in_hand);
    let body = json!({ "path": "/mcp/every", "how": "abort" }).to_string();
    assert_eq!(server.post("/admin/v1/actors/kill", &[], body).0, 202);
    let turn = server.ended(&conversation, &command);
    assert_eq!(turn["status"], json!("answered"), "{turn}");
    assert!(turn["answer"].as_str().unwrap().contains("42"), "{turn}");
    let steps = steps(&server, &conversation);
    assert!(steps[0]["attempts"].as_u64().unwrap() >= 2, "{steps}");
    assert_eq!(shown(&server, "every")["restarts"], json!(1));
    server.cli(&["verify"]);
}

#[test]
fn sigkill_of_callboard_in_a_call_and_the_plan_goes_on_with_a_server_that_has_yet_to_start() {
    if !require() {
        return;
    }
    let place = Place::new().configured(&every_toml());
    let long = step("long", "every_trigger-long-running-operation", json!({ "duration": 3, "steps": 3 }));
    let mut sum = step("sum", "every_get-sum", json!({ "a": 2, "b": 40 }));
    sum["depends_on"] = json!(["long"]);
    let model = model(json!([long, sum]));
    let server = Server::start_in(place.folder, planned_by(&model));
    let (conversation, command) = server.send("take your time, then add 2 and 40");
    until(&server, "the call is under way", || shown(&server, "every")["mailbox"]["depth"] == json!(1));
    let orphan = shown(&server, "every")["work"]["pid"].as_u64().unwrap();
    let server = server.kill_and_restart();
    let turn = server.ended(&conversation, &command);
    assert_eq!(turn["status"], json!("answered"), "{turn}");
    assert!(turn["answer"].as_str().unwrap().contains("42"), "{turn}");
    // The end of its input told the old one.
    until(&server, "the old process is gone", || !Path::new(&format!("/proc/{orphan}")).exists());
}

#[test]
fn a_server_over_http_and_one_that_never_starts() {
    if !require() {
        return;
    }
    let http = HttpServer::start().unwrap();
    let config = format!(
        "[mcp.every]\nurl = {:?}\nheaders = {{ Authorization = \"Bearer canary-5f2c\" }}\n[mcp.dead]\ncommand = \
         \"no-such-program\"\n",
        http.url()
    );
    let place = Place::new().configured(&config);
    let model = model(json!([step("echo", "every_echo", json!({ "message": "hello over HTTP" }))]));
    let server = Server::start_in(place.folder, planned_by(&model));
    let turn = server.ask("say hello");
    assert!(turn["answer"].as_str().unwrap().contains("hello over HTTP"), "{turn}");
    let dead = shown(&server, "dead");
    assert!(dead["work"]["problem"].as_str().unwrap().contains("no-such-program"), "{dead}");
    assert!(server.process.stderr().contains("MCP server dead is down"), "{}", server.process.tail());
    for seen in
        [server.process.tail(), server.get("/admin/v1/actors").to_string(), server.cli(&["config", "show"])]
    {
        assert!(!seen.contains("canary-5f2c"), "{seen}");
    }
    drop(http);
}

#[test]
fn a_secret_of_a_server_reaches_no_prompt_no_event_and_no_log() {
    if !require() {
        return;
    }
    let config = format!("{}[mcp.every.env]\nTOKEN = \"canary-91d7e\"\n", every_toml());
    let place = Place::new().configured(&config);
    // The tool gives its whole environment back.
    let model = model(json!([step("env", "every_get-env", json!({}))]));
    let debug = planned_by(&model).env("CALLBOARD_LOG", "debug,rmcp=debug");
    let server = Server::start_in(place.folder, debug);
    let turn = server.ask("what is in your environment?");
    let answer = turn["answer"].as_str().unwrap();
    assert!(answer.contains("TOKEN") && answer.contains("(secret)"), "{answer}");
    assert!(!answer.contains("not-a-key-and-nobody-asks"), "nothing of our own environment: {answer}");
    let events = format!("{:?}", server.events(turn["conversation_id"].as_str().unwrap()));
    let log = format!("{}{}", server.process.stdout(), server.process.stderr());
    for (where_, text) in
        [("events", events), ("prompts", prompts(&model)), ("answer", answer.to_owned()), ("log", log)]
    {
        assert!(!text.contains("canary-91d7e"), "{where_}: {text}");
    }
}

#[test]
fn a_wrong_setting_is_one_line_and_doctor_looks_at_each_server() {
    if !require() {
        return;
    }
    let place = Place::new().configured("[mcp.files]\nargs = [\"x\"]\n");
    let process =
        crate::world::launch(&place.folder, &["serve", "--listen", "127.0.0.1:0"], &Options::default());
    assert_eq!(process.wait_exit(PATIENCE).unwrap().code(), Some(2));
    assert!(process.stderr().contains("mcp.files.command is not set"), "{}", process.stderr());
    let config = format!("{}[mcp.dead]\ncommand = \"no-such-program\"\n", files_toml(&place.files));
    let place = place.configured(&config);
    let doctor = crate::world::launch(&place.folder, &["doctor"], &Options::default());
    assert_eq!(doctor.wait_exit(PATIENCE).unwrap().code(), Some(1));
    let said = doctor.stdout();
    assert!(said.contains("ok   MCP server: files has 14 tools over stdio"), "{said}");
    assert!(said.contains("FAIL MCP server: dead is down: \"no-such-program\" does not start"), "{said}");
}

#[cfg(feature = "kafka")]
#[test]
fn a_worker_of_its_pool_runs_its_tools_on_kafka() {
    use callboard_testkit::{kafka, unique_name};

    if !require() {
        return;
    }
    let Some(cluster) = kafka::shared() else { return };
    let prefix = unique_name("mcp-");
    let (place, far) = (Place::new().with_files(), Place::new());
    let config = files_toml(&place.files);
    let far = far.configured(&config);
    let model =
        model(json!([step("read", "files_read_text_file", json!({ "path": place.files.join("note.txt") }))]));
    let options = planned_by(&model).kafka(&cluster.bootstrap(), &prefix);
    // The one plans and runs no tool; the other one runs the tools of this pool and nothing else.
    let server = Server::start_in(place.folder, options.clone().arg("--without").arg("tools"));
    let worker = crate::world::launch(&far.folder, &["worker", "--pool", "mcp-files"], &options);
    let turn = server.ask("Where is the safe?");
    assert!(turn["answer"].as_str().unwrap().contains("behind the picture"), "{turn}\n{}", worker.tail());
    worker.sigterm().unwrap();
    assert_eq!(worker.wait_exit(PATIENCE).unwrap().code(), Some(0), "{}", worker.tail());
}

fn docs() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/mcp.md")).unwrap()
}

/// The blocks of a language in a document.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_example_of_the_document_is_a_configuration_that_starts() {
    let examples = blocks(&docs(), "toml");
    assert!(examples.len() >= 3, "{examples:?}");
    for example in examples {
        let place = Place::new().configured(&example);
        let shown = crate::world::launch(&place.folder, &["config", "show"], &Options::default());
        assert_eq!(shown.wait_exit(PATIENCE).unwrap().code(), Some(0), "{example}\n{}", shown.stderr());
        let loaded = callboard::config::load(
            Some(&place.folder.path().join("callboard.toml")),
            place.folder.path(),
            &callboard::config::Environment::default(),
            &[],
        );
        callboard::wiring::mcp::settings(&loaded.unwrap().config).unwrap();
    }
}

#[test]
fn the_first_example_of_the_document_answers_its_question() {
    if !require() {
        return;
    }
    let text = docs();
    let place = Place::new().configured(&blocks(&text, "toml")[0]);
    let notes = place.folder.path().join("notes");
    std::fs::create_dir(&notes).unwrap();
    std::fs::write(notes.join("safe.txt"), "The safe is behind the picture.").unwrap();
    // What `npx` would fetch by name is run from the cache instead.
    let bin = place.folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = Packages::ensure().unwrap().filesystem();
    let npx = format!(
        "#!/bin/sh\n[ \"$1 $2\" = '-y @modelcontextprotocol/server-filesystem' ] || exit 9\nshift 2\nexec {NODE} {script:?} \"$@\"\n"
    );
    std::fs::write(bin.join("npx"), npx).unwrap();
    std::process::Command::new("chmod").arg("+x").arg(bin.join("npx")).status().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // Relative names are the server's to read, and its versions differ in that.
    let note = notes.join("safe.txt").canonicalize().unwrap();
    let model = model(json!([step("read", "files_read_text_file", json!({ "path": note }))]));
    let server = Server::start_in(place.folder, planned_by(&model).env("PATH", &path));
    let ask = blocks(&text, "sh");
    let question =
        ask.iter().find_map(|block| block.split("callboard ask \"").nth(1)?.split('"').next()).unwrap();
    let said = server.cli(&["ask", question]);
    assert!(said.contains("behind the picture"), "{said}");
    let patient =
        wait::until(Duration::from_secs(10), "it is shown", || shown(&server, "files")["state"] == "up");
    patient.unwrap();
}
