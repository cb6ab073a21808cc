//! `compose.yaml`, `Dockerfile`, `topics.toml` and what is below `deploy/` against the code: ports, variables, flags and topics
//! agree, without a Docker engine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use callboard::cli::Cli;
use callboard::config::{self, Config, Environment};
use callboard_ports::record::Topic;
use clap::Parser;
use yaml_rust2::{Yaml, YamlLoader};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn compose() -> Yaml {
    YamlLoader::load_from_str(&read("compose.yaml")).unwrap().remove(0)
}

fn texts(list: &Yaml) -> Vec<String> {
    list.as_vec().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn compose_starts_callboard_with_flags_and_variables_that_exist() {
    let compose = compose();
    let callboard = &compose["services"]["callboard"];
    let mut command = vec!["callboard".to_owned()];
    command.extend(texts(&callboard["command"]));
    Cli::try_parse_from(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let port = Config::default().listen.port();
    assert!(command.iter().any(|word| word.ends_with(&format!(":{port}"))), "{command:?}");
    assert_eq!(texts(&callboard["ports"]), [format!("127.0.0.1:{port}:{port}")]);
    let variables: Vec<(String, String)> = callboard["environment"]
        .as_hash()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str().unwrap().to_owned(), value.as_str().unwrap_or("x").to_owned()))
        .collect();
    for (name, value) in &variables {
        let only = Environment(vec![(name.clone(), value.clone())]);
        let loaded = config::load(None, Path::new("/nowhere"), &only, &[]).unwrap();
        assert_ne!(loaded.config, Config::default(), "{name} changes nothing");
    }
    let mut health = texts(&callboard["healthcheck"]["test"]);
    assert_eq!(health.remove(0), "CMD");
    Cli::try_parse_from(&health).unwrap_or_else(|error| panic!("{health:?}: {error}"));
}

#[test]
fn compose_is_one_network_of_healthy_services_with_named_volumes() {
    let compose = compose();
    let services = &compose["services"];
    let kafka = &services["kafka"];
    let listeners = kafka["environment"]["KAFKA_LISTENERS"].as_str().unwrap();
    let advertised = kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].as_str().unwrap();
    let brokers = services["callboard"]["environment"]["KAFKA_BROKERS"].as_str().unwrap();
    let (host, port) = brokers.rsplit_once(':').unwrap();
    assert!(services[host].as_hash().is_some(), "no service {host}");
    assert!(
        listeners.contains(&format!(":{port}")) && advertised.contains(brokers),
        "{listeners} {advertised}"
    );
    let volumes: BTreeSet<&str> =
        compose["volumes"].as_hash().unwrap().keys().map(|k| k.as_str().unwrap()).collect();
    for (name, service) in services.as_hash().unwrap() {
        let name = name.as_str().unwrap();
        if let Some(mounted) = service["volumes"].as_vec() {
            for volume in mounted {
                let volume = volume.as_str().unwrap().split(':').next().unwrap();
                let there = if volume.starts_with("./") {
                    root().join(volume).exists()
                } else {
                    volumes.contains(volume)
                };
                assert!(there, "{name} mounts {volume}, which is neither declared nor in the repository");
            }
        }
        let one_shot = service["restart"].as_str() == Some("no");
        assert!(one_shot || service["healthcheck"].as_hash().is_some(), "{name} has no health check");
        if let Some(needed) = service["depends_on"].as_hash() {
            for other in needed.keys() {
                assert!(
                    services[other.as_str().unwrap()].as_hash().is_some(),
                    "{name} needs an unknown service"
                );
            }
        }
        for port in service["ports"].as_vec().into_iter().flatten() {
            assert!(
                port.as_str().unwrap().starts_with("127.0.0.1:"),
                "{name} publishes {port:?} beyond loopback"
            );
        }
    }
}

fn yaml(name: &str) -> Yaml {
    YamlLoader::load_from_str(&read(name)).unwrap().remove(0)
}

/// Where a service sees a file of the repository.
fn inside(compose: &Yaml, service: &str, file: &str) -> Option<String> {
    compose["services"][service]["volumes"].as_vec().unwrap().iter().find_map(|volume| {
        let mut parts = volume.as_str().unwrap().split(':');
        let (outer, inner) = (parts.next().unwrap(), parts.next().unwrap());
        let rest = file.strip_prefix(outer.strip_prefix("./")?)?;
        Some(format!("{inner}{rest}"))
    })
}

