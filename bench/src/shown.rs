//! What a job shows of its figures: tables, plots and goals. They stand in its result beside the raw numbers, so that `report`
//! draws them without knowing the job.

use serde::{Deserialize, Serialize};

/// All that a job shows. In a result file it is the field `shown`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub tables: Vec<Table>,
    pub plots: Vec<Plot>,
    pub goals: Vec<Goal>,
}

/// Rows under column heads; numbers are already words, with their unit in the head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub title: String,
    /// A sentence below it; may be empty.
    pub note: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// Lines over two axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// Of its file, without an ending; one of its own in the whole bench.
    pub name: String,
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

/// What an axis measures, unit included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    pub label: String,
    pub logarithmic: bool,
}

/// A named line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A figure that was to be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    pub figure: String,
    pub goal: String,
    pub reached: String,
    pub met: bool,
}

impl Table {
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            note: String::new(),
            columns: columns.iter().map(|&head| head.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// One more row, with as many cells as there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Goal {
    /// `reached` must be at most `limit`; both in `unit`.
    pub fn at_most(figure: &str, limit: f64, reached: f64, unit: &str) -> Self {
        Self::new(figure, "≤", (limit, reached), unit, reached <= limit)
    }

    /// `reached` must be at least `limit`; both in `unit`.
    pub fn at_least(figure: &str, limit: f64, reached: f64, unit: &str) -> Self {
        Self::new(figure, "≥", (limit, reached), unit, reached >= limit)
    }

    fn new(figure: &str, sign: &str, (limit, reached): (f64, f64), unit: &str, met: bool) -> Self {
        Self {
            figure: figure.to_owned(),
            goal: format!("{sign} {} {unit}", number(limit)),
            reached: format!("{} {unit}", number(reached)),
            met,
        }
    }
}

/// A number with three digits that count, or all of those before the point.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e9 || !value.is_finite() {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let digits = whole.trim_start_matches('-');
    let mut grouped = String::from(if value < 0.0 { "-" } else { "" });
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match rest {
        Some(rest) => format!("{grouped}.{rest}"),
        None => grouped,
    }
}

/// Things that are counted: all digits.
pub fn count(things: u64) -> String {
    if things < 1_000 { things.to_string() } else { number(things as f64) }
}

#[cfg(test)]
mod tests {
    use super::{Goal, count, number};

    #[test]
    fn counts_are_whole() {
        assert_eq!([0, 12, 1_000].map(count), ["0", "12", "1,000"]);
    }

    #[test]
    fn numbers_are_short_and_grouped() {
        let all = [0.0, 0.1234, 1.5, 12.34, 123.4, 1_234_567.0, -1_500.0].map(number);
        assert_eq!(all, ["0", "0.123", "1.50", "12.3", "123", "1,234,567", "-1,500"]);
    }

    #[test]
    fn a_goal_knows_whether_it_was_reached() {
        assert!(Goal::at_most("p50", 2.0, 1.5, "ms").met && !Goal::at_most("p50", 2.0, 2.5, "ms").met);
        let fast = Goal::at_least("fold", 1e6, 2e6, "events/s");
        assert_eq!(
            (fast.goal.as_str(), fast.reached.as_str()),
            ("≥ 1,000,000 events/s", "2,000,000 events/s")
        );
    }
}
