//! A registry whose tools come from several sources, one of which changes its mind.

use std::sync::Arc;

use callboard_domain::json::RawJson;
use callboard_domain::plan::{ToolRefusal, Toolbox};
use callboard_ports::fakes::ScriptedTool;
use callboard_ports::tool::{Tool, ToolRegistry, ToolSpec};
use callboard_tools::{BuildError, Offer};
use serde_json::json;

use crate::world::registry;

const FILES: &str = "the MCP server \"files\"";

fn tool(spec: ToolSpec) -> Arc<dyn Tool> {
    Arc::new(ScriptedTool::new(spec, |_| Ok(RawJson::null())))
}

fn named(name: &str) -> Arc<dyn Tool> {
    tool(ScriptedTool::spec_named(name))
}

#[tokio::test]
async fn a_source_replaces_its_own_tools_and_no_others() {
    let registry = registry(json!({}));
    let arguments = RawJson::from_value(&json!({}));
    registry.offer(FILES, vec![named("files_read"), named("files_list")]).unwrap();
    registry.check("files_read", &arguments).unwrap();
    let held = registry.tool("files_read").unwrap();
    registry.offer(FILES, vec![named("files_list"), named("files_write")]).unwrap();
    // Whoever has it in hand may finish; nobody begins.
    assert_eq!(&*held.spec().name, "files_read");
    let refused = registry.check("files_read", &arguments).unwrap_err();
    assert!(
        matches!(&refused, ToolRefusal::Unknown { known, .. } if known.contains("files_write")),
        "{refused}"
    );
    let gone = registry.check_resolved("files_read", &arguments).unwrap_err();
    assert_eq!((&*gone.kind, gone.retryable), ("unknown_tool", false));
    registry.offer(FILES, Vec::new()).unwrap();
    assert!(registry.specs().iter().all(|spec| !spec.name.starts_with("files_")));
    assert!(registry.tool("echo").is_some());
}

#[tokio::test]
async fn two_tools_of_one_name_are_refused_and_both_sources_are_named() {
    let registry = registry(json!({}));
    registry.offer(FILES, vec![named("files_read")]).unwrap();
    let clash = registry.offer("the setting tools.files_read", vec![named("files_read")]).unwrap_err();
    assert!(matches!(&clash, BuildError::Clash { tool, .. } if tool == "files_read"));
    let words = clash.to_string();
    assert!(words.contains(FILES) && words.contains("the setting tools.files_read"), "{words}");
    assert!(registry.offer(FILES, vec![named("files_list"), named("echo")]).is_err());
    // A refused offer changes nothing.
    assert!(registry.tool("files_read").is_some() && registry.tool("files_list").is_none());
}

#[tokio::test]
async fn a_schema_that_does_not_compile_is_named_with_its_tool() {
    let registry = registry(json!({}));
    let mut spec = ScriptedTool::spec_named("odd");
    spec.schema = RawJson::from_value(&json!({"type": "thing"}));
    let words = registry.offer(FILES, vec![tool(spec)]).unwrap_err().to_string();
    assert!(words.contains("\"odd\""), "{words}");
}

#[tokio::test]
async fn a_tool_of_elsewhere_is_planned_with_and_not_run() {
    let registry = registry(json!({}));
    let mut spec = ScriptedTool::spec_named("slow");
    spec.pool = "far".into();
    registry.offer_all("the tools of your own", vec![Offer::Elsewhere(spec)]).unwrap();
    let policy = registry.check("slow", &RawJson::from_value(&json!({}))).unwrap();
    assert_eq!(&*policy.pool, "far");
    assert!(registry.tool("slow").is_none() && registry.specs().iter().any(|spec| &*spec.name == "slow"));
    assert!(registry.pools_here().iter().all(|pool| &**pool != "far"));
}

#[tokio::test]
async fn a_tool_that_is_late_is_run_but_not_planned_with() {
    let registry = registry(json!({}));
    registry.set_late(|name| name.starts_with("late_").then(|| tool(ScriptedTool::spec_named(name))));
    let arguments = RawJson::from_value(&json!({}));
    assert!(registry.tool("late_x").is_some() && registry.check_resolved("late_x", &arguments).is_ok());
    assert!(registry.check("late_x", &arguments).is_err());
    assert!(registry.tool("other_x").is_none() && registry.check_resolved("other_x", &arguments).is_err());
}
