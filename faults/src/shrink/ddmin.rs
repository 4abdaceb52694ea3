//! Delta debugging: the fewest of many things that still fail.

/// The *ddmin* algorithm (Zeller & Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
/// IEEE TSE 28(2), 2002, §3.2): a sublist that still fails, and of which no single item can be left
/// out. The whole list is taken to fail.
pub fn ddmin<T: Clone>(items: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    if items.is_empty() || fails(&[]) {
        return Vec::new();
    }
    let mut kept = items.to_vec();
    let mut granularity = 2;
    while kept.len() >= 2 {
        let size = kept.len().div_ceil(granularity);
        let chunks: Vec<_> = kept.chunks(size).map(<[T]>::to_vec).collect();
        let complement = |left_out: usize| -> Vec<T> {
            let others = chunks.iter().enumerate().filter(|(chunk, _)| *chunk != left_out);
            others.flat_map(|(_, items)| items.iter().cloned()).collect()
        };
        if let Some(chunk) = chunks.iter().find(|chunk| fails(chunk)) {
            // Reduce to a subset.
            kept = chunk.clone();
            granularity = 2;
        } else if let Some(rest) = (0..chunks.len()).map(complement).find(|rest| fails(rest)) {
            // Reduce to a complement.
            kept = rest;
            granularity = (granularity - 1).max(2);
        } else if granularity < kept.len() {
            granularity = (granularity * 2).min(kept.len());
        } else {
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_things_that_only_fail_together_are_found() {
        let items: Vec<_> = (0..256).collect();
        let mut tries = 0;
        let found = ddmin(&items, |some| {
            tries += 1;
            some.contains(&17) && some.contains(&158)
        });
        assert_eq!(found, [17, 158]);
        assert!(tries < 256, "{tries} tries are no better than one for each");
    }

    #[test]
    fn what_fails_with_nothing_needs_nothing() {
        assert_eq!(ddmin(&[1, 2, 3], |_| true), []);
        assert_eq!(ddmin::<u8>(&[], |_| false), []);
    }

    proptest! {
        /// Whatever fails, monotone or not: the result fails, and without any one item it does not.
        #[test]
        fn the_result_fails_and_is_1_minimal(
            length in 1usize..20,
            salt: u64,
            needed in prop::collection::btree_set(0usize..20, 0..4),
        ) {
            let items: Vec<_> = (0..length).collect();
            let fails = |some: &[usize]| {
                let draw = consensus_core::Draw::new(salt);
                let odd = some.iter().fold(draw, |draw, &item| draw.at(item as u64)).chance(0.2);
                let all = needed.iter().filter(|&&item| item < length).all(|item| some.contains(item));
                some.len() == length || all && !some.is_empty() || odd
            };
            let found = ddmin(&items, fails);
            prop_assert!(fails(&found));
            for left_out in 0..found.len() {
                let mut fewer = found.clone();
                fewer.remove(left_out);
                prop_assert!(!fails(&fewer), "{found:?} without its item {left_out}");
            }
        }
    }
}
