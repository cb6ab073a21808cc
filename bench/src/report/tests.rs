//! What is read, how it is laid out, and that the page holds it.

use serde_json::json;

use super::run;
use crate::arguments::ReportArgs;

fn shown(goal: bool) -> serde_json::Value {
    json!({
        "tables": [{ "title": "Turns", "note": "A note.", "columns": ["clients", "turns/s"], "rows": [["1", "400"]] }],
        "plots": [{
            "name": "turn-rate", "title": "Turns a second",
            "x": { "label": "clients", "logarithmic": true }, "y": { "label": "turns/s", "logarithmic": false },
            "series": [
                { "name": "Callboard", "points": [[0.0, 1.0], [1.0, 400.0], [64.0, 3000.0]] },
                { "name": "floor", "points": [[1.0, 500.0], [64.0, 6000.0]] }
            ]
        }],
        "goals": [{ "figure": "p50", "goal": "≤ 2 ms", "reached": "1 ms", "met": goal }]
    })
}

fn machine() -> serde_json::Value {
    json!({ "cores": 2, "memory_gb": 7, "processor": "A processor", "kernel": "6.1", "bench_build": "release",
        "version": "0.1.0", "commit": "abc1234", "command": "turn --log kafka1" })
}

#[test]
fn the_page_holds_goals_tables_plots_machines_and_commands() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    std::fs::create_dir(&results).unwrap();
    let keep = |name: &str, value: serde_json::Value| {
        std::fs::write(results.join(format!("{name}.json")), value.to_string()).unwrap();
    };
    keep("turn-kafka1", json!({ "machine": machine(), "shown": shown(true) }));
    keep("turn-kafka1-again", json!({ "machine": machine(), "shown": shown(false) }));
    keep("chaos-old", json!({ "good": true }));
    keep("nonsense-1", json!({ "shown": shown(true) }));
    let out = folder.path().join("BENCHMARK.md");
    let plots = folder.path().join("bench/plots");
    assert!(run(&ReportArgs { results, out: out.clone(), plots: plots.clone() }).unwrap());
    let page = std::fs::read_to_string(out).unwrap();
    for part in [
        "| p50 | ≤ 2 ms | 1 ms | yes | `turn-kafka1` |",
        "| p50 | ≤ 2 ms | 1 ms | **no** | `turn-kafka1-again` |",
        "**Turns**\n\n| clients | turns/s |\n| --- | ---: |\n| 1 | 400 |\n\nA note.",
        "![Turns a second](bench/plots/turn-rate.svg)",
        "![Turns a second](bench/plots/turn-kafka1-again-turn-rate.svg)",
        "From `turn-kafka1`; again with `callboard-bench turn --log kafka1`.",
        "| `turn-kafka1` | 0.1.0 | `abc1234` | release | 2 | A processor | 7 GB | 6.1 |",
        "No result of `floor` is kept yet, so nothing is claimed.",
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    assert!(!page.contains("{{") && !page.contains("nonsense"));
    let svg = std::fs::read_to_string(plots.join("turn-rate.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("Callboard") && svg.contains("turns/s"));
}

#[test]
fn a_folder_that_is_not_there_and_a_file_that_is_no_result_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let report = |results: &str| {
        run(&ReportArgs {
            results: folder.path().join(results),
            out: folder.path().join("out.md"),
            plots: folder.path().join("plots"),
        })
        .unwrap_err()
        .to_string()
    };
    assert!(report("nowhere").contains("is no folder of results; name it with --results"));
    std::fs::write(folder.path().join("turn-1.json"), "no").unwrap();
    assert!(report("").ends_with("turn-1.json is no JSON"), "{}", report(""));
}
