//! What waits to be sent to one peer.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio_stream::Stream;

use super::wire::{Batch, Hello, Packet, packet::Content};

/// What may wait while the peer is there.
const CONNECTED: Limit = Limit { frames: 8_192, bytes: 64 << 20 };
/// What may wait while it is not: little, for it would be stale when it arrives.
const AWAY: Limit = Limit { frames: 16, bytes: 4 << 20 };
/// How much one packet carries at most, one frame excepted, in bytes.
const MAX_BATCH_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct Limit {
    frames: usize,
    bytes: usize,
}

/// A bounded queue of frames. When it is full the oldest go: they are the most likely to be stale.
#[derive(Debug)]
pub(super) struct FrameQueue(Mutex<Frames>);

#[derive(Debug)]
struct Frames {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    limit: Limit,
    /// Which [`Outflow`] is the current one.
    outflow: u64,
    waker: Option<Waker>,
}

impl FrameQueue {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Frames {
            waiting: VecDeque::new(),
            bytes: 0,
            limit: AWAY,
            outflow: 0,
            waker: None,
        }))
    }

    /// Adds a frame; says how many others had to go for it.
    pub(super) fn push(&self, frame: Bytes) -> u64 {
        let mut frames = self.lock();
        let mut dropped = 0;
        while frames.waiting.len() >= frames.limit.frames
            || (frames.bytes + frame.len() > frames.limit.bytes && !frames.waiting.is_empty())
        {
            frames.pop();
            dropped += 1;
        }
        frames.bytes += frame.len();
        frames.waiting.push_back(frame);
        let waker = frames.waker.take();
        drop(frames);
        if let Some(waker) = waker {
            waker.wake();
        }
        dropped
    }

    /// The stream that a new connection carries: the greeting, then whatever waits, batch by batch.
    /// It ends when the next one begins.
    pub(super) fn outflow(queue: &Arc<Self>, hello: Hello) -> Outflow {
        let mut frames = queue.lock();
        frames.outflow += 1;
        frames.limit = CONNECTED;
        Outflow { queue: Arc::clone(queue), number: frames.outflow, hello: Some(hello) }
    }

    fn lock(&self) -> MutexGuard<'_, Frames> {
        self.0.lock().expect("nobody panics while holding a queue")
    }
}

impl Frames {
    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.waiting.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    fn batch(&mut self) -> Batch {
        let mut frames = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            bytes += next.len();
            if bytes > MAX_BATCH_BYTES && !frames.is_empty() {
                break;
            }
            frames.extend(self.pop());
        }
        Batch { frames }
    }
}

/// The content of one stream to a peer.
#[derive(Debug)]
pub(super) struct Outflow {
    queue: Arc<FrameQueue>,
    number: u64,
    hello: Option<Hello>,
}

impl Stream for Outflow {
    type Item = Packet;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Packet>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(Packet { content: Some(Content::Hello(hello)) }));
        }
        let mut frames = self.queue.lock();
        if frames.outflow != self.number {
            return Poll::Ready(None);
        }
        if frames.waiting.is_empty() {
            frames.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Some(Packet { content: Some(Content::Batch(frames.batch())) }))
    }
}

/// With the connection goes what was meant for it.
impl Drop for Outflow {
    fn drop(&mut self) {
        let mut frames = self.queue.lock();
        if frames.outflow == self.number {
            frames.limit = AWAY;
            frames.waker = None;
            frames.waiting.clear();
            frames.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    fn frame(n: usize) -> Bytes {
        Bytes::from(n.to_string())
    }

    fn next(outflow: &mut Outflow) -> Option<Content> {
        outflow.next().now_or_never().flatten()?.content
    }

    fn batch(outflow: &mut Outflow) -> Vec<Bytes> {
        match next(outflow) {
            Some(Content::Batch(batch)) => batch.frames,
            other => panic!("{other:?} is no batch"),
        }
    }

    #[test]
    fn a_stream_greets_and_then_carries_everything_in_one_batch() {
        let queue = Arc::new(FrameQueue::new());
        let mut outflow = FrameQueue::outflow(&queue, Hello::default());
        assert_eq!(next(&mut outflow), Some(Content::Hello(Hello::default())));
        assert_eq!(next(&mut outflow), None);
        (0..3).for_each(|n| assert_eq!(queue.push(frame(n)), 0));
        assert_eq!(batch(&mut outflow), [frame(0), frame(1), frame(2)]);
    }

    #[test]
    fn an_absent_peers_queue_keeps_the_newest() {
        let queue = Arc::new(FrameQueue::new());
        let dropped: u64 = (0..AWAY.frames + 5).map(|n| queue.push(frame(n))).sum();
        assert_eq!(dropped, 5);
        let mut outflow = FrameQueue::outflow(&queue, Hello::default());
        next(&mut outflow);
        assert_eq!(batch(&mut outflow)[0], frame(5));
    }

    #[test]
    fn a_queue_is_bounded_in_bytes_and_large_frames_travel_alone() {
        let queue = Arc::new(FrameQueue::new());
        let large = Bytes::from(vec![0; 3 << 20]);
        assert_eq!(queue.push(large.clone()), 0);
        assert_eq!(queue.push(large.clone()), 1);
        let mut outflow = FrameQueue::outflow(&queue, Hello::default());
        queue.push(large);
        next(&mut outflow);
        assert_eq!([batch(&mut outflow).len(), batch(&mut outflow).len()], [1, 1]);
    }

    #[test]
    fn a_new_stream_ends_the_old_one_and_a_lost_one_takes_its_content_along() {
        let queue = Arc::new(FrameQueue::new());
        let mut old = FrameQueue::outflow(&queue, Hello::default());
        next(&mut old);
        let mut new = FrameQueue::outflow(&queue, Hello::default());
        next(&mut new);
        assert_eq!(old.next().now_or_never(), Some(None));
        drop(old);
        queue.push(frame(1));
        assert_eq!(batch(&mut new), [frame(1)]);
        queue.push(frame(2));
        drop(new);
        let mut third = FrameQueue::outflow(&queue, Hello::default());
        next(&mut third);
        assert_eq!(next(&mut third), None);
    }
}
