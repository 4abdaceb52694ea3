//! The draws of one member.

use consensus_core::Draw;

/// The draws of one member: each is keyed by what it is for and how many there were before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Chance {
    draw: Draw,
    drawn: u64,
}

impl Chance {
    pub(crate) const fn new(draw: Draw) -> Self {
        Self { draw, drawn: 0 }
    }

    pub(crate) fn next(&mut self, purpose: &str) -> Draw {
        self.drawn += 1;
        self.draw.of(purpose).at(self.drawn)
    }

    /// Up to `count` of these, in random order (Fisher and Yates).
    pub(crate) fn sample<T>(&mut self, mut from: Vec<T>, count: usize) -> Vec<T> {
        let count = count.min(from.len());
        for place in 0..count {
            let left = (from.len() - place) as u64;
            from.swap(place, place + self.next("sample").below(left) as usize);
        }
        from.truncate(count);
        from
    }
}
