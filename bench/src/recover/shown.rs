//! What a run of `recover` shows.

use super::Figures;
use super::actors::BACK_OFF_S;
use crate::shown::{Goal, Shown, Table, number};

/// The conversations that the goals are about.
const GOAL_CONVERSATIONS: usize = 100_000;

pub fn of(figures: &Figures) -> Shown {
    Shown { tables: vec![killed(figures), restarted(figures)], plots: Vec::new(), goals: goals(figures) }
}

fn killed(figures: &Figures) -> Table {
    let columns = ["killed", "times", "next progress p50 ms", "next progress max ms"];
    let mut table = Table::new(&format!("Killed under load, {}", figures.log), &columns);
    table.note = format!(
        "The process: SIGKILL with {} conversations on disk, {} of them at work; from its restart to the first record that moves \
         one of those. Actors: through the endpoint, under 16 clients; of a host the next record of its conversations that no worker \
         writes (an event or a request), of pool and worker the next result of a turn that was open.",
        number(figures.conversations as f64),
        figures.open_conversations
    );
    let first_ms = number(figures.first_progress_s * 1e3);
    table.row(["process".to_owned(), "1".to_owned(), first_ms.clone(), first_ms]);
    if let Some(loss) = &figures.worker_loss {
        let ends = &loss.open_turns_end;
        let times = [ends.p50_s, ends.max_s].map(|s| number(s * 1e3));
        let name = "tool worker process, never back".to_owned();
        table.row([name, "1".to_owned()].into_iter().chain(times));
    }
    for row in &figures.actors_killed {
        let next = &row.next_progress;
        let times = [next.p50_s, next.max_s].map(|s| number(s * 1e3));
        table.row([row.kind.to_owned(), next.count.to_string()].into_iter().chain(times));
    }
    table
}

fn restarted(figures: &Figures) -> Table {
    let columns = ["from", "start to ready s", "start to an answer s"];
    let mut table = Table::new(&format!("Started again, {}", figures.log), &columns);
    table.note = format!("{} conversations on disk.", number(figures.conversations as f64));
    for row in &figures.restarts {
        table.row([row.from.to_owned(), number(row.ready_s), number(row.answered_s)]);
    }
    table
}

/// Only of what this run has measured: a smaller one claims less.
fn goals(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    if figures.conversations >= GOAL_CONVERSATIONS {
        let name = format!("process with 100,000 conversations, to first progress, {}", figures.log);
        goals.push(Goal::at_most(&name, figures.first_progress_goal_s, figures.first_progress_s, "s"));
    }
    for row in figures.actors_killed.iter().filter(|row| row.is_supervisor && row.next_progress.count > 0) {
        let name = format!("{} killed, next progress (2 × its back-off), {}", row.kind, figures.log);
        goals.push(Goal::at_most(&name, 2.0 * BACK_OFF_S * 1e3, row.next_progress.max_s * 1e3, "ms"));
    }
    if let Some(loss) = &figures.worker_loss {
        let name = format!("tool worker process lost, its work taken over, {}", figures.log);
        goals.push(Goal::at_most(&name, loss.goal_s, loss.taken_over_s, "s"));
    }
    goals
}
