//! Tables for the terminal: columns as wide as their widest cell, cells on one line.

use std::fmt::Write;

use serde_json::Value;

/// Rows under each other, the last column ragged.
#[must_use]
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        for (text, width) in row.iter().zip(&widths) {
            let _ = write!(out, "{text:width$}  ");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

/// A value as people read it: text without quotes, nothing for null.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value on one line of at most `width` characters.
#[must_use]
pub fn cell(value: &Value, width: usize) -> String {
    cut(&text(value).replace(['\n', '\r', '\t'], " "), width)
}

/// At most `width` characters, with a sign where something was cut.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A length of time in its two largest units: `3d4h`, `5m20s`, `0.4s`.
#[must_use]
pub fn length(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..10 => format!("{}.{}s", seconds, ms % 1_000 / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::{columns, cut, length};

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [["A", "LONG"], ["wide one", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "A         LONG\nwide one  x");
    }

    #[test]
    fn lengths_have_two_units_and_cuts_show() {
        for (ms, words) in
            [(420, "0.4s"), (59_000, "59s"), (320_000, "5m20s"), (7_500_000, "2h05m"), (273_600_000, "3d4h")]
        {
            assert_eq!(length(ms), words);
        }
        assert_eq!(cut("añbcd", 4), "añb…");
    }
}
