//! What bad input gets: a clear problem that names the field and the limit, or one line and an exit code.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Options, PATIENCE, Server, launch};

fn expect(server: &Server, body: Vec<u8>, headers: &[(&str, &str)], status: u16, words: &[&str]) {
    let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
    let (found, problem, returned) = server.post("/v1/chat", headers, body);
    assert_eq!(found, status, "{shown}: {problem}");
    assert_eq!(returned["content-type"], "application/problem+json", "{shown}");
    for word in words {
        assert!(problem.to_string().contains(word), "{shown}: {word:?} is missing in {problem}");
    }
    assert!(problem["code"].is_string() && problem["detail"].is_string(), "{problem}");
}

#[test]
fn bodies_that_are_wrong_are_problems_that_say_what_would_be_right() {
    let server = Server::start(Options::default());
    let json = |value: Value| value.to_string().into_bytes();
    expect(&server, Vec::new(), &[], 400, &[]);
    expect(&server, b"not json".to_vec(), &[], 400, &[]);
    expect(&server, b"{\"message\":\"\xff\xfe\"}".to_vec(), &[], 400, &[]);
    expect(&server, json(json!({ "message": "" })), &[], 400, &["message"]);
    expect(&server, json(json!({ "message": 7 })), &[], 400, &["message"]);
    expect(&server, json(json!({})), &[], 400, &["message"]);
    expect(&server, json(json!({ "message": "x", "mesage": "y" })), &[], 400, &["mesage"]);
    expect(
        &server,
        json(json!({ "message": "x", "conversation_id": "a b" })),
        &[],
        400,
        &["conversation_id"],
    );
    expect(&server, json(json!({ "message": "x", "conversation_id": "x".repeat(129) })), &[], 400, &["128"]);
    expect(&server, json(json!({ "message": "x".repeat(262_145) })), &[], 413, &["262144"]);
    expect(&server, json(json!({ "message": "x".repeat(3_000_000) })), &[], 413, &["body"]);
    let escaped = format!(r#"{{"message":"{}"}}"#, r"\u0078".repeat(262_145));
    expect(&server, escaped.into_bytes(), &[], 413, &["message", "262144"]);
    expect(
        &server,
        json(json!({ "message": "x" })),
        &[("content-type", "text/plain")],
        415,
        &["application/json"],
    );
    expect(&server, json(json!({ "message": "x" })), &[("origin", "https://evil.example")], 403, &[]);
    expect(&server, json(json!({ "message": "x" })), &[("host", "evil.example")], 403, &[]);
    let (status, body) = server.try_get("/v1/conversations/unknown-one/turns/1").unwrap();
    assert_eq!(status, 404, "{body}");
    let (status, body) = server.try_get("/nowhere").unwrap();
    assert!(status == 404 && body.contains("\"code\""), "{body}");
    let (status, problem, _) =
        server.post("/admin/v1/actors/kill", &[], json!({ "path": "/", "how": "panic" }).to_string());
    assert_eq!(status, 403, "{problem}");
}

#[test]
fn a_connection_opened_ahead_of_its_request_is_not_answered_before_it() {
    // Chaos, seed 26 on one broker: clients that opened connections in reserve found a 408 on them.
    let server = Server::start(Options::default());
    let mut reserve = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    reserve.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let mut said = [0; 64];
    let early = reserve.read(&mut said);
    assert!(early.is_err(), "{:?} {:?}", early, String::from_utf8_lossy(&said));
    reserve.set_read_timeout(Some(PATIENCE)).unwrap();
    reserve.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let length = reserve.read(&mut said).unwrap();
    assert!(said[..length].starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&said));
}

#[test]
fn whom_to_kill_must_be_there_and_killing_allowed() {
    let server = Server::start(Options::default().arg("--allow-chaos"));
    let kill = |path: &str, how: &str| {
        server.post("/admin/v1/actors/kill", &[], json!({ "path": path, "how": how }).to_string())
    };
    let (status, problem, _) = kill("/bridge-0/host-99", "panic");
    assert_eq!((status, &problem["code"]), (404, &json!("no_such_actor")), "{problem}");
    let near = problem["near"].as_array().unwrap();
    assert!(near.iter().any(|path| path.as_str().unwrap().starts_with("/bridge-0")), "{problem}");
    let (status, problem, _) = kill("/bridge-0", "gently");
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("abort"), "{problem}");
    let (status, problem, _) = kill("/bridge-0/planner", "panic");
    assert_eq!(status, 202, "{problem}");
}

/// Runs the binary until it ends; gives exit code and error output.
fn ends(args: &[&str], options: &Options) -> (i32, String) {
    let data = tempfile::tempdir().unwrap();
    let process = launch(&data, args, options);
    let code = process.wait_exit(PATIENCE).unwrap().code().unwrap();
    (code, process.stderr())
}

#[test]
fn wrong_starts_are_one_clear_line_and_exit_code_2() {
    let (code, words) = ends(
        &["serve", "--listen", "127.0.0.1:0"],
        &Options::default().env("CALLBOARD__PLANER__ORDER", "[]"),
    );
    assert!(code == 2 && words.contains("planner"), "{code} {words}");
    let (code, words) = ends(&["serve", "--listen", "nonsense"], &Options::default());
    assert!(code == 2 && words.contains("nonsense"), "{code} {words}");
    let (code, words) = ends(&["serve", "--listen", "0.0.0.0:0"], &Options::default());
    assert!(code == 2 && words.contains("--insecure"), "{code} {words}");
    let (code, words) = ends(&["sserve"], &Options::default());
    assert!(code == 2 && words.contains("serve"), "{code} {words}");
    let (code, words) = ends(&["ask", "x", "--server", "localhost:8080"], &Options::default());
    assert!(code == 2 && words.contains("http://HOST:PORT"), "{code} {words}");
    let nobody = format!("http://127.0.0.1:{}", callboard_testkit::ports::free_port());
    let (code, words) = ends(&["ask", "x", "--server", &nobody], &Options::default());
    assert!(code == 1 && words.contains("no server at"), "{code} {words}");
    let (code, words) = ends(&["worker", "--pool", "default"], &Options::default());
    assert!(code == 2 && words.to_lowercase().contains("kafka"), "{code} {words}");
}

#[test]
fn a_folder_in_use_and_a_port_in_use_are_named() {
    let server = Server::start(Options::default());
    let second = launch(&server.data, &["serve", "--listen", "127.0.0.1:0"], &Options::default());
    let code = second.wait_exit(PATIENCE).unwrap().code();
    assert_eq!(code, Some(2), "{}", second.tail());
    let port = server.url.rsplit(':').next().unwrap();
    let (code, words) = ends(&["serve", "--listen", &format!("127.0.0.1:{port}")], &Options::default());
    assert!(code == 2 && words.contains(port), "{code} {words}");
}
