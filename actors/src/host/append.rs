//! Appending what must not get lost: again and again until the log says yes.

use callboard_ports::clock::Clock;
use callboard_ports::log::{AppendError, Log};
use callboard_ports::record::NewRecord;

use crate::limits::FULL_RETRY;

/// Appends `records`, retrying what is full or unacknowledged, until acknowledged (true), refused for good, or
/// `give_up` says so. A retry may duplicate: whoever reads these records takes the first.
pub async fn append_until_acknowledged(
    log: &dyn Log,
    clock: &dyn Clock,
    records: Vec<NewRecord>,
    give_up: impl Fn() -> bool,
) -> bool {
    /// Pauses double up to this many times [`FULL_RETRY`]: a broker that is away is asked every few seconds.
    const LONGEST_PAUSE: u32 = 64;
    let mut pause = 1;
    while !give_up() {
        let failure = match log.append(records.clone()) {
            Ok(receipt) => match receipt.await {
                Ok(Ok(_)) => return true,
                Ok(Err(error)) => error,
                Err(_) => AppendError::Closed("the log went away".into()),
            },
            Err(error) => error,
        };
        match failure {
            AppendError::Full | AppendError::Unknown(_) => {}
            AppendError::Refused(_) | AppendError::Closed(_) => {
                tracing::error!(%failure, "a record could not be appended");
                return false;
            }
        }
        clock.sleep(FULL_RETRY * pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    false
}
