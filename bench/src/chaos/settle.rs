//! Settles what stays in doubt, as a person would: asks the outside world what really happened and says so. And lets in what
//! waits for approval.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{Load, Targets};
use crate::seed::now_ms;
use crate::stage::Stage;

/// Turns that wait longer than any step takes are looked at.
const SUSPICIOUS_MS: i64 = 8_000;
const ROUND: Duration = Duration::from_secs(2);
/// Conversations looked at in one round.
const ROUND_SIZE: usize = 32;

/// The person.
pub struct Settler {
    stage: Arc<Stage>,
    targets: Targets,
    http: reqwest::Client,
    /// Effect id and what was said about it.
    settled: Mutex<BTreeMap<String, String>>,
}

impl Settler {
    pub fn new(stage: Arc<Stage>, targets: Targets, http: reqwest::Client) -> Self {
        Self { stage, targets, http, settled: Mutex::default() }
    }

    /// Looks at turns that wait, for ever; whoever started it aborts it.
    pub async fn run(&self, load: &Load) {
        loop {
            tokio::time::sleep(ROUND).await;
            self.approve().await;
            for conversation in load.book.waiting_since(now_ms() - SUSPICIOUS_MS).iter().take(ROUND_SIZE) {
                self.look_at(conversation).await;
            }
        }
    }

    /// By what was said: how many steps.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for outcome in self.settled.lock().unwrap_or_else(PoisonError::into_inner).values() {
            *counts.entry(outcome.clone()).or_default() += 1;
        }
        counts
    }

    /// Says yes to whatever waits for a person, for ever.
    pub async fn approve_all(&self) {
        loop {
            tokio::time::sleep(ROUND).await;
            self.approve().await;
        }
    }

    /// Says yes to whatever waits for a person now.
    async fn approve(&self) {
        /// There are two processes that answer questions, at most.
        const SERVERS: usize = 2;
        for server in 0..SERVERS {
            let url = self.targets.at(server);
            let Some(page) = self.get_at(&url, "/v1/approvals?limit=200").await else { continue };
            for waiting in page["approvals"].as_array().map(Vec::as_slice).unwrap_or_default() {
                let name = |field: &str| waiting[field].as_str().unwrap_or_default().to_owned();
                let (conversation, effect) = (name("conversation_id"), name("effect_id"));
                let request = self
                    .http
                    .post(format!("{url}/v1/conversations/{conversation}/approvals/{effect}"))
                    .header("content-type", "application/json")
                    .body(json!({ "decision": "approve", "by": "chaos" }).to_string());
                if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                    let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
                    settled.insert(format!("approval of {effect}"), "approved".to_owned());
                }
            }
        }
    }

    /// Settles the steps in doubt of a conversation's running turn.
    async fn look_at(&self, conversation: &str) {
        let of = format!("/v1/conversations/{conversation}");
        let Some(seen) = self.get(&of).await else { return };
        let Some(running) = seen["running"].as_u64() else { return };
        let Some(plan) = self.get(&format!("{of}/turns/{running}/plan")).await else { return };
        for step in plan["steps"].as_array().map(Vec::as_slice).unwrap_or_default() {
            if step["status"] == "in_doubt"
                && let Some(effect) = step["effect_id"].as_str()
            {
                self.settle(effect).await;
            }
        }
    }

    /// Says what the counter knows; whether it was taken.
    pub async fn settle(&self, effect: &str) -> bool {
        let Ok(counts) = self.stage.counter.counts(&self.http).await else { return false };
        let executions = counts.of(effect);
        // Whoever is frozen may be about to call: nobody can say yet that it was not done.
        if executions == 0 && self.stage.on().any(|member| member.is_paused()) {
            return false;
        }
        let (outcome, result) = match executions {
            0 => ("not_done", Value::Null),
            n => ("done", json!({ "n": n })),
        };
        let mut body = json!({ "outcome": outcome, "by": "chaos", "why": format!("the counter has {executions} executions") });
        if !result.is_null() {
            body["result"] = result;
        }
        let request = self
            .http
            .post(format!("{}/admin/v1/effects/{effect}/settle", self.targets.at(0)))
            .header("content-type", "application/json")
            .body(body.to_string());
        let taken = request.send().await.is_ok_and(|answer| answer.status().is_success());
        if taken {
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            settled.insert(effect.to_owned(), outcome.to_owned());
        }
        taken
    }

    async fn get(&self, path: &str) -> Option<Value> {
        self.get_at(&self.targets.at(0), path).await
    }

    async fn get_at(&self, url: &str, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("{url}{path}")).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }
}
