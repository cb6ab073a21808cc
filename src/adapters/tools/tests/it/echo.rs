//! `echo` gives back what it got, when it was asked to.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{call, kind, registry};

#[tokio::test]
async fn text_comes_back_unchanged() {
    let registry = registry(json!({}));
    for text in ["", "hello", "ünï ✓ \u{0} \"quoted\" ${s-1.text}"] {
        assert_eq!(call(&registry, "echo", json!({"text": text})).await.unwrap(), json!({"text": text}));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_passes_in_virtual_time_without_a_thread() {
    let registry = registry(json!({}));
    let (began, virtual_began) = (Instant::now(), tokio::time::Instant::now());
    let many = (0..100).map(|n| call_delayed(&registry, n));
    futures_util::future::join_all(many).await;
    assert!(virtual_began.elapsed() >= Duration::from_secs(60));
    assert!(began.elapsed() < Duration::from_secs(10));
}

async fn call_delayed(registry: &callboard_tools::Registry, n: usize) {
    let result = call(registry, "echo", json!({"text": n.to_string(), "delay_ms": 60_000})).await;
    assert_eq!(result.unwrap(), json!({"text": n.to_string()}));
}

#[tokio::test]
async fn a_text_that_fits_no_result_is_an_error() {
    let registry = registry(json!({}));
    let outcome = call(&registry, "echo", json!({"text": "\u{1}".repeat(100_000)})).await;
    assert_eq!(kind(&outcome), ("result_too_large", false));
}
