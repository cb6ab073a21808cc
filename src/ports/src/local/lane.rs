//! One lane: cursors on some partitions, and the loop that speaks their records into a bounded channel.
//!
//! The loop first gets room in the channel and only then looks for something to say, so a lane that is not
//! drained holds nothing but its own channel. What it says is a [`Voice`]'s matter: `tail` and `member`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, watch};

use super::{LANE_CAPACITY, Source, read_some};
use crate::log::{Batch, Bounds, LogError};
use crate::record::Topic;

/// How a lane words what happens to a cursor.
pub(super) trait Voice: Send + Sync + 'static {
    type Event: Send + 'static;

    fn batch(&self, batch: Batch, generation: u64) -> Self::Event;

    /// The cursor's position is not in the log: what to say, and where to go on, if anywhere.
    fn out_of_range(&self, place: Place, bounds: Bounds) -> (Self::Event, Option<u64>);

    /// The partition cannot be read any more; the cursor is gone.
    fn failed(&self, place: Place, error: LogError) -> Self::Event;

    /// The receiver is gone, or the lane was told to end.
    fn ended(&self) {}
}

/// A cursor as its lane's loop saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: Topic,
    pub(super) partition: u32,
    pub(super) generation: u64,
    pub(super) position: u64,
}

struct Cursor {
    position: u64,
    generation: u64,
    paused: bool,
}

struct State<E> {
    /// Said before any record: assignments, revocations, failures; a few per partition at most.
    pending: VecDeque<E>,
    cursors: BTreeMap<u32, Cursor>,
    /// The partition that spoke last: the next one gets its turn.
    spoke_last: u32,
    /// End once everything pending was said.
    ending: bool,
}

pub(super) struct Lane<V: Voice> {
    topic: Topic,
    voice: V,
    state: Mutex<State<V::Event>>,
    bell: Arc<Notify>,
    cut: watch::Sender<bool>,
}

/// What the loop does with the room that it has.
enum Next<E> {
    Say(E),
    Nothing,
    End,
}

impl<V: Voice> Lane<V> {
    /// The lane numbered `index` of `lanes`, its receiver, and its loop, which is to be run.
    pub(super) fn open(
        source: Arc<dyn Source>,
        topic: Topic,
        (index, lanes): (usize, usize),
        voice: V,
    ) -> (Arc<Self>, mpsc::Receiver<V::Event>, impl Future<Output = ()> + Send + use<V>) {
        let (sender, receiver) = mpsc::channel(LANE_CAPACITY);
        let state =
            State { pending: VecDeque::new(), cursors: BTreeMap::new(), spoke_last: 0, ending: false };
        let (cut, _) = watch::channel(false);
        let lane = Arc::new(Self { topic, voice, state: Mutex::new(state), bell: Arc::default(), cut });
        source.wakers().register(topic, index as u32, lanes as u32, &lane.bell);
        let speaking = Self::speak(lane.clone(), source, sender);
        (lane, receiver, speaking)
    }

    fn state(&self) -> MutexGuard<'_, State<V::Event>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `partition` from `position` on, after saying `first`.
    pub(super) fn assign(&self, partition: u32, position: u64, generation: u64, first: Option<V::Event>) {
        let mut state = self.state();
        state.pending.extend(first);
        state.cursors.insert(partition, Cursor { position, generation, paused: false });
        drop(state);
        self.bell.notify_one();
    }

    /// Stops reading `partition`; then says `last`, behind every record already said.
    pub(super) fn unassign(&self, partition: u32, last: Option<V::Event>) {
        let mut state = self.state();
        state.cursors.remove(&partition);
        state.pending.extend(last);
        drop(state);
        self.bell.notify_one();
    }

    pub(super) fn pause(&self, partition: u32, paused: bool) {
        if let Some(cursor) = self.state().cursors.get_mut(&partition) {
            cursor.paused = paused;
        }
        self.bell.notify_one();
    }

    /// Says `last` and ends.
    pub(super) fn end_with(&self, last: V::Event) {
        let mut state = self.state();
        state.cursors.clear();
        state.pending.push_back(last);
        state.ending = true;
        drop(state);
        self.bell.notify_one();
    }

