//! Breaks things at random instants, and mends what does not mend itself: brokers, frozen processes, processes that
//! ended by themselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fault::{Fault, Kind, Scope, choose_actor, scope_of};
use crate::arguments::{Breakable, ChaosArgs};
use crate::load::Targets;
use crate::seed::{Seed, now_ms};
use crate::stage::{Member, Role, Stage};

/// Longer than three session timeouts.
const FREEZE: Duration = Duration::from_secs(20);
/// The zombie and its replacement live side by side for a while before the replacement leaves.
const SIDE_BY_SIDE: Duration = Duration::from_secs(5);
/// A broker is away for up to this long: beyond a session timeout, within an append's.
const BROKER_AWAY_MS: usize = 9_000;
const WATCH: Duration = Duration::from_millis(100);
/// An endpoint that does not answer within this is not asked to kill: the next fault comes.
const ENDPOINT: Duration = Duration::from_secs(3);

/// Breaks a stage.
pub struct Injector {
    stage: Arc<Stage>,
    targets: Targets,
    http: reqwest::Client,
    only: Vec<Breakable>,
    seed: Seed,
    done: Mutex<Vec<Fault>>,
}

impl Injector {
    pub fn new(stage: Arc<Stage>, targets: Targets, http: reqwest::Client, arguments: &ChaosArgs) -> Self {
        let (only, seed) = (arguments.only.clone(), Seed::new(arguments.seed));
        Self { stage, targets, http, only, seed, done: Mutex::default() }
    }

