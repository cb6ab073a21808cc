//! What a process reads: in order per partition, in small or large pieces, sometimes late, with partitions that overtake
//! each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use callboard_ports::log::{Batch, TailEvent};
use tokio::sync::mpsc;

use crate::fault::Fault;
use crate::life::Life;
use crate::world::World;

/// Cuts a batch into pieces of a drawn size.
pub fn pieces(world: &World, batch: &Batch) -> Vec<Batch> {
    let most = world.mix.batch_records;
    if batch.records.len() <= 1 {
        return vec![batch.clone()];
    }
    let size = if world.is_faulty() { world.between(1, most as u64) as usize } else { most };
    let piece = |records: &[callboard_ports::Record]| Batch {
        topic: batch.topic,
        partition: batch.partition,
        records: Arc::from(records),
    };
    batch.records.chunks(size).map(piece).collect()
}

/// How long a delivery of this partition takes.
pub fn delay_ms(world: &World, life: &Life, partition: u32) -> u64 {
    if world.strikes(Fault::ReadDelayed, format_args!("{}, partition {partition}", life.name)) {
        world.between(1, 1_200)
    } else {
        0
    }
}

/// Deliveries that wait, by partition.
#[derive(Default)]
struct Shelf {
    waiting: BTreeMap<u32, VecDeque<(u64, TailEvent)>>,
    held: usize,
}

impl Shelf {
    fn put(&mut self, partition: u32, at_ms: u64, event: TailEvent) {
        let queue = self.waiting.entry(partition).or_default();
        let at_ms = queue.back().map_or(at_ms, |(last_ms, _)| at_ms.max(*last_ms));
        queue.push_back((at_ms, event));
        self.held += 1;
    }

    /// The first partition whose next delivery is due, or when the first one is.
    fn due(&self, now_ms: u64) -> Result<u32, Option<u64>> {
        let heads = self.waiting.iter().filter_map(|(partition, queue)| Some((*partition, queue.front()?.0)));
        let first = heads.min_by_key(|(_, at_ms)| *at_ms);
        match first {
            Some((partition, at_ms)) if at_ms <= now_ms => Ok(partition),
            other => Err(other.map(|(_, at_ms)| at_ms)),
        }
    }

    fn take(&mut self, partition: u32) -> Option<TailEvent> {
        let (_, event) = self.waiting.get_mut(&partition)?.pop_front()?;
        self.held -= 1;
        Some(event)
    }
}

/// Passes a tail's lane on, as the adversary likes. Runs inside the process.
pub async fn tail(
    world: Arc<World>,
    life: Arc<Life>,
    mut from: mpsc::Receiver<TailEvent>,
    to: mpsc::Sender<TailEvent>,
) {
    /// Deliveries held back: a lane that is not drained holds the log's reader.
    const HELD: usize = 32;
    let mut shelf = Shelf::default();
    let mut open = true;
    loop {
        let next = shelf.due(world.now_ms());
        if let Ok(partition) = next {
            let Some(event) = shelf.take(partition) else { continue };
            if to.send(event).await.is_err() {
                return;
            }
            continue;
        }
        let wait = next.err().flatten().map(|at_ms| at_ms.saturating_sub(world.now_ms()));
        if !open && wait.is_none() {
            return;
        }
        tokio::select! {
            biased;
            event = from.recv(), if open && shelf.held < HELD => match event {
                Some(event) => shelve(&world, &life, &mut shelf, event),
                None => open = false,
            },
            () = tokio::time::sleep(Duration::from_millis(wait.unwrap_or(0))), if wait.is_some() => {}
            () = to.closed() => return,
        }
    }
}

fn shelve(world: &World, life: &Life, shelf: &mut Shelf, event: TailEvent) {
    let partition = match &event {
        TailEvent::Batch { batch, .. } => batch.partition,
        TailEvent::Failed { partition, .. } => *partition,
    };
    let at_ms = world.now_ms() + delay_ms(world, life, partition);
    match event {
        TailEvent::Batch { batch, generation } => {
            for batch in pieces(world, &batch) {
                shelf.put(partition, at_ms, TailEvent::Batch { batch, generation });
            }
        }
        failed @ TailEvent::Failed { .. } => shelf.put(partition, at_ms, failed),
    }
}