#[test]
fn prometheus_reaches_callboard_and_grafana_finds_prometheus_and_the_board() {
    let compose = compose();
    let asked = yaml("deploy/prometheus/prometheus.yml");
    let target = asked["scrape_configs"][0]["static_configs"][0]["targets"][0].as_str().unwrap().to_owned();
    let (host, port) = target.rsplit_once(':').unwrap();
    assert_eq!(port, Config::default().listen.port().to_string());
    let environment = &compose["services"][host]["environment"];
    let allowed = environment["CALLBOARD__HTTP__ALLOWED_HOSTS"].as_str().unwrap().to_owned();
    let only = Environment(vec![("CALLBOARD__HTTP__ALLOWED_HOSTS".to_owned(), allowed)]);
    let loaded = config::load(None, Path::new("/nowhere"), &only, &[]).unwrap();
    assert!(loaded.config.http.allowed_hosts.iter().any(|name| name == host), "{host} is not let in");
    let told = texts(&compose["services"]["prometheus"]["command"]);
    let file = inside(&compose, "prometheus", "deploy/prometheus/prometheus.yml").unwrap();
    assert!(told.contains(&format!("--config.file={file}")), "{told:?} {file}");

    let source = &yaml("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"][0];
    let url = source["url"].as_str().unwrap();
    let (host, port) = url.strip_prefix("http://").unwrap().rsplit_once(':').unwrap();
    let published = texts(&compose["services"][host]["ports"]);
    assert!(published.iter().any(|p| p.ends_with(&format!(":{port}"))), "{url} {published:?}");
    let provider = &yaml("deploy/grafana/provisioning/dashboards/callboard.yml")["providers"][0];
    let folder = provider["options"]["path"].as_str().unwrap();
    let board = inside(&compose, "grafana", "deploy/grafana/dashboards/callboard.json").unwrap();
    assert!(board.starts_with(&format!("{folder}/")), "{board} is not below {folder}");
    let home = &compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    assert_eq!(home.as_str().unwrap(), board);
    let board: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/dashboards/callboard.json")).unwrap();
    let uid = board["panels"][0]["datasource"]["uid"].as_str();
    assert_eq!(uid, source["uid"].as_str(), "the board asks another data source");
}

#[test]
fn the_image_runs_the_binary_on_its_port_and_folder() {
    let dockerfile = read("Dockerfile");
    let line = |head: &str| {
        let found = dockerfile.lines().rfind(|line| line.starts_with(head));
        found.unwrap_or_else(|| panic!("no {head} line")).to_owned()
    };
    assert!(line("EXPOSE").contains(&Config::default().listen.port().to_string()));
    assert_eq!(line("ENTRYPOINT"), r#"ENTRYPOINT ["callboard"]"#);
    assert!(
        dockerfile.matches("\nFROM ").count() + usize::from(dockerfile.starts_with("FROM ")) >= 2,
        "one stage"
    );
    assert!(line("USER") != "USER root");
    let (name, value) = line("ENV")
        .trim_start_matches("ENV ")
        .split_once('=')
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .unwrap();
    let loaded =
        config::load(None, Path::new("/nowhere"), &Environment(vec![(name, value.clone())]), &[]).unwrap();
    assert_eq!(loaded.config.data_dir, Path::new(&value));
    assert!(line("VOLUME").contains(&value));
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let minor = channel.rsplit_once('.').unwrap().0;
    assert!(
        dockerfile.contains(&format!("FROM rust:{minor}")),
        "the image builds with another Rust than {channel}"
    );
}

#[test]
fn topics_toml_declares_what_the_code_uses() {
    let declared: toml::Table = read("topics.toml").parse().unwrap();
    let now: BTreeSet<&str> = declared["topics"]
        .as_table()
        .unwrap()
        .iter()
        .filter(|(_, topic)| topic.get("later").and_then(toml::Value::as_bool) != Some(true))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(now, Topic::ALL.into_iter().map(Topic::name).collect::<BTreeSet<_>>());
    let default = i64::from(Config::default().kafka.partitions);
    assert_eq!(declared["defaults"]["partitions"].as_integer(), Some(default));
    let events = &declared["topics"]["conversation-events"]["config"];
    assert_eq!(
        (events["retention.ms"].as_str(), events["retention.bytes"].as_str()),
        (Some("-1"), Some("-1"))
    );
}
