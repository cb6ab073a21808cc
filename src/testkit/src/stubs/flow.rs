//! A streamed body that can go wrong: it ends, hangs or breaks off where the test wants, or never ends.
//!
//! [`super::model`] makes one of a model's words, [`super::server`] sends it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::time::Sleep;

/// What follows the last chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The body ends in order.
    Close,
    /// Nothing, for ever.
    Hang,
    /// The connection is cut.
    Cut,
    /// The last chunk again and again, for ever.
    Repeat,
}

/// Chunks, and what follows them.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub content_type: &'static str,
    pub chunks: VecDeque<Bytes>,
    pub ending: Ending,
    /// Before every chunk.
    pub pause: Duration,
}

/// A [`Flow`] on its way.
pub(super) struct Flowing {
    flow: Flow,
    last: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Flowing {
    pub fn new(flow: Flow) -> Self {
        Self { flow, last: Bytes::new(), sleep: None }
    }
}

impl Body for Flowing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.flow.pause.is_zero() {
            let pause = self.flow.pause;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        }
        if let Some(chunk) = self.flow.chunks.pop_front() {
            self.last = chunk.clone();
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match self.flow.ending {
            Ending::Close => Poll::Ready(None),
            // The connection's end wakes whoever waits.
            Ending::Hang => Poll::Pending,
            Ending::Cut => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Ending::Repeat => Poll::Ready(Some(Ok(Frame::data(self.last.clone())))),
        }
    }
}
