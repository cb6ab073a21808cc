//! The thread that searches: one question after the other, each a few milliseconds.
//!
//! A folder that was not looked at for a while is looked at first, by [`super::keeper`]; that is waited for, not long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use callboard_domain::event::ToolError;
use tokio::sync::oneshot;

use super::{Answer, Embedding, Query, Ready, Shared};
use crate::bounds::{CANDIDATES, REFRESH_PATIENCE};
use crate::search::Searcher;

pub(super) struct Job {
    pub query: Query,
    pub reply: oneshot::Sender<Result<Answer, ToolError>>,
}

/// Answers until nobody can ask any more.
pub(super) fn run(shared: &Shared, jobs: &Receiver<Job>, check_every: Duration) {
    let mut searcher = Searcher::new();
    while let Ok(Job { query, reply }) = jobs.recv() {
        if reply.is_closed() {
            continue;
        }
        refresh(shared, check_every, query.until);
        let answer = answer(shared, &mut searcher, &query);
        // Who asked may have stopped waiting.
        let _ = reply.send(answer);
    }
}

fn answer(shared: &Shared, searcher: &mut Searcher, query: &Query) -> Result<Answer, ToolError> {
    let (ready, outdated) = ready(shared, query.until)?;
    let mut notes: Vec<String> = outdated.into_iter().collect();
    let nearest = nearest(shared, query).unwrap_or_else(|why| {
        notes.push(why);
        Vec::new()
    });
    let searched = catch_unwind(AssertUnwindSafe(|| {
        searcher.search(&ready.reader, ready.fields, &query.text, query.top_k, &nearest)
    }));
    let why = match searched {
        Ok(Ok(found)) => {
            let (documents, passages) = (ready.documents, ready.passages);
            return Ok(Answer { found, documents, passages, by_vectors: !nearest.is_empty(), notes });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the index made the search panic".to_owned(),
    };
    Err(broken(shared, &why))
}

/// The passages whose vectors are nearest to the query's.
fn nearest(shared: &Shared, query: &Query) -> Result<Vec<u64>, String> {
    let Some(vector) = &query.vector else { return Ok(Vec::new()) };
    let Embedding::Ready(vectors) = shared.lock().embedding.clone() else {
        return Err("embeddings of new passages are being made".to_owned());
    };
    vectors.nearest(vector, CANDIDATES).map_err(|unfit| format!("the query's embedding: {unfit}"))
}

/// Has the folder looked at if that was long ago.
fn refresh(shared: &Shared, check_every: Duration, until: Instant) {
    let wanted = {
        let mut state = shared.lock();
        if state.last_round.is_none_or(|last| last.elapsed() < check_every) {
            return;
        }
        state.wanted += 1;
        shared.changed.notify_all();
        state.wanted
    };
    let patience = until.min(Instant::now() + REFRESH_PATIENCE);
    shared.wait(patience, |state| state.served >= wanted || state.closing);
}

/// What can be searched, and why it may be old.
fn ready(shared: &Shared, until: Instant) -> Result<(Ready, Option<String>), ToolError> {
    shared.wait(until, |state| state.ready.is_some() || state.problem.is_some() || state.closing);
    let mut state = shared.lock();
    if let Some(ready) = &state.ready {
        let outdated = state.problem.as_ref().map(|why| format!("the documents as they were before: {why}"));
        return Ok((ready.clone(), outdated));
    }
    let Some(problem) = state.problem.clone() else {
        return Err(ToolError::new(
            "not_ready",
            "the documents are still being read for the first time",
            true,
        ));
    };
    state.wanted += 1;
    shared.changed.notify_all();
    Err(ToolError::new("unavailable", problem, true))
}

/// Has the index opened anew.
fn broken(shared: &Shared, why: &str) -> ToolError {
    tracing::warn!(why, "the index of the documents cannot be read; it is made again");
    let mut state = shared.lock();
    (state.broken, state.ready) = (true, None);
    state.wanted += 1;
    shared.changed.notify_all();
    ToolError::new(
        "unavailable",
        format!("the index could not be read ({why}); it is being made again"),
        true,
    )
}
