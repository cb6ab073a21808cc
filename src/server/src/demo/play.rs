//! One run of a demo: asks the question, looks at plan, log and counter until something is so, strikes, and gathers
//! the facts for the verdict. The demos themselves are in [`super::scenes`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use callboard_testkit::unique_name;
use serde_json::{Value, json};

use super::citations;
use super::narrator::{Drawn, Narrator};
use super::stage::{Cast, STEPS, Stage, question};
use super::verdict::{Facts, StepFact};
use crate::cli::Failure;
use crate::cli::client::{Miss, Request};

/// Between two looks: many per step, so that a blow lands in the middle of one.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What any condition may take. A demo is over within a minute; a machine that builds something meanwhile is slower.
const PATIENCE: Duration = Duration::from_secs(110);
/// An append is acknowledged within milliseconds; a broker may be starting.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(20);

/// Where a deposit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The service has the request and has not executed it.
    Sent,
    /// It was executed and the answer is not here yet.
    Executed,
}

/// A demo that runs.
pub struct Play {
    pub stage: Stage,
    pub narrator: Narrator,
    pub conversation: String,
    key: String,
    plan: Value,
    /// Offset of the newest record that was told.
    seen: Option<u64>,
    /// Ids of the terminal events in the log: a copy of one is not another.
    terminal_events: BTreeSet<String>,
    was_up: bool,
    done_to_it: Vec<String>,
}

impl Play {
    #[must_use]
    pub fn new(stage: Stage, narrator: Narrator) -> Self {
        Self {
            stage,
            narrator,
            conversation: unique_name("demo"),
            key: unique_name("question"),
            plan: Value::Null,
            seen: None,
            terminal_events: BTreeSet::new(),
            was_up: true,
            done_to_it: Vec::new(),
        }
    }

