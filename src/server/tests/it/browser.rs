//! A real browser: Debian's chromium, driven through its chromedriver in plain HTTP (WebDriver). What the page does
//! is waited for in the page's own terms; screenshots go to the target folder, to be looked at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use callboard_testkit::process::{Launch, Process};
use callboard_testkit::wait;
use serde_json::{Value, json};

use crate::world::PATIENCE;

/// Debian's packages `chromium` and `chromium-driver`.
const CHROMIUM: &str = "/usr/bin/chromium";
const CHROMEDRIVER: &str = "/usr/bin/chromedriver";

/// A browser with one window. Its end is the end of all its processes.
pub struct Browser {
    /// Ends the session, and with it the browser, when dropped.
    _session: Session,
    session: String,
    client: reqwest::blocking::Client,
    shots: PathBuf,
}

struct Session {
    url: String,
    client: reqwest::blocking::Client,
    _driver: Process,
    _profile: tempfile::TempDir,
}

impl Drop for Session {
    fn drop(&mut self) {
        // A driver that is killed leaves its browser behind; one that is told to quit does not.
        let _ = self.client.delete(&self.url).send();
    }
}

/// Whether to run a test that needs a browser. Where there is none it says loudly that the test is SKIPPED; with `CI`
/// set it panics instead, since a build server that skips its browser tests proves nothing.
pub fn available() -> bool {
    let missing: Vec<&str> =
        [CHROMIUM, CHROMEDRIVER].into_iter().filter(|path| !Path::new(path).is_file()).collect();
    if missing.is_empty() {
        return true;
    }
    let why = format!("{} missing; install Debian's chromium and chromium-driver", missing.join(" and "));
    assert!(std::env::var_os("CI").is_none(), "browser tests cannot run here, and CI is set: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past libtest's capture on purpose: a skipped test has to be seen.
    let line = format!("SKIPPED {test}: no browser on this machine: {why}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), line.as_bytes());
    false
}

impl Browser {
    /// Starts it. `shots` names the folder for screenshots, in the target folder.
    pub fn start(shots: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let port = callboard_testkit::ports::free_port();
        let driver = Launch::new(CHROMEDRIVER)
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .start()
            .unwrap();
        let client = reqwest::blocking::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        let driver_url = format!("http://127.0.0.1:{port}");
        let ready =
            || client.get(format!("{driver_url}/status")).send().is_ok_and(|a| a.status().is_success());
        wait::until(PATIENCE, "chromedriver answers", ready).unwrap();
        let arguments = [
            "--headless=new".to_owned(),
            // As root, and in containers with a small /dev/shm, chromium starts only so.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", profile.path().join("profile").display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": CHROMIUM, "args": arguments },
        } } });
        let answer = post(&client, &format!("{driver_url}/session"), &capabilities);
        let id = answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}\n{}", driver.tail()));
        let url = format!("{driver_url}/session/{id}");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(shots);
        std::fs::create_dir_all(&folder).unwrap();
        let session =
            Session { url: url.clone(), client: client.clone(), _driver: driver, _profile: profile };
        Self { _session: session, session: url, client, shots: folder }
    }

    pub fn open(&self, url: &str) {
        self.send("/url", &json!({ "url": url }));
    }

    /// The window's size, in CSS pixels.
    pub fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Whether the page is asked for in dark colours.
    pub fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// What a JavaScript expression is worth in the page.
    pub fn value(&self, expression: &str) -> Value {
        self.send("/execute/sync", &json!({ "script": format!("return ({expression})"), "args": [] }))
    }

    pub fn text(&self, id: &str) -> String {
        self.value(&format!("document.getElementById({id:?}).textContent")).as_str().unwrap_or("").to_owned()
    }

    /// Waits until the expression is true.
    pub fn until(&self, what: &str, expression: &str) {
        self.until_within(PATIENCE, what, expression);
    }

    pub fn until_within(&self, timeout: Duration, what: &str, expression: &str) {
        let so = || self.value(&format!("!!({expression})")) == Value::Bool(true);
        if let Err(late) = wait::until(timeout, what, so) {
            let shot = self.shot("gave-up");
            panic!(
                "{late}; see {}; the page shows:\n{}",
                shot.display(),
                self.value("document.body.innerText")
            );
        }
    }

    /// Clicks as a person does: scrolled to, at its middle, and refused where something else lies on top.
    pub fn click(&self, selector: &str) {
        let query = json!({ "using": "css selector", "value": selector });
        let found = self.send("/element", &query);
        let id = found.as_object().and_then(|fields| fields.values().next()).and_then(Value::as_str);
        let id = id.unwrap_or_else(|| panic!("no {selector}: {found}"));
        let clicked = self.send(&format!("/element/{id}/click"), &json!({}));
        assert!(clicked.is_null(), "{selector}: {clicked}");
    }

    /// A picture of the whole page, to be looked at.
    pub fn shot(&self, name: &str) -> PathBuf {
        let taken = self.devtools("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }));
        let path = self.shots.join(format!("{name}.png"));
        std::fs::write(&path, decoded(taken["data"].as_str().unwrap())).unwrap();
        path
    }

    /// Errors that the page's own code made; what a killed server does to requests is not among them.
    pub fn page_errors(&self) -> Vec<String> {
        let entries = self.send("/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let of_the_page = |entry: &&Value| entry["level"] == "SEVERE" && entry["source"] != "network";
        entries.iter().filter(of_the_page).map(|entry| entry["message"].to_string()).collect()
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.send("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn send(&self, path: &str, body: &Value) -> Value {
        post(&self.client, &format!("{}{path}", self.session), body)
    }
}

fn post(client: &reqwest::blocking::Client, url: &str, body: &Value) -> Value {
    let text = client.post(url).json(body).send().unwrap().text().unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["value"]["error"].is_null(), "{url} {body}: {text}");
    answer["value"].clone()
}

/// Base64 as chromium writes it: standard alphabet, padded, without line breaks.
fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} is not base64"),
    };
    let digits: Vec<u32> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let word = group.iter().enumerate().fold(0, |word, (i, digit)| word | (digit << (18 - 6 * i)));
        bytes.extend_from_slice(&word.to_be_bytes()[1..group.len()]);
    }
    bytes
}
