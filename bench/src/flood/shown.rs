//! What a run of `flood` shows.

use super::Figures;
use crate::shown::{Goal, Shown, Table, number};

pub fn of(figures: &Figures) -> Shown {
    let columns = ["figure", "value"];
    let mut table = Table::new(&format!("A flood on {}", figures.log), &columns);
    table.note = format!(
        "Memory may be one and a half times that at rest plus {} MB, the runtime's own bounds.",
        number(figures.bounds_mb)
    );
    let refused: u64 = figures.refused.values().sum();
    for (figure, value) in [
        ("questions offered, times what the workers can do", figures.offered_factor),
        ("questions offered a second", figures.offered_per_s),
        ("accepted", figures.accepted as f64),
        ("refused", refused as f64),
        ("refused without Retry-After", figures.refused_without_retry_after as f64),
        ("accepted and not ended", figures.ended.get("pending").copied().unwrap_or_default() as f64),
        ("seconds until all that was accepted had ended", figures.drain_s),
        ("resident at rest, MB", figures.rest_mb),
        ("resident at most, MB", figures.peak_mb),
        ("resident afterwards, MB", figures.after_mb),
        ("seconds to the answer of a question afterwards", figures.then_answered_in_s),
    ] {
        table.row([figure.to_owned(), number(value)]);
    }
    let bound = figures.rest_mb * 1.5 + figures.bounds_mb;
    let figure = format!("flood on {}, resident at most", figures.log);
    let goals = vec![Goal::at_most(&figure, bound, figures.peak_mb, "MB")];
    Shown { tables: vec![table], plots: Vec::new(), goals }
}
