//! A server's standard error: log lines at debug, each bounded and with the server's secrets hidden, and the last one
//! kept, because it usually says why a process ended.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::secret::Masks;

/// Of one line; a stack trace has many lines, and a line without end is no line.
const MAX_LINE_BYTES: usize = 1_024;

/// The last line that a process has said.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    pub fn get(&self) -> Option<String> {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (!words.is_empty()).then_some(words)
    }

    fn set(&self, line: &str) {
        line.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Reads to the end.
pub(crate) async fn pump(
    server: Arc<str>,
    mut stderr: impl AsyncRead + Unpin,
    masks: Masks,
    last: LastWords,
) {
    let mut line: Vec<u8> = Vec::new();
    let mut chunk = [0; 4_096];
    let say = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line);
        let text = masks.hide(text.trim_end());
        if !text.trim().is_empty() {
            tracing::debug!(server = &*server, "{text}");
            last.set(text.trim());
        }
        line.clear();
    };
    loop {
        // A broken pipe and an ended one are the same here: the process tells how it ended.
        let read = stderr.read(&mut chunk).await.unwrap_or(0);
        for byte in &chunk[..read] {
            match byte {
                b'\n' => say(&mut line),
                _ if line.len() < MAX_LINE_BYTES => line.push(*byte),
                _ => {}
            }
        }
        if read == 0 {
            return say(&mut line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{LastWords, Masks, pump};
    use crate::secret::Secret;

    #[tokio::test]
    async fn the_last_line_is_kept_bounded_and_without_secrets() {
        let masks = Masks::of([Secret::new("hunter22")].into_iter());
        let last = LastWords::default();
        let said = format!("starting\ntoken hunter22 is wrong {}\n\n", "x".repeat(5_000));
        pump(Arc::from("s"), said.as_bytes(), masks, last.clone()).await;
        let words = last.get().unwrap();
        assert!(words.starts_with("token (secret) is wrong xxx") && words.len() <= 1_100, "{words}");
    }
}
