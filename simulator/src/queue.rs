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
    heap: BinaryHeap<Reverse<u128>>,
    events: Vec<Option<E>>,
    free: Vec<usize>,
    pushed: u64,
}

/// How many bits of a key name the event's place. A key holds, from the upper bits to the lower, when
/// the event happens, the how-many-th it is, and where it is: one number, compared at one blow.
const PLACE_BITS: u32 = 24;

impl<E> Queue<E> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), pushed: 0 }
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, at: Time, event: E) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                self.events.len() - 1
            }
        };
        assert!(place >> PLACE_BITS == 0, "fewer than 2²⁴ events are under way");
        assert!(self.pushed >> (u64::BITS - PLACE_BITS) == 0, "no run pushes 2⁴⁰ events");
        let number = self.pushed << PLACE_BITS | place as u64;
        self.heap.push(Reverse(u128::from(at.0) << u64::BITS | u128::from(number)));
        self.pushed += 1;
    }

    /// When the next event happens.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|&Reverse(key)| at(key))
    }

    /// Takes the next event, if it happens at this instant or before.
    pub(crate) fn pop_until(&mut self, until: Time) -> Option<(Time, E)> {
        if self.next_at()? > until {
            return None;
        }
        let Reverse(key) = self.heap.pop()?;
        let place = (key as u64 & ((1 << PLACE_BITS) - 1)) as usize;
        let event = self.events[place].take().expect("a key in the heap has its event");
        self.free.push(place);
        Some((at(key), event))
    }
}

/// When the event of a key happens.
const fn at(key: u128) -> Time {
    Time((key >> u64::BITS) as u64)
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
