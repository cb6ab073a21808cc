//! `callboard demo`: every scene ends with a good verdict, and the page is clicked on in a real browser.

use std::time::{Duration, Instant};

use callboard_testkit::process::{Launch, Process};
use callboard_testkit::wait;
use serde_json::Value;

use crate::browser::{self, Browser};
use crate::world::{Options, PATIENCE, Server};

/// What the issue allows a demo; a machine that builds beside it may take twice that.
const A_DEMO: Duration = Duration::from_secs(120);

/// Starts a demo in a shell that has settings of its own, none of which may matter.
fn start(args: &[&str]) -> Process {
    Launch::new(env!("CARGO_BIN_EXE_callboard"))
        .arg("demo")
        .args(args.iter().copied())
        .env("OPENAI_API_KEY", "not-a-key-and-nobody-asks")
        .env("CALLBOARD__ALLOW_CHAOS", "false")
        .start()
        .unwrap()
}

/// The lines of `--json`.
fn told(process: &Process) -> Vec<Value> {
    process.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Plays a scene; it must be good. Gives what it told.
fn played(args: &[&str]) -> Vec<Value> {
    played_to(args, "VERDICT: GOOD — the plan went on: 5 of 5 steps, each executed once")
}

fn played_to(args: &[&str], good: &str) -> Vec<Value> {
    let mut all = args.to_vec();
    all.push("--json");
    let process = start(&all);
    let status = process.wait_exit(A_DEMO).unwrap();
    let told = told(&process);
    let verdict = told.last().unwrap();
    assert!(
        status.success() && verdict["event"] == "verdict" && verdict["good"] == true,
        "{verdict}\n{}",
        process.stdout()
    );
    let text = verdict["text"].as_str().unwrap();
    assert!(text.starts_with(good), "{text}");
    told
}

fn count(told: &[Value], event: &str) -> usize {
    told.iter().filter(|line| line["event"] == event).count()
}

#[test]
fn worker_crash_is_good() {
    assert_eq!(count(&played(&["worker-crash"]), "kill"), 2);
}

#[test]
fn supervisor_crash_is_good() {
    let told = played(&["supervisor-crash"]);
    assert_eq!(count(&told, "kill"), 3);
    assert!(count(&told, "back") >= 3, "{told:?}");
}

#[test]
fn process_crash_is_good() {
    let told = played(&["process-crash"]);
    assert_eq!((count(&told, "kill"), count(&told, "back")), (2, 2));
}

#[test]
fn duplicates_are_good() {
    let told = played(&["duplicates"]);
    assert_eq!((count(&told, "kill"), count(&told, "again")), (1, 2));
}

#[cfg(feature = "kafka")]
#[test]
fn a_worker_process_that_looks_things_up_is_killed_and_the_plan_goes_on() {
    let Some(cluster) = callboard_testkit::kafka::shared() else { return };
    let brokers = cluster.bootstrap();
    let told = played_to(
        &["worker-crash", "--tool", "knowledge", "--kafka-brokers", &brokers],
        "VERDICT: GOOD — the plan went on: 5 of 5 steps, each deposit executed once by the outside counter, 1 answer with 3 \
         citations that stand where it says",
    );
    assert_eq!((count(&told, "kill"), count(&told, "back")), (2, 2));
}

#[cfg(feature = "kafka")]
#[test]
fn broker_crash_is_good() {
    if callboard_testkit::kafka::require() {
        assert_eq!(count(&played(&["broker-crash"]), "kill"), 1);
    }
}

#[cfg(feature = "kafka")]
#[test]
fn duplicates_on_somebodys_kafka_are_good() {
    let Some(cluster) = callboard_testkit::kafka::shared() else { return };
    let told = played(&["duplicates", "--kafka-brokers", &cluster.bootstrap()]);
    assert_eq!((count(&told, "kill"), count(&told, "again")), (1, 3));
}

#[test]
fn wrong_usage_is_2_and_says_what_would_be_right() {
    for (args, words) in [
        (vec!["everything"], "possible values"),
        (vec!["broker-crash", "--kafka-brokers", "127.0.0.1:1"], "leave out --kafka-brokers"),
        (vec!["worker-crash", "--data-dir", "x"], "temporary folder"),
        (vec!["worker-crash", "--no-open"], "cannot be used with"),
        (vec!["process-crash", "--tool", "knowledge"], "belongs to `callboard demo worker-crash`"),
    ] {
        let process = start(&args);
        assert_eq!(process.wait_exit(PATIENCE).unwrap().code(), Some(2), "{args:?}");
        assert!(process.stderr().contains(words), "{args:?}: {}", process.stderr());
    }
}

/// The page's demo: its process, the page's address, the server's process id.
fn page() -> (Process, String, u32) {
    let process = start(&[
        "--no-open",
        "--json",
        "--listen",
        &format!("127.0.0.1:{}", callboard_testkit::ports::free_port()),
    ]);
    let line =
        process.wait_line(PATIENCE, "the page's address", |line| line.text.contains("view=kill")).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let url = told["text"].as_str().unwrap().to_owned();
    let pid = server_of(&url);
    (process, url, pid)
}

/// Process id of the server that answers there.
fn server_of(url: &str) -> u32 {
    let (base, _) = url.split_once("/?").unwrap();
    let about: Value = reqwest::blocking::get(format!("{base}/page.json")).unwrap().json().unwrap();
    u32::try_from(about["process_id"].as_u64().unwrap()).unwrap()
}

fn runs(pid: u32) -> bool {
    // A process that has ended and was not waited for is a zombie: it holds nothing any more.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

#[test]
fn the_server_does_not_outlive_its_demo_however_that_ends() {
    let (demo, _, server) = page();
    demo.sigterm().unwrap();
    assert!(demo.wait_exit(PATIENCE).unwrap().success(), "{}", demo.stderr());
    wait::until(PATIENCE, "the server has ended", || !runs(server)).unwrap();
    let (demo, _, server) = page();
    assert!(runs(server));
    let folder = std::fs::read_link(format!("/proc/{server}/cwd")).unwrap();
    assert!(folder.join("data").is_dir(), "{}", folder.display());
    demo.sigkill().unwrap();
    wait::until(PATIENCE, "the server has ended", || !runs(server)).unwrap();
    wait::until(PATIENCE, "its folder is gone", || !folder.exists()).unwrap();
}

#[test]
fn in_a_browser_the_plan_survives_what_is_clicked() {
    if !browser::available() {
        return;
    }
    let (_demo, url, first_server) = page();
    let browser = Browser::start("demo-page");
    browser.size(1280, 900);
    browser.open(&url);
    // The plan starts by itself, once, however many windows are open.
    browser.until("a step runs", "document.querySelector('#kill-steps .line.running')");
    browser.until(
        "the second step runs",
        "document.querySelectorAll('#kill-steps .line')[1]?.classList.contains('running')",
    );
    browser.shot("1-running-1280");
    browser.click("#kill-supervisor");
    browser.until(
        "the tree shows the restart",
        "document.querySelector('#kill-tree .restarts')?.textContent.includes('panicked 1')",
    );
    browser.shot("2-supervisor-1280");
    browser.size(400, 800);
    browser.shot("2-supervisor-400");
    fits(&browser);
    browser.size(1280, 900);
    browser.click("#kill-process");
    let clicked = Instant::now();
    browser.until(
        "the page says that the process is gone",
        "/is gone|Back after/.test(document.getElementById('strip-words').textContent)",
    );
    browser.shot("3-gone-1280");
    browser.until(
        "the page is back by itself",
        "document.getElementById('strip-words').textContent.startsWith('Back after')",
    );
    assert!(clicked.elapsed() < PATIENCE / 2);
    assert_ne!(server_of(&url), first_server);
    browser.shot("4-back-1280");
    browser.until("there is a verdict", "!document.getElementById('verdict').hidden");
    let verdict = browser.text("verdict");
    browser.shot("5-verdict-1280");
    assert!(verdict.starts_with("VERDICT: GOOD — the plan went on through 2 kills: 5 of 5 steps, each executed once by the outside counter, 1 answer"), "{verdict}");
    let executed = browser
        .value("[...document.querySelectorAll('#kill-steps .count')].map((count) => count.textContent)");
    assert_eq!(
        executed,
        serde_json::json!(["executed 1×", "executed 1×", "executed 1×", "executed 1×", "executed 1×"])
    );
    browser.size(400, 800);
    browser.shot("5-verdict-400");
    fits(&browser);
    browser.dark(true);
    browser.shot("5-verdict-400-dark");
    browser.size(1280, 900);
    browser.shot("5-verdict-1280-dark");
    browser.dark(false);
    assert_eq!(browser.page_errors(), Vec::<String>::new());
}

#[test]
fn in_a_browser_a_server_without_chaos_talks_and_offers_no_killing() {
    if !browser::available() {
        return;
    }
    let server = Server::start(Options::default());
    let browser = Browser::start("plain-page");
    browser.size(1280, 900);
    // Even when the address asks for it.
    browser.open(&format!("{}/?c=plain&view=kill", server.url));
    browser.until("the server is ready", "document.getElementById('ready').textContent === 'ready'");
    browser.until("the conversation shows", "!document.getElementById('chat').hidden");
    let hidden = "document.getElementById('show-kill').hidden && document.getElementById('kill').hidden";
    assert_eq!(browser.value(hidden), true);
    browser.click(".example");
    browser.until(
        "the answer shows",
        "document.querySelector('#turns .answer.answered')?.textContent.includes('397.8')",
    );
    browser.until("the plan shows", "document.querySelectorAll('#steps .badge.done').length === 3");
    browser.shot("1-conversation-1280");
    browser.size(400, 800);
    browser.shot("1-conversation-400");
    fits(&browser);
    browser.click("#show-actors");
    browser.until("the tree shows", "document.querySelectorAll('#tree li').length > 5");
    browser.click("#idle");
    browser.until("idle ones show too", "document.querySelectorAll('#tree li').length > 100");
    browser.click("#idle");
    browser.until("or not", "document.querySelectorAll('#tree li').length < 30");
    browser.shot("2-actors-400");
    fits(&browser);
    assert_eq!(browser.value("document.querySelectorAll('#tree button').length"), 0);
    assert_eq!(browser.page_errors(), Vec::<String>::new());
}

#[test]
fn the_page_learns_what_it_may_offer_from_its_server() {
    let server = Server::start(Options::default().arg("--allow-chaos"));
    let about = server.get("/page.json");
    assert_eq!((&about["allow_chaos"], &about["demo"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(about["process_id"], server.process.pid());
    assert_eq!(server.try_get("/page/counts").unwrap().0, 404, "no demo, no counter");
    let keyed = Options::default().env("CALLBOARD__HTTP__API_KEYS", "0123456789abcdef");
    let server = Server::start(keyed);
    assert_eq!(server.try_get("/page.json").unwrap().0, 401);
    assert_eq!(server.try_get("/kill.js").unwrap().0, 200, "the page itself is public");
}

/// Nothing has to be scrolled sideways, and every button has a name.
fn fits(browser: &Browser) {
    let wide = browser.value("[document.documentElement.scrollWidth, window.innerWidth]");
    assert_eq!(wide[0], wide[1], "the page is wider than its window");
    let nameless = browser.value(
        "[...document.querySelectorAll('button')].filter((b) => !(b.getAttribute('aria-label') || b.textContent.trim())).length",
    );
    assert_eq!(nameless, 0, "a button without a name");
}
