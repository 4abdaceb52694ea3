//! What happens next: events in the order of their virtual time.

use std::{cmp::Reverse, collections::BinaryHeap};

use consensus_core::Time;

/// A queue of events. Events of the same instant come out in the order in which they were pushed,
/// so the whole run is a function of its inputs.
///
/// The heap holds only small keys: the events themselves stay where they were put, for moving a
/// message at every level of the heap would cost more than handling it.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Key>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    pushed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    at: Time,
    number: u64,
    place: u32,
}

impl<E> Queue<E> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), pushed: 0 }
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, at: Time, event: E) {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.events.push(None);
                u32::try_from(self.events.len() - 1).expect("fewer than 2³² events are under way")
            }
        };
        self.events[place as usize] = Some(event);
        self.heap.push(Reverse(Key { at, number: self.pushed, place }));
        self.pushed += 1;
    }

    /// When the next event happens.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(key)| key.at)
    }

    /// Takes the next event, if it happens at this instant or before.
    pub(crate) fn pop_until(&mut self, until: Time) -> Option<(Time, E)> {
        if self.next_at()? > until {
            return None;
        }
        let Reverse(Key { at, place, .. }) = self.heap.pop()?;
        let event = self.events[place as usize].take().expect("a key in the heap has its event");
        self.free.push(place);
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_come_in_order_of_time_and_then_of_pushing(times in prop::collection::vec(0u64..8, 0..60)) {
            let mut queue = Queue::new();
            let mut expected: Vec<_> = times.iter().copied().zip(0..).collect();
            expected.sort();
            for (number, at) in times.iter().enumerate() {
                queue.push(Time(*at), number);
            }
            let mut came = Vec::new();
            while let Some((at, number)) = queue.pop_until(Time(u64::MAX)) {
                came.push((at.0, number));
            }
            prop_assert_eq!(came, expected);
        }
    }

    #[test]
    fn an_event_of_the_future_stays() {
        let mut queue = Queue::new();
        queue.push(Time(5), "later");
        assert_eq!(queue.pop_until(Time(4)), None);
        assert_eq!(queue.pop_until(Time(5)), Some((Time(5), "later")));
        assert_eq!(queue.next_at(), None);
    }
}
