//! What librdkafka calls back for every client: log lines and errors, turned into tracing events and into `reach`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::reach::Reach;

/// The callbacks of one client.
pub(crate) struct Events {
    role: String,
    reach: Arc<Reach>,
    /// How many callbacks were served. `BaseConsumer::poll` answers `None` both for an empty queue and after a
    /// callback; a reader that must empty the queue tells the two apart by this.
    served: AtomicU64,
}

impl Events {
    pub(crate) fn new(role: impl Into<String>, reach: &Arc<Reach>) -> Self {
        Self { role: role.into(), reach: Arc::clone(reach), served: AtomicU64::new(0) }
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    pub(crate) fn serve(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.serve();
        match level {
            // librdkafka repeats these at every attempt to connect; `reach` and `on_error` say them.
            _ if matches!(facility, "FAIL" | "ERROR") => {
                tracing::debug!(client = %self.role, facility, "{line}")
            }
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(client = %self.role, facility, "{line}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::warn!(client = %self.role, facility, "{line}");
            }
            _ => tracing::debug!(client = %self.role, facility, "{line}"),
        }
    }

    pub(crate) fn on_error(&self, error: &KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        self.serve();
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => self.reach.suspect(),
            Some(Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut) => {
                self.reach.trouble(reason);
                tracing::debug!(client = %self.role, "{reason}");
            }
            Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) => {
                self.reach.trouble(reason);
                tracing::error!(client = %self.role, "{reason}");
            }
            Some(Code::PartitionEOF) => {}
            _ => tracing::warn!(client = %self.role, %error, "{reason}"),
        }
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        self.on_log(level, fac, log_message);
    }

    fn stats_raw(&self, _: &[u8]) {
        self.serve();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.on_error(&error, reason);
    }
}

impl ConsumerContext for Events {}

/// A context from which [`Events`] can be reached.
pub(crate) trait HasEvents {
    fn events(&self) -> &Events;
}

impl HasEvents for Events {
    fn events(&self) -> &Events {
        self
    }
}