    /// The question as a request; every time the same.
    #[must_use]
    pub fn request(&self) -> Request<'static> {
        let body = json!({ "message": question(self.stage.cast), "conversation_id": self.conversation });
        Request::post("/v1/chat", body)
            .header("Idempotency-Key", self.key.clone())
            .header("Prefer", "respond-async".to_owned())
    }

    /// Asks once.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn ask(&mut self) -> Result<Value, Failure> {
        let words = format!("“{}”", question(self.stage.cast));
        self.narrator.tell("ask", &words);
        self.stage.child.send(self.request(), ACCEPTED_WITHIN).await.map_err(Miss::into_failure)
    }

    /// Steps of the plan, from the first.
    #[must_use]
    pub fn steps(&self) -> Vec<StepFact> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let steps = self.plan["steps"].as_array().cloned().unwrap_or_default();
        let step = |s: &Value| StepFact {
            id: text(&s["id"]),
            status: text(&s["status"]),
            effect_id: text(&s["effect_id"]),
            counted: s["tool"] == "deposit",
        };
        steps.iter().map(step).collect()
    }

    #[must_use]
    pub fn turn_ended(&self) -> bool {
        !matches!(self.plan["status"].as_str(), None | Some("queued" | "planning" | "running"))
    }

    /// Where the deposit of the `n`th step (from 1) is, while it is under way.
    #[must_use]
    pub fn moment(&self, n: usize) -> Option<Moment> {
        let step = self.steps().into_iter().nth(n - 1)?;
        if self.stage.counter.executions(&step.effect_id) > 0 {
            return (step.status == "running").then_some(Moment::Executed);
        }
        let sent = self.stage.counter.requests().iter().any(|request| {
            request.method == "PUT"
                && request.path.ends_with(step.effect_id.rsplit(':').next().unwrap_or("?"))
        });
        (sent && self.stage.counter.in_flight() > 0).then_some(Moment::Sent)
    }

    /// Looks once, and tells what is new.
    pub async fn look(&mut self) {
        let path = format!("/v1/conversations/{}", self.conversation);
        match self.stage.child.get(&format!("{path}/plan")).await {
            Ok(plan) => {
                self.plan = plan;
                self.was_up = true;
            }
            Err(Miss::Final(_)) => {}
            Err(miss) => {
                if std::mem::take(&mut self.was_up) {
                    let words = miss.into_failure().to_string();
                    let label = if self.stage.child.is_running() { "wait" } else { "gone" };
                    self.narrator.tell(label, &words);
                }
            }
        }
        let after = self.seen.map_or_else(String::new, |offset| format!("&after={offset}"));
        let records = self.stage.child.lines(&format!("{path}/events?follow=false{after}")).await;
        for record in records.unwrap_or_default() {
            self.tell_record(&record);
        }
        self.draw();
    }

    fn tell_record(&mut self, record: &Value) {
        let offset = record["offset"].as_u64().unwrap_or_default();
        if self.seen.is_some_and(|seen| offset <= seen) {
            return;
        }
        self.seen = Some(offset);
        let kind = record["type"].as_str().unwrap_or("(unreadable)");
        if matches!(kind, "FinalAnswerSynthesized" | "PlanFailed" | "PlanCancelled") {
            self.terminal_events.insert(record["id"].as_str().unwrap_or_default().to_owned());
        }
        let words = summary(kind, &record["payload"]);
        self.narrator.tell("log", &format!("#{offset} {kind}{words}"));
    }

    fn draw(&mut self) {
        let steps = self.plan["steps"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let drawn = |s: &Value| Drawn {
            id: text(&s["id"]),
            status: text(&s["status"]),
            attempts: s["attempts"].as_u64().unwrap_or(0),
            executions: self.stage.counter.executions(s["effect_id"].as_str().unwrap_or_default()),
        };
        let drawn = steps.iter().map(drawn).collect();
        self.narrator.plan(drawn);
    }

    /// Looks until `condition` holds; whether it did before the turn ended.
    ///
    /// # Errors
    /// When neither happens in time; the verdict says the rest.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) -> Result<bool, Failure> {
        let began = Instant::now();
        loop {
            self.look().await;
            if condition(self) {
                return Ok(true);
            }
            if self.turn_ended() {
                return Ok(false);
            }
            if began.elapsed() > PATIENCE {
                let tail = self.stage.child.last_words();
                let words = format!(
                    "gave up after {PATIENCE:?} of waiting until {what}; the server said last:\n{tail}"
                );
                return Err(Failure::job(words));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Runs something that blocks, and looks meanwhile.
    ///
    /// # Errors
    /// What it fails with.
    pub async fn meanwhile<T: Send + 'static>(
        &mut self,
        job: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let mut running = tokio::task::spawn_blocking(job);
        loop {
            tokio::select! {
                biased;
                done = &mut running => return done.map_err(Failure::job)?,
                () = tokio::time::sleep(LOOK_EVERY) => self.look().await,
            }
        }
    }

    /// Says what is done to it, and counts it for the verdict. `label` is one word, as for the narrator.
    pub fn strike(&mut self, label: &str, words: &str) {
        self.narrator.tell(label, words);
        self.done_to_it.push(words.to_owned());
    }

    /// SIGKILLs the server, and starts it again as whoever runs it would.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn kill_process(&mut self, why: &str) -> Result<(), Failure> {
        self.strike("KILL", &format!("SIGKILL to process {}: {why}", self.stage.child.pid()));
        self.stage.child.sigkill()?;
        self.was_up = false;
        self.restart().await
    }

    /// Starts the server again.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.stage.child.again()?;
        let after = self.stage.child.ready().await?;
        let (pid, seconds) = (self.stage.child.pid(), after.as_secs_f64());
        self.narrator
            .tell("back", &format!("process {pid} serves, {seconds:.1} s after its start; it read the log"));
        Ok(())
    }

    /// The status of the `n`th step (from 1).
    #[must_use]
    pub fn status(&self, n: usize) -> String {
        self.steps().into_iter().nth(n - 1).map_or_else(String::new, |step| step.status)
    }

    /// SIGKILLs the worker process that looks up.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_librarian(&mut self, why: &str) -> Result<(), Failure> {
        let pid = self.stage.librarian()?.pid();
        self.strike("KILL", &format!("SIGKILL to the worker of pool rag, process {pid}: {why}"));
        self.stage.librarian()?.sigkill()
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart_librarian(&mut self) -> Result<(), Failure> {
        self.stage.librarian()?.again()?;
        let pid = self.stage.librarian()?.pid();
        self.narrator.tell("back", &format!("the worker of pool rag was started again, as process {pid}"));
        Ok(())
    }

    /// Kills an actor through the endpoint.
    ///
    /// # Errors
    /// When there is no such actor, or the server does not say so.
    pub async fn kill_actor(&mut self, path: &str, how: &str, why: &str) -> Result<(), Failure> {
        self.strike("KILL", &format!("{how} {path}: {why}"));
        let request = Request::post("/admin/v1/actors/kill", json!({ "path": path, "how": how }));
        self.stage.child.send(request, ACCEPTED_WITHIN).await.map(drop).map_err(Miss::into_failure)
    }

    /// The actor tree.
    ///
    /// # Errors
    /// When the server does not show it.
    pub async fn actors(&self) -> Result<Value, Failure> {
        self.stage.child.get("/admin/v1/actors").await.map_err(Miss::into_failure)
    }

    /// What the verdict is about.
    pub async fn facts(&mut self, done_expected: usize) -> Facts {
        // The newest records: the terminal event is read back before the plan says so.
        self.look().await;
        let path = format!("/v1/conversations/{}", self.conversation);
        let replay = self.stage.child.get(&format!("{path}/replay")).await;
        let history = self.stage.child.get(&format!("{path}/history")).await.unwrap_or_default();
        let citations = match self.stage.cast {
            Cast::Deposits => None,
            Cast::LookUps => {
                let answer = history["turns"][0]["answer"].as_str().unwrap_or_default();
                let look_ups = self.steps().iter().filter(|step| !step.counted).count();
                Some(citations::check(answer, &self.stage.documents(), look_ups))
            }
        };
        Facts {
            citations,
            steps_expected: STEPS,
            turn_status: self.plan["status"].as_str().unwrap_or("unknown").to_owned(),
            turns: history["turns"].as_array().map_or(0, Vec::len),
            steps: self.steps(),
            executions: self.stage.counter.counts(),
            answers: self.terminal_events.len(),
            replay_equal: replay.ok().and_then(|replay| replay["equal"].as_bool()),
            done_to_it: self.done_to_it.clone(),
            done_expected,
        }
    }
}

/// A record in a few words.
fn summary(kind: &str, payload: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    match kind {
        "PlanGenerated" => {
            let steps = payload["steps"].as_array().map_or(0, Vec::len);
            format!(": {steps} steps, by the {} planner", text(&payload["planner"]["provider"]))
        }
        "ToolInvocationResulted" => {
            let outcome = match payload["outcome"]["error"]["kind"].as_str() {
                Some("not_done") => "was not done, says the service: it may be made again".to_owned(),
                Some(kind) => format!("error {kind}"),
                None => "ok".to_owned(),
            };
            format!(": {}, attempt {}, {outcome}", text(&payload["step"]), payload["attempt"])
        }
        "ToolInvocationInDoubt" | "InvocationSettled" => format!(": {}", text(&payload["step"])),
        "PlanFailed" | "PlanCancelled" => format!(": {}", text(&payload["reason"])),
        _ => String::new(),
    }
}
