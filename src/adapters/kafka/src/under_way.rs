//! A batch under way: a ticket per record, one receipt when the last delivery report is in.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use callboard_ports::log::AppendError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;

use crate::error::sentence;
use crate::open_batches::OpenBatches;

/// One record's share in its batch.
pub(crate) struct Ticket {
    batch: Arc<UnderWay>,
    index: usize,
}

impl Ticket {
    pub(crate) fn new(batch: &Arc<UnderWay>, index: usize) -> Self {
        Self { batch: Arc::clone(batch), index }
    }

    pub(crate) fn delivered(&self, offset: i64) {
        self.batch.delivered(self.index, offset);
    }

    pub(crate) fn failed(&self, error: &KafkaError) {
        self.batch.note(is_refusal(error), &sentence(error));
        self.batch.count_down(1);
    }
}

type Outcome = Result<Vec<u64>, AppendError>;

/// A batch whose delivery reports are coming in.
pub(crate) struct UnderWay {
    left: AtomicUsize,
    offsets: Box<[AtomicU64]>,
    failure: Mutex<Failure>,
    reply: Mutex<Option<oneshot::Sender<Outcome>>>,
    number: u64,
    open: Arc<OpenBatches>,
}

#[derive(Default)]
struct Failure {
    /// How many records are certainly not in the log and never will be.
    refused: usize,
    why: Option<String>,
}

impl UnderWay {
    pub(crate) fn new(
        records: usize,
        number: u64,
        open: Arc<OpenBatches>,
        reply: oneshot::Sender<Outcome>,
    ) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(records),
            offsets: (0..records).map(|_| AtomicU64::new(0)).collect(),
            failure: Mutex::default(),
            reply: Mutex::new(Some(reply)),
            number,
            open,
        })
    }

    /// Nothing was enqueued.
    pub(crate) fn withdraw(&self) {
        self.open.close(self.number);
    }

    fn delivered(&self, index: usize, offset: i64) {
        match u64::try_from(offset) {
            Ok(offset) => self.offsets[index].store(offset, Ordering::Relaxed),
            // A duplicate that the broker recognised but whose offset it has forgotten.
            Err(_) => self.note(false, "acknowledged, but the broker does not know its offset"),
        }
        self.count_down(1);
    }

    pub(crate) fn fail_rest(&self, records: usize, error: &KafkaError) {
        let why = format!("the last {records} records of the batch were not enqueued: {}", sentence(error));
        self.note(false, &why);
        self.count_down(records);
    }

    fn note(&self, refused: bool, why: &str) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.refused += usize::from(refused);
        failure.why.get_or_insert_with(|| why.to_owned());
    }

    fn count_down(&self, records: usize) {
        if self.left.fetch_sub(records, Ordering::AcqRel) != records {
            return;
        }
        let failure = std::mem::take(&mut *self.failure.lock().unwrap_or_else(PoisonError::into_inner));
        let outcome = match failure.why {
            None => Ok(self.offsets.iter().map(|offset| offset.load(Ordering::Relaxed)).collect()),
            Some(why) if failure.refused == self.offsets.len() => Err(AppendError::Refused(why)),
            Some(why) => Err(AppendError::Unknown(why)),
        };
        if let Some(reply) = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = reply.send(outcome);
        }
        // Last: whoever waits for the batch to close finds its receipt answered.
        self.open.close(self.number);
    }
}

/// Answers of a broker after which the record is certainly not in the log, however often it is tried.
fn is_refusal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::MessageSizeTooLarge
                | Code::InvalidRecord
                | Code::InvalidMessage
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::InvalidTopic
        )
    )
}

#[cfg(test)]
mod tests {
    use super::{Ticket, UnderWay};
    use crate::open_batches::OpenBatches;
    use callboard_ports::log::AppendError;
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};
    use std::sync::Arc;
    use tokio::sync::oneshot;
    use tokio::sync::oneshot::error::TryRecvError;

    type Receiver = oneshot::Receiver<super::Outcome>;

    fn two() -> (Vec<Ticket>, Arc<UnderWay>, Receiver) {
        let open = Arc::new(OpenBatches::default());
        let number = open.admit(2, 2).expect("room");
        let (reply, receipt) = oneshot::channel();
        let batch = UnderWay::new(2, number, open, reply);
        ((0..2).map(|index| Ticket::new(&batch, index)).collect(), batch, receipt)
    }

    #[test]
    fn the_receipt_comes_with_the_last_report_in_the_batchs_order() {
        let (tickets, _, mut receipt) = two();
        tickets[1].delivered(8);
        assert_eq!(receipt.try_recv(), Err(TryRecvError::Empty));
        tickets[0].delivered(7);
        assert_eq!(receipt.try_recv(), Ok(Ok(vec![7, 8])));
    }

    #[test]
    fn a_batch_is_refused_only_when_all_of_it_certainly_is_not_in_the_log() {
        let refused = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
        let (tickets, _, mut receipt) = two();
        tickets[0].failed(&refused);
        tickets[1].delivered(1);
        assert!(matches!(receipt.try_recv(), Ok(Err(AppendError::Unknown(_)))));
        let (tickets, _, mut receipt) = two();
        tickets.iter().for_each(|ticket| ticket.failed(&refused));
        assert!(matches!(receipt.try_recv(), Ok(Err(AppendError::Refused(_)))));
    }

    #[test]
    fn what_was_enqueued_before_a_full_queue_decides_when_the_batch_ends() {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        let (tickets, batch, mut receipt) = two();
        batch.fail_rest(1, &full);
        assert_eq!(receipt.try_recv(), Err(TryRecvError::Empty));
        tickets[0].delivered(1);
        assert!(matches!(receipt.try_recv(), Ok(Err(AppendError::Unknown(_)))));
    }
}
