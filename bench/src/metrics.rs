//! A server's own numbers, from `/metrics`.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::stage::Member;

/// All labels of a metric added up; 0 where nothing has happened yet.
pub async fn read(http: &reqwest::Client, url: &str, name: &str) -> Result<f64> {
    let text = http.get(format!("{url}/metrics")).send().await?.error_for_status()?.text().await?;
    Ok(sum(&text, name))
}

fn sum(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Waits until a process has nothing to do any more: catching up, and projections behind it, are done. Whether it came to that
/// before the time was over.
pub async fn at_rest(member: &Member, within: Duration) -> bool {
    const LOOK: Duration = Duration::from_millis(250);
    /// Of a core: timers and the log's own threads take less, also in a debug build.
    const IDLE_SHARE: f64 = 0.08;
    const LOOKS: u32 = 4;
    let until = Instant::now() + within;
    let mut idle = 0;
    while idle < LOOKS {
        if Instant::now() > until {
            return false;
        }
        let before = member.cpu_ms().unwrap_or_default();
        tokio::time::sleep(LOOK).await;
        let used_ms = member.cpu_ms().unwrap_or_default() - before;
        idle = if used_ms / 1e3 <= LOOK.as_secs_f64() * IDLE_SHARE { idle + 1 } else { 0 };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn labels_are_added_up_and_other_names_left_alone() {
        let text = "# HELP a_total x\na_total{b=\"1\"} 2\na_total{b=\"2\"} 3\na_total_more 9\n";
        assert_eq!((sum(text, "a_total"), sum(text, "none")), (5.0, 0.0));
    }
}
