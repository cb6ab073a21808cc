//! The demos: what is killed at which moment. Each waits for its moment, strikes, and leaves the rest to the log.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::play::{Moment, Play};
use super::tree::{Target, actor_at, busy_worker};
use crate::cli::Failure;
use crate::cli::client::Miss;

/// Long enough for every client to notice that its broker is away.
const BROKER_AWAY: Duration = Duration::from_secs(2);
/// Long enough to see that a step waits.
const NOBODY_THERE: Duration = Duration::from_secs(1);
/// How often the same question is sent.
const SAME_QUESTION: usize = 20;
/// A question is accepted within this, also while a broker has much to do.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks at the actors.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A supervisor restarts a child within its back-off, which begins with fractions of a second.
const RESTARTED_LOOKS: usize = 200;

/// Kills the worker that makes the call: once before the service executed it, once after.
pub async fn worker_crash(play: &mut Play) -> Result<usize, Failure> {
    play.ask().await?;
    for (step, moment) in [(2, Moment::Sent), (4, Moment::Executed)] {
        if !await_moment(play, step, moment).await? {
            continue;
        }
        let tree = play.actors().await?;
        let Some(worker) = busy_worker(&tree, &play.conversation) else {
            play.narrator.tell("miss", "no worker has a call of this conversation in hand any more");
            continue;
        };
        let path = worker["path"].as_str().unwrap_or_default().to_owned();
        play.kill_actor(&path, "panic", &words(step, moment)).await?;
        tell_restart(play, &path, &tree).await;
    }
    Ok(2)
}