    pub fn faults(&self) -> Vec<Fault> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn count(&self) -> usize {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|fault| fault.counts).count()
    }

    /// By kind.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for fault in self.faults().iter().filter(|fault| fault.counts) {
            *counts.entry(fault.kind.clone()).or_default() += 1;
        }
        counts
    }

    /// Breaks something every now and then, `pace` apart on average, until `enough` says so; then mends everything.
    pub async fn run(self: &Arc<Self>, pace: Duration, enough: impl Fn(&Self) -> bool) -> Result<()> {
        let mut mending: JoinSet<Result<()>> = JoinSet::new();
        while !enough(self) {
            let until = Instant::now() + self.seed.pause(pace);
            while Instant::now() < until {
                self.revive()?;
                tokio::time::sleep(WATCH).await;
            }
            let kind = Kind::choose(&self.stage, &self.only, &self.seed);
            if let Some(kind) = kind {
                self.strike(kind, &mut mending).await?;
            }
            while let Some(mended) = mending.try_join_next() {
                mended??;
            }
        }
        while let Some(mended) = mending.join_next().await {
            mended??;
        }
        self.revive()
    }

    /// Starts what ended by itself.
    pub fn revive(&self) -> Result<()> {
        for member in self.stage.on() {
            member.revive()?;
        }
        Ok(())
    }

    async fn strike(self: &Arc<Self>, kind: Kind, mending: &mut JoinSet<Result<()>>) -> Result<()> {
        match kind {
            Kind::Process(role) => {
                if let Some(member) = self.victim(role) {
                    member.end();
                    self.note(format!("{} killed", role.word()), member.name.clone(), scope_for(role));
                    member.start()?;
                }
            }
            Kind::Actor => self.kill_actor().await,
            Kind::Broker => self.kill_broker(mending)?,
            Kind::Freeze(role) => {
                if let Some(member) = self.victim(role) {
                    self.note(format!("{} frozen", role.word()), member.name.clone(), scope_for(role));
                    member.pause()?;
                    let injector = self.clone();
                    mending.spawn(async move { injector.thaw(member).await });
                }
            }
        }
        Ok(())
    }

    /// A running, unfrozen process of this role.
    fn victim(&self, role: Role) -> Option<Arc<Member>> {
        let fit = |member: &&Arc<Member>| member.role == role && !member.is_paused();
        let fit: Vec<&Arc<Member>> = self.stage.on().filter(fit).collect();
        self.seed.pick(&fit).map(|member| (*member).clone())
    }

    fn note(&self, kind: String, what: String, scope: Scope) {
        self.push(Fault { at_ms: now_ms(), kind, what, scope, counts: true });
    }

    fn note_mended(&self, kind: String, what: String, scope: Scope) {
        self.push(Fault { at_ms: now_ms(), kind, what, scope, counts: false });
    }

    fn push(&self, fault: Fault) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    async fn kill_actor(&self) {
        let live: Vec<&Arc<Member>> = self.stage.on().filter(|member| !member.is_paused()).collect();
        let Some(member) = self.seed.pick(&live) else { return };
        let tree = self.http.get(format!("{}/admin/v1/actors", member.url)).timeout(ENDPOINT).send();
        let Ok(tree) = tree.await else { return };
        let Ok(tree) = tree.json::<Value>().await else { return };
        let Some(actor) = choose_actor(&tree, &self.seed) else { return };
        let hows: &[&str] = if actor.path == "/" { &["panic"] } else { &["panic", "stop", "abort"] };
        let how = self.seed.pick(hows).copied().unwrap_or("panic");
        let request = self
            .http
            .post(format!("{}/admin/v1/actors/kill", member.url))
            .header("content-type", "application/json")
            .body(json!({ "path": actor.path, "how": how }).to_string())
            .timeout(ENDPOINT);
        let at_ms = now_ms();
        if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
            let kind = if actor.is_supervisor { "supervisor killed" } else { "actor killed" };
            let what = format!("{} {how} {} ({})", member.name, actor.path, actor.kind);
            let scope = scope_of(&actor.path);
            self.push(Fault { at_ms, kind: kind.to_owned(), what, scope, counts: true });
        }
    }

    /// One broker at a time: with two of three away nothing is promised but patience.
    fn kill_broker(self: &Arc<Self>, mending: &mut JoinSet<Result<()>>) -> Result<()> {
        let Some(kafka) = self.stage.engine.kafka() else { return Ok(()) };
        if !kafka.all_on() {
            return Ok(());
        }
        let broker = self.seed.below(kafka.cluster.broker_count());
        let away = Duration::from_millis(500 + self.seed.below(BROKER_AWAY_MS) as u64);
        self.note("broker killed".to_owned(), format!("broker {broker} for {away:?}"), Scope::All);
        kafka.kill(broker)?;
        let injector = self.clone();
        mending.spawn(async move {
            tokio::time::sleep(away).await;
            // Starting a broker takes seconds of waiting.
            let stage = injector.stage.clone();
            let restarted = tokio::task::spawn_blocking(move || match stage.engine.kafka() {
                Some(kafka) => kafka.restart(broker),
                None => Ok(()),
            });
            restarted.await??;
            injector.note_mended("broker back".to_owned(), format!("broker {broker}"), Scope::All);
            Ok(())
        });
        Ok(())
    }

    /// Lets a frozen process lie until others have its work, then thaws it beside them.
    async fn thaw(self: Arc<Self>, member: Arc<Member>) -> Result<()> {
        let second =
            self.stage.second.as_ref().filter(|second| member.role == Role::Serve && !second.is_on());
        if let Some(second) = second {
            second.start()?;
            self.targets.set(vec![member.url.clone(), second.url.clone()]);
        }
        tokio::time::sleep(FREEZE).await;
        member.resume()?;
        self.note_mended(
            format!("{} thawed", member.role.word()),
            member.name.clone(),
            scope_for(member.role),
        );
        if let Some(second) = second {
            tokio::time::sleep(SIDE_BY_SIDE).await;
            // A node that leaves in order hands over; one that takes too long to is killed.
            let leaving = second.clone();
            let left = tokio::task::spawn_blocking(move || leaving.stop(Duration::from_secs(15)));
            if left.await?.is_err() {
                second.end();
            }
            self.targets.set(vec![member.url.clone()]);
        }
        Ok(())
    }
}

fn scope_for(role: Role) -> Scope {
    match role {
        Role::Serve => Scope::Host,
        Role::Tools => Scope::Results,
        Role::Synthesis => Scope::Answers,
    }
}
