//! The consensus loop's inbox: bounded for what comes from outside, and drained in bounded bites.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard},
    time::Duration,
};

use consensus_core::Time;

use super::NotTaken;
use crate::clock;

/// A queue with many senders and one thread that drains it.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Mutex<Queue<T>>,
    ready: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// What a drain found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drained {
    /// How many items it took.
    pub taken: usize,
    /// How many it left for the next time.
    pub left: usize,
}

impl<T> Inbox<T> {
    /// An inbox that takes this many items from outside.
    pub const fn new(capacity: usize) -> Self {
        let queue = Queue { items: VecDeque::new(), closed: false };
        Self { queue: Mutex::new(queue), ready: Condvar::new(), capacity }
    }

    /// Puts an item in, unless the inbox is full.
    pub fn offer(&self, item: T) -> Result<(), NotTaken> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(NotTaken::Stopping);
        }
        if queue.items.len() >= self.capacity {
            return Err(NotTaken::Full);
        }
        queue.items.push_back(item);
        drop(queue);
        self.ready.notify_one();
        Ok(())
    }

    /// Puts items in that the loop itself is owed: they are never refused, for their number is
    /// bounded by what the loop has under way. A closed inbox forgets them.
    pub fn put(&self, items: &mut dyn Iterator<Item = T>) {
        let mut queue = self.lock();
        if !queue.closed {
            queue.items.extend(items);
            drop(queue);
            self.ready.notify_one();
        }
    }

    /// Moves at most `limit` items into `to`, waiting for the first one until the given time, or
    /// for ever. `None` once the inbox is closed.
    pub fn drain(&self, to: &mut Vec<T>, limit: usize, until: Option<Time>) -> Option<Drained> {
        let mut queue = self.lock();
        while queue.items.is_empty() && !queue.closed {
            let patience = until.map_or(Duration::from_secs(3_600), |at| at.since(clock::now()));
            if patience.is_zero() {
                break;
            }
            let woken = self.ready.wait_timeout(queue, patience);
            queue = woken.expect("nobody panics while holding the inbox").0;
        }
        if queue.closed {
            return None;
        }
        let taken = queue.items.len().min(limit);
        to.extend(queue.items.drain(..taken));
        Some(Drained { taken, left: queue.items.len() })
    }

    /// Closes the inbox: what waits in it is dropped, and so is whatever comes later.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.items.clear();
        drop(queue);
        self.ready.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().expect("nobody panics while holding the inbox")
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn a_full_inbox_refuses_what_comes_from_outside() {
        let inbox = Inbox::new(2);
        assert_eq!([inbox.offer(1), inbox.offer(2)], [Ok(()), Ok(())]);
        assert_eq!(inbox.offer(3), Err(NotTaken::Full));
        inbox.put(&mut [4].into_iter());
        let mut drained = Vec::new();
        assert_eq!(inbox.drain(&mut drained, 2, None), Some(Drained { taken: 2, left: 1 }));
        inbox.drain(&mut drained, 2, None);
        assert_eq!(drained, [1, 2, 4]);
    }

    #[test]
    fn a_drain_waits_no_longer_than_told() {
        let inbox = Inbox::<u8>::new(1);
        let until = clock::now() + Duration::from_millis(2);
        assert_eq!(
            inbox.drain(&mut Vec::new(), 1, Some(until)),
            Some(Drained { taken: 0, left: 0 })
        );
        assert!(clock::now() >= until);
    }

    #[test]
    fn an_offer_wakes_the_drain_and_closing_ends_it() {
        let inbox = Arc::new(Inbox::new(1));
        let sender = Arc::clone(&inbox);
        let sending = thread::spawn(move || sender.offer(7));
        let mut drained = Vec::new();
        inbox.drain(&mut drained, 1, None);
        assert_eq!(drained, [7]);
        sending.join().unwrap().unwrap();
        inbox.close();
        assert_eq!(inbox.drain(&mut drained, 1, None), None);
        assert_eq!(inbox.offer(8), Err(NotTaken::Stopping));
    }
}