    /// Ends at once, whether or not there is room to speak.
    pub(super) fn cut(&self) {
        self.state().cursors.clear();
        self.cut.send_replace(true);
    }

    async fn speak(self: Arc<Self>, source: Arc<dyn Source>, sender: mpsc::Sender<V::Event>) {
        let mut cut = self.cut.subscribe();
        loop {
            let room = tokio::select! {
                biased;
                _ = cut.wait_for(|cut| *cut) => break,
                room = sender.reserve() => room,
            };
            let Ok(room) = room else { break };
            match self.next(&*source) {
                Next::Say(event) => {
                    room.send(event);
                    // Other lanes and the receiver may share this thread.
                    tokio::task::yield_now().await;
                }
                Next::End => break,
                Next::Nothing => {
                    drop(room);
                    tokio::select! {
                        biased;
                        _ = cut.wait_for(|cut| *cut) => break,
                        () = sender.closed() => break,
                        () = self.bell.notified() => {}
                    }
                }
            }
        }
        self.state().cursors.clear();
        self.voice.ended();
    }

    fn next(&self, source: &dyn Source) -> Next<V::Event> {
        loop {
            let place = {
                let mut state = self.state();
                if let Some(event) = state.pending.pop_front() {
                    return Next::Say(event);
                }
                if state.ending {
                    return Next::End;
                }
                match ready(&state, source, self.topic) {
                    Some(place) => place,
                    None => return Next::Nothing,
                }
            };
            let bounds = source.bounds(place.topic, place.partition);
            if place.position < bounds.start || place.position > bounds.end {
                if let Some(event) = self.astray(place, bounds) {
                    return Next::Say(event);
                }
                continue;
            }
            // Read without the lock: whoever steers this lane must not wait for a disk.
            let read = read_some(source, (place.topic, place.partition), place.position, u64::MAX);
            if let Some(event) = self.have_read(place, read) {
                return Next::Say(event);
            }
        }
    }

    fn astray(&self, place: Place, bounds: Bounds) -> Option<V::Event> {
        let mut state = self.state();
        if !stands(&state, place) {
            return None;
        }
        let (event, go_on) = self.voice.out_of_range(place, bounds);
        match (go_on, state.cursors.get_mut(&place.partition)) {
            (Some(position), Some(cursor)) => cursor.position = position,
            _ => drop(state.cursors.remove(&place.partition)),
        }
        Some(event)
    }

    /// Words what was read, unless the cursor was steered elsewhere meanwhile.
    fn have_read(&self, place: Place, read: Result<Vec<crate::Record>, LogError>) -> Option<V::Event> {
        let mut state = self.state();
        if !stands(&state, place) {
            return None;
        }
        match read {
            // Retention was faster: the bounds say so in the next round.
            Err(LogError::OutOfRange { .. }) => None,
            Err(error) => {
                state.cursors.remove(&place.partition);
                Some(self.voice.failed(place, error))
            }
            Ok(records) => {
                let last = records.last()?.offset;
                let cursor = state.cursors.get_mut(&place.partition)?;
                cursor.position = last + 1;
                state.spoke_last = place.partition;
                let batch =
                    Batch { topic: place.topic, partition: place.partition, records: Arc::from(records) };
                Some(self.voice.batch(batch, place.generation))
            }
        }
    }
}

/// Whether the cursor is still where the loop saw it.
fn stands<E>(state: &State<E>, place: Place) -> bool {
    state.cursors.get(&place.partition).is_some_and(|cursor| {
        cursor.position == place.position && cursor.generation == place.generation && !cursor.paused
    })
}

/// The next cursor, after the one that spoke last, that has something to say.
fn ready<E>(state: &State<E>, source: &dyn Source, topic: Topic) -> Option<Place> {
    let after = state.cursors.range(state.spoke_last.saturating_add(1)..);
    after.chain(state.cursors.range(..=state.spoke_last)).find_map(|(partition, cursor)| {
        let bounds = source.bounds(topic, *partition);
        (!cursor.paused && cursor.position != bounds.end).then_some(Place {
            topic,
            partition: *partition,
            generation: cursor.generation,
            position: cursor.position,
        })
    })
}