/// Kills the worker process that looks things up: once before a look-up is requested, once with the request before it.
pub async fn librarian_crash(play: &mut Play) -> Result<usize, Failure> {
    play.ask().await?;
    if await_moment(play, 2, Moment::Sent).await? {
        play.kill_librarian("its next is step 3, and nobody else can do that")?;
        play.until("step 3 is requested", |play| play.status(3) == "running").await?;
        let requested = Instant::now();
        while requested.elapsed() < NOBODY_THERE {
            play.look().await;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        if play.status(3) != "running" {
            return Err(Failure::job("step 3 went on although nobody was there to do it"));
        }
        play.narrator.tell("wait", "step 3 is requested, and its request waits in the topic");
        play.restart_librarian()?;
        play.until("step 3 is done", |play| play.status(3) == "done").await?;
    }
    if await_moment(play, 4, Moment::Sent).await? {
        play.stage.librarian()?.freeze()?;
        play.narrator.tell(
            "wait",
            "the worker of pool rag is frozen (SIGSTOP): it takes what comes, and does nothing with it",
        );
        play.until("step 5 is requested", |play| play.status(5) == "running").await?;
        play.kill_librarian("step 5 was requested and is not done")?;
        play.restart_librarian()?;
    }
    Ok(2)
}

/// Kills supervisors, each with all that hangs below it.
pub async fn supervisor_crash(play: &mut Play) -> Result<usize, Failure> {
    play.ask().await?;
    for (step, moment, target) in [
        (2, Moment::Sent, Target::Pool),
        (3, Moment::Executed, Target::Host),
        (4, Moment::Executed, Target::Bridge),
    ] {
        if !await_moment(play, step, moment).await? {
            continue;
        }
        let tree = play.actors().await?;
        let Some(path) = target.find(&tree, &play.conversation) else {
            play.narrator.tell("miss", &format!("{} is not in the tree now", target.words()));
            continue;
        };
        let how = if target == Target::Host { "abort" } else { "panic" };
        play.kill_actor(&path, how, &format!("{}, and {}", target.words(), words(step, moment))).await?;
        tell_restart(play, &path, &tree).await;
    }
    Ok(3)
}

/// Kills the whole process: once before the service executed a deposit, once after.
pub async fn process_crash(play: &mut Play) -> Result<usize, Failure> {
    play.ask().await?;
    for (step, moment) in [(2, Moment::Sent), (4, Moment::Executed)] {
        if await_moment(play, step, moment).await? {
            play.kill_process(&words(step, moment)).await?;
        }
    }
    Ok(2)
}

/// Kills the broker under it all, and starts it again.
pub async fn broker_crash(play: &mut Play) -> Result<usize, Failure> {
    play.ask().await?;
    if await_moment(play, 2, Moment::Sent).await? {
        let Some(cluster) = play.stage.cluster.clone() else {
            return Err(Failure::usage("broker-crash kills the broker, so it needs one of its own"));
        };
        let pid = cluster.broker_pid(0);
        cluster.kill_broker(0).map_err(Failure::job)?;
        let killed = Instant::now();
        play.strike(
            "KILL",
            &format!("SIGKILL to the Kafka broker, process {pid}: {}", words(2, Moment::Sent)),
        );
        while killed.elapsed() < BROKER_AWAY {
            play.look().await;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        if let Err(miss) = play.stage.child.get("/readyz").await {
            play.narrator.tell("wait", &format!("the server is up and says: {}", miss.into_failure()));
        }
        play.meanwhile(move || cluster.restart_broker(0).map_err(Failure::job)).await?;
        let after = killed.elapsed().as_secs_f64();
        play.narrator.tell("back", &format!("the broker serves again, {after:.1} s after it was killed"));
    }
    Ok(1)
}

/// Says everything twice: the question, and by a killed process the requests that it had taken; on Kafka every record.
pub async fn duplicates(play: &mut Play) -> Result<usize, Failure> {
    let first = play.ask().await?;
    let again: Vec<_> =
        (0..SAME_QUESTION).map(|_| play.stage.child.send(play.request(), ACCEPTED_WITHIN)).collect();
    let answers = futures_util::future::join_all(again).await;
    let mut same = 0;
    for answer in answers {
        let answer = answer.map_err(Miss::into_failure)?;
        same += usize::from(answer["command_id"] == first["command_id"]);
    }
    let question =
        format!("the same question {SAME_QUESTION} times more, same Idempotency-Key: {same} joined its turn");
    play.strike("again", &question);
    if same != SAME_QUESTION {
        return Err(Failure::job(format!("{} questions made turns of their own", SAME_QUESTION - same)));
    }
    let mut blows = 2;
    if await_moment(play, 2, Moment::Executed).await? {
        play.kill_process(&format!("its request comes again; {}", words(2, Moment::Executed))).await?;
    }
    #[cfg(feature = "kafka")]
    if let Some(brokers) = play.stage.brokers.clone() {
        blows += 1;
        if await_moment(play, 3, Moment::Sent).await? {
            let prefix = play.stage.prefix.clone();
            let repeat = move || super::foreign::repeat_everything(&brokers, &prefix);
            let repeated = play.meanwhile(repeat).await?;
            play.strike(
                "again",
                &format!("a foreign client produced {repeated} records a second time, as they were"),
            );
        }
    }
    play.until("the turn ends", Play::turn_ended).await?;
    let late = play.stage.child.send(play.request(), ACCEPTED_WITHIN).await.map_err(Miss::into_failure)?;
    let words = format!("once more after the end: the same turn {}, {}", late["turn"], late["status"]);
    play.strike("again", &words);
    blows += 1;
    Ok(blows)
}

/// Waits for the moment; `false` when it went by.
async fn await_moment(play: &mut Play, step: usize, moment: Moment) -> Result<bool, Failure> {
    let what = format!("step {step} is {moment:?}");
    play.until(&what, |play| play.moment(step) == Some(moment)).await
}

fn words(step: usize, moment: Moment) -> String {
    match moment {
        Moment::Sent => format!("deposit {step} was sent and not executed yet"),
        Moment::Executed => format!("deposit {step} was executed and nobody here knows it yet"),
    }
}

/// Waits until the tree shows the restart, and says so.
async fn tell_restart(play: &mut Play, path: &str, before: &Value) {
    let restarts =
        |tree: &Value| actor_at(tree, path).and_then(|actor| actor["endings"].as_object()).map_or(0, ended);
    let known = restarts(before);
    for _ in 0..RESTARTED_LOOKS {
        if let Ok(tree) = play.actors().await
            && let Some(actor) = actor_at(&tree, path)
            && restarts(&tree) > known
        {
            let words = format!(
                "{path} was started again: restarts {}, endings {}",
                actor["restarts"], actor["endings"]
            );
            play.narrator.tell("back", &words);
            return;
        }
        play.look().await;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    play.narrator.tell("gone", &format!("{path} is not back yet"));
}

/// How often an actor has ended, in whatever way.
fn ended(endings: &serde_json::Map<String, Value>) -> u64 {
    endings.values().filter_map(Value::as_u64).sum()
}
