//! The feed of one turn: what its records tell (`story`) and the pieces of its answer, merged, each with the place after it.
//! Both faces read it: `sse`, and the OpenAI-compatible one.
//!
//! One rule holds for every reader: the pieces since the last restart, joined, are the answer that took effect.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use callboard_actors::{Follow, NodeError, Watch};
use callboard_domain::conversation::{Recorded, State};
use callboard_domain::id::{CommandId, ConversationId};
use callboard_domain::view::TurnView;
use tokio::sync::mpsc;

use super::place::{FINAL, Place};
use super::story::{Story, Told, Usage};
use crate::http::api::{Api, Running};
use crate::http::problem::Problem;
use crate::records::recorded;

/// Proxies close a silent connection after 30 s or 60 s.
const PING: Duration = Duration::from_secs(15);
/// An actor that was killed is back within this.
const FOLLOW_AGAIN: Duration = Duration::from_millis(100);
/// Records read ahead of a slow reader; further ones wait in the log.
const READ_AHEAD: usize = 16;

/// What a reader is given.
#[derive(Debug)]
pub enum Item {
    Told {
        place: Place,
        told: Told,
    },
    /// The next piece of the answer.
    Piece {
        place: Place,
        epoch: Arc<str>,
        text: String,
    },
    /// The pieces so far are void.
    Restarted {
        place: Place,
        epoch: Arc<str>,
    },
    /// Nothing happened for a while.
    Ping,
}

/// A turn's feed.
pub struct Feed {
    api: web::Data<Api>,
    story: Story,
    records: mpsc::Receiver<Recorded>,
    /// Absent where nobody wants pieces.
    watch: Option<Watch>,
    /// What the reader has, or will have with what is in `ready`.
    place: Place,
    /// What the reader had in the beginning is not told again.
    had: Option<(u64, u32)>,
    ready: VecDeque<Item>,
    ended: bool,
}

impl Feed {
    /// Begins behind `state`, in which the turn is not known yet, for a reader who has come to `place`.
    ///
    /// # Errors
    /// 429 where as many watch as may; 503 where the conversation is not served here now.
    pub async fn begin(
        api: &web::Data<Api>,
        running: &Running,
        (conversation, command): (&ConversationId, &CommandId),
        state: State,
        place: Place,
        pieces: bool,
    ) -> Result<Self, Problem> {
        let watch = if pieces { Some(running.node.watch_answer(conversation, command).await?) } else { None };
        let after = state.next_offset.checked_sub(1);
        let live = running.node.follow(conversation, after).await?;
        let (sender, records) = mpsc::channel(READ_AHEAD);
        actix_web::rt::spawn(read(api.clone(), conversation.clone(), live, after, sender));
        let story = Story::new(state, command.clone());
        let (had, ready) = (place.record, VecDeque::new());
        Ok(Self { api: api.clone(), story, records, watch, place, had, ready, ended: false })
    }

    /// Tokens that the turn has used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.story.usage
    }

    /// The next item; `None` at the end, or where the stream breaks off and has to be taken up again.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.ended {
                return None;
            }
            let api = self.api.clone();
            let grown = async {
                match &mut self.watch {
                    Some(watch) => watch.answer.grown().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                record = self.records.recv() => self.tell(&record?),
                () = grown => self.look(),
                () = tokio::time::sleep(PING) => return Some(Item::Ping),
                () = api.released() => return None,
            }
        }
    }

    fn tell(&mut self, record: &Recorded) {
        for (told, count) in self.story.tell(record).into_iter().zip(1..) {
            let at = (record.offset, count);
            self.ended |= matches!(told, Told::Ended(_));
            if self.had.is_some_and(|had| at <= had) {
                continue;
            }
            if let Told::Ended(turn) = &told {
                self.rest(turn);
            }
            self.place.record = Some(at);
            self.ready.push_back(Item::Told { place: self.place.clone(), told });
        }
    }

    /// There may be new pieces.
    fn look(&mut self) {
        let has = self.place.said.as_ref().map(|(epoch, bytes)| (&**epoch, *bytes));
        let Some(said) = self.watch.as_ref().and_then(|watch| watch.answer.since(has)) else { return };
        if has.is_some_and(|(epoch, _)| *epoch != *said.epoch) {
            self.restart(&said.epoch);
        }
        self.piece(said.epoch, said.at_byte + said.text.len(), said.text);
    }

    fn restart(&mut self, epoch: &Arc<str>) {
        self.place.said = Some((epoch.clone(), 0));
        self.ready.push_back(Item::Restarted { place: self.place.clone(), epoch: epoch.clone() });
    }

    fn piece(&mut self, epoch: Arc<str>, bytes: usize, text: String) {
        self.place.said = Some((epoch.clone(), bytes));
        self.ready.push_back(Item::Piece { place: self.place.clone(), epoch, text });
    }

    /// What is missing of the answer that took effect, or all of it where something else was said.
    fn rest(&mut self, turn: &TurnView) {
        let Some(answer) = &turn.answer else { return };
        let agrees = |epoch: &str, bytes: usize| {
            let watch = self.watch.as_ref();
            *epoch == *FINAL && answer.is_char_boundary(bytes)
                || watch.is_some_and(|watch| watch.answer.agrees(epoch, bytes, answer))
        };
        let from = match &self.place.said {
            None => 0,
            Some((epoch, bytes)) if agrees(epoch, *bytes) => *bytes,
            Some(_) => {
                self.restart(&FINAL.into());
                0
            }
        };
        if from < answer.len() {
            self.piece(FINAL.into(), answer.len(), answer[from..].to_owned());
        }
    }
}

/// Reads a conversation's records, also from the next actor when one ends, until nobody listens any more.
async fn read(
    api: web::Data<Api>,
    conversation: ConversationId,
    mut live: Follow,
    mut last: Option<u64>,
    sender: mpsc::Sender<Recorded>,
) {
    loop {
        let item = tokio::select! {
            biased;
            () = sender.closed() => return,
            item = live.recv() => item,
        };
        match item {
            Some(Ok((mut batch, at))) => {
                last = batch.records.get(at).map(|record| record.offset).or(last);
                batch.records = batch.records.get(at).cloned().into_iter().collect();
                let found: Vec<Recorded> = recorded(&batch, &conversation).collect();
                for record in found {
                    if sender.send(record).await.is_err() {
                        return;
                    }
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%conversation, %error, "a turn's stream ends early");
                return;
            }
            None => match again(&api, &conversation, last).await {
                Ok(Some(next)) => live = next,
                Ok(None) => {}
                Err(()) => return,
            },
        }
    }
}

/// The conversation's actor has ended (idle, or killed): follow its next one.
async fn again(api: &Api, conversation: &ConversationId, last: Option<u64>) -> Result<Option<Follow>, ()> {
    tokio::time::sleep(FOLLOW_AGAIN).await;
    let running = api.taking().map_err(|_| ())?;
    match running.node.follow(conversation, last).await {
        Ok(live) => Ok(Some(live)),
        Err(NodeError::NotReady { .. } | NodeError::Gone(_) | NodeError::Busy(_)) => Ok(None),
        Err(error) => {
            tracing::warn!(%conversation, %error, "a turn's stream ends early");
            Err(())
        }
    }
}
