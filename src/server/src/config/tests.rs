//! Stories of the configuration: what wins, what is refused and in which words, what is shown.

use std::path::Path;

use figment::value::Value;

use super::{Config, Environment, Flag, Loaded, load, shown};

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn with_file(text: &str, variables: &[(&str, &str)], flags: &[Flag]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("callboard.toml"), text).unwrap();
    load(None, folder.path(), &environment(variables), flags).map_err(|e| e.to_string())
}

fn flag(name: &'static str, key: &'static str, value: &str) -> Flag {
    Flag { name, key, value: Value::from(value) }
}

#[test]
fn nothing_set_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load(None, folder.path(), &Environment::default(), &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.origin("listen"), "default");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "listen = \"127.0.0.1:1\"\n[http]\nwait_ms = 1\n[log]\nfsync = \"always\"\n";
    let variables = [("CALLBOARD__HTTP__WAIT_MS", "2"), ("CALLBOARD__LISTEN", "127.0.0.1:2")];
    let loaded = with_file(file, &variables, &[flag("--listen", "listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(loaded.config.listen.port(), 3);
    assert_eq!(loaded.config.http.wait_ms, 2);
    assert_eq!(loaded.config.log.fsync, super::FsyncMode::Always);
    assert_eq!(loaded.origin("listen"), "flag --listen");
    assert_eq!(loaded.origin("http.wait_ms"), "environment variable CALLBOARD__HTTP__WAIT_MS");
    assert!(loaded.origin("log.fsync").ends_with("callboard.toml"), "{}", loaded.origin("log.fsync"));
}

#[test]
fn a_variable_of_other_programs_is_named_as_the_origin() {
    let loaded = with_file("", &[("KAFKA_BOOTSTRAP_SERVERS", "a:9092, b:9092")], &[]).unwrap();
    assert_eq!(loaded.config.kafka.brokers.as_ref().unwrap().0, "a:9092,b:9092");
    assert_eq!(loaded.origin("kafka.brokers"), "environment variable KAFKA_BOOTSTRAP_SERVERS");
    let ours = [("KAFKA_BROKERS", "a:1"), ("CALLBOARD__KAFKA__BROKERS", "b:2")];
    assert_eq!(with_file("", &ours, &[]).unwrap().config.kafka.brokers.unwrap().0, "b:2");
    assert_eq!(with_file("", &[("KAFKA_BROKERS", "")], &[]).unwrap().config.kafka.brokers, None);
}

#[test]
fn an_unknown_key_names_the_nearest_and_its_origin() {
    let error = with_file("[htpp]\nwait_ms = 1\n", &[], &[]).unwrap_err();
    assert!(error.contains("\"htpp.wait_ms\""), "{error}");
    assert!(error.contains("callboard.toml"), "{error}");
    assert!(error.contains("did you mean \"http.wait_ms\"?"), "{error}");
    let error = with_file("", &[("CALLBOARD__KAFKA__BROKER", "a:1")], &[]).unwrap_err();
    assert!(error.contains("environment variable CALLBOARD__KAFKA__BROKER"), "{error}");
    assert!(error.contains("\"kafka.brokers\""), "{error}");
}

#[test]
fn a_wrong_value_names_key_origin_and_problem() {
    let error = with_file("", &[("CALLBOARD__HTTP__WAIT_MS", "soon")], &[]).unwrap_err();
    assert!(error.starts_with("http.wait_ms in environment variable CALLBOARD__HTTP__WAIT_MS"), "{error}");
    let error = with_file("[planner]\nmax_rounds = 99\n", &[], &[]).unwrap_err();
    assert!(error.contains("planner.max_rounds") && error.contains("99"), "{error}");
    let error = with_file("listen = \"here\"\n", &[], &[]).unwrap_err();
    assert!(error.starts_with("listen in"), "{error}");
    let error = with_file("listen = \n", &[], &[]).unwrap_err();
    assert!(error.contains("line 1"), "{error}");
    let missing = Path::new("/nonexistent/callboard.toml");
    let error = load(Some(missing), Path::new("."), &Environment::default(), &[]).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/callboard.toml: "), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn properties_of_librdkafka_keep_their_dots() {
    let file = "[kafka.properties]\n\"security.protocol\" = \"ssl\"\nlinger.ms = 5\n";
    let variables = [("CALLBOARD__KAFKA__PROPERTIES__SASL_PASSWORD", "hunter22")];
    let loaded = with_file(file, &variables, &[]).unwrap();
    let properties = &loaded.config.kafka.properties;
    assert_eq!(properties.get("security.protocol").map(String::as_str), Some("ssl"));
    assert_eq!(properties.get("linger.ms").map(String::as_str), Some("5"));
    assert_eq!(properties.get("sasl.password").map(String::as_str), Some("hunter22"));
}

#[test]
fn show_says_where_from_and_hides_secrets() {
    let file = "[http.api_keys]\nalice = \"0123456789abcdef\"\n[tools.weather]\nbase_url = \"http://w\"\n";
    let variables =
        [("OPENAI_API_KEY", "sk-1234567890"), ("CALLBOARD__KAFKA__PROPERTIES__SASL_PASSWORD", "pw")];
    let loaded = with_file(file, &variables, &[]).unwrap();
    assert_eq!(loaded.config.http.api_keys.0.len(), 1);
    let all = shown(&loaded);
    let line =
        |key: &str| all.iter().find(|line| line.key == key).unwrap_or_else(|| panic!("no {key} in {all:?}"));
    assert_eq!(line("models.openai.api_key").value, "(secret)");
    assert_eq!(line("models.openai.api_key").origin, "environment variable OPENAI_API_KEY");
    assert_eq!(line("http.api_keys.alice").value, "(secret)");
    assert_eq!(line("kafka.properties.sasl.password").value, "(secret)");
    assert_eq!(line("tools.weather.base_url").value, "http://w");
    assert_eq!(line("listen").value, "127.0.0.1:8080");
    assert_eq!(line("listen").origin, "default");
    assert!(line("kafka.brokers").value.is_null());
    assert!(!format!("{all:?} {loaded:?}").contains("sk-1234567890"));
    assert!(!format!("{all:?} {loaded:?}").contains("0123456789abcdef"));
}

#[test]
fn a_servers_environment_keeps_its_names_and_its_secrets() {
    let file =
        "[mcp.files]\ncommand = \"node\"\nargs = [\"a.js\"]\n[mcp.files.env]\napi_KEY = \"hunter22\"\n";
    let variables =
        [("CALLBOARD__MCP__FILES__ENV__GIT__TOKEN", "hunter23"), ("CALLBOARD__MCP__FILES__TOOLS", "a,b")];
    let loaded = with_file(file, &variables, &[]).unwrap();
    let files = &loaded.config.mcp["files"];
    let env: Vec<(&str, &str)> = files.env.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(env, [("GIT__TOKEN", "hunter23"), ("api_KEY", "hunter22")]);
    assert_eq!(files.tools.as_deref().unwrap(), ["a", "b"]);
    let all = shown(&loaded);
    assert!(
        all.iter().any(|line| line.key == "mcp.files.env.api_KEY" && line.value == "(secret)"),
        "{all:?}"
    );
    assert!(all.iter().any(|line| line.key == "mcp.files.command" && line.value == "node"), "{all:?}");
    assert!(!format!("{all:?} {loaded:?}").contains("hunter2"), "{loaded:?}");
    let error = with_file("[mcp.files.env]\nport = 3000\n", &[], &[]).unwrap_err();
    assert!(error.starts_with("mcp.files.env.port in ") && !error.contains("3000"), "{error}");
    let error = with_file("[mcp.files]\ncomand = \"x\"\n", &[], &[]).unwrap_err();
    assert!(error.contains("\"mcp.files.command\""), "{error}");
}

#[test]
fn keys_may_be_listed_and_must_not_be_short() {
    let keys =
        with_file("[http]\napi_keys = [\"0123456789abcdef\"]\n", &[], &[]).unwrap().config.http.api_keys;
    assert_eq!(keys.0.keys().map(String::as_str).collect::<Vec<_>>(), ["key-1"]);
    let variable = [("CALLBOARD__HTTP__API_KEYS", "0123456789abcdef,fedcba9876543210")];
    assert_eq!(with_file("", &variable, &[]).unwrap().config.http.api_keys.0.len(), 2);
    let error = with_file("[http.api_keys]\nbob = \"tiny\"\n", &[], &[]).unwrap_err();
    assert!(error.ends_with("the key of \"bob\" is shorter than 16 characters"), "{error}");
    assert!(!error.contains("tiny"), "{error}");
    let error = with_file("[http]\napi_keys = [\"tiny\"]\n", &[], &[]).unwrap_err();
    assert!(error.ends_with("the key of \"key-1\" is shorter than 16 characters"), "{error}");
    let error = with_file("[http]\napi_keys = 1234567890\n", &[], &[]).unwrap_err();
    assert!(error.contains("a list of keys") && !error.contains("1234567890"), "{error}");
}

#[test]
fn a_secret_that_is_no_text_is_refused_unquoted() {
    for (file, key) in [
        ("[tools.weather]\napi_key = 1234567890\n", "tools.weather.api_key"),
        ("[models.openai]\napi_key = [\"1234567890\"]\n", "models.openai.api_key"),
        ("[http.api_keys]\nbob = 1234567890\n", "http.api_keys.bob"),
        ("[kafka.properties]\nsasl.password = 1234567890\n", "kafka.properties.sasl.password"),
    ] {
        let error = with_file(file, &[], &[]).unwrap_err();
        assert!(error.starts_with(&format!("{key} in ")) && error.contains("callboard.toml"), "{error}");
        assert!(error.ends_with("write it in quotes") && !error.contains("1234567890"), "{error}");
    }
}

#[test]
fn a_tools_schema_is_one_value_and_its_file_lies_beside_the_configuration() {
    let file = "[tools.lookup]\nschema = \"lookup.json\"\nheaders.x-key = \"canary\"\n[tools.other.schema]\ntype = \"object\"\n\
                properties.pool = {}\n";
    let loaded = with_file(file, &[], &[]).unwrap();
    let lookup = loaded.config.tools["lookup"]["schema"].as_str().unwrap();
    assert!(lookup.ends_with("/lookup.json") && lookup.len() > "/lookup.json".len(), "{lookup}");
    assert_eq!(loaded.config.tools["other"]["schema"]["properties"]["pool"], serde_json::json!({}));
    let all = shown(&loaded);
    let value = |key: &str| all.iter().find(|line| line.key == key).map(|line| line.value.clone());
    assert_eq!(value("tools.other.schema").unwrap()["type"], "object");
    assert_eq!(value("tools.lookup.headers.x-key").unwrap(), "(secret)");
    let error = with_file("[tools.lookup]\nulr = \"x\"\n", &[], &[]).unwrap_err();
    assert!(error.contains("did you mean \"tools.lookup.url\"?"), "{error}");
}

#[test]
fn an_allowed_host_is_a_name() {
    for wrong in ["https://board.example", "board.example/", ""] {
        let file = format!("[http]\nallowed_hosts = [\"a.example\", \"{wrong}\"]\n");
        let error = with_file(&file, &[], &[]).unwrap_err();
        assert!(
            error.starts_with("http.allowed_hosts in ") && error.contains(&format!("{wrong:?}")),
            "{error}"
        );
    }
    assert!(with_file("[http]\nallowed_hosts = [\"board.example:443\"]\n", &[], &[]).is_ok());
}

#[test]
fn show_lists_every_key_and_no_password_of_a_url() {
    let file = "[models.ollama]\nbase_url = \"http://bob:hunter22@h:1\"\n[tools.math]\ntimeout_ms = 5\n";
    let all = shown(&with_file(file, &[], &[]).unwrap());
    let keys: Vec<String> = all.iter().map(|line| line.key.clone()).collect();
    assert_eq!(super::keys::not_among(&keys), Vec::<String>::new());
    assert!(keys.iter().any(|key| key == "tools.NAME.pool"), "{keys:?}");
    assert!(all.iter().any(|line| line.value == "http://bob:(secret)@h:1"), "{all:?}");
}

#[test]
fn the_table_of_keys_and_the_settings_agree() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load(None, folder.path(), &Environment::default(), &[]).unwrap();
    for line in shown(&loaded) {
        let path: Vec<String> = line.key.split('.').map(str::to_owned).collect();
        assert!(super::keys::known(&path).is_some(), "{} is not in the table of keys", line.key);
    }
    // And the other way: what the table names, the settings take.
    for key in super::keys::KEYS.iter().filter(|key| !key.path.contains('*')) {
        let (table, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        let value = match key.kind {
            super::keys::Kind::Number => "3",
            super::keys::Kind::Switch => "true",
            super::keys::Kind::List => "[]",
            _ => "\"x\"",
        };
        let text = if table.is_empty() {
            format!("{name} = {value}")
        } else {
            format!("[{table}]\n{name} = {value}")
        };
        if let Err(error) = with_file(&text, &[], &[]) {
            assert!(!error.contains("unknown key") && !error.contains("unknown field"), "{error}");
        }
    }
}
