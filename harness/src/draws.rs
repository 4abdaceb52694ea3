//! Which of a protocol's own options a drawn run takes: they are no part of the schedule, which is
//! the same for every protocol.

use consensus_core::Draw;

/// Options that are set together.
type Choice = &'static [(&'static str, &'static str)];

/// Of each row, a seed takes one choice; one that names an option which the protocol does not have
/// is passed over.
const ROWS: [&[Choice]; 2] = [
    &[&[], &[("alpha", "1")], &[("alpha", "8")], &[("alpha", "100")]],
    &[&[], &[("election", "ballot")], &[("election", "detector")]],
];

/// What a seed draws for a protocol with these options.
pub fn options(known: &[(&str, &str)], seed: u64) -> Vec<(String, String)> {
    let draw = Draw::new(seed).of("options");
    let is_known = |choice: &&Choice| {
        choice.iter().all(|(name, _)| known.iter().any(|(known, _)| known == name))
    };
    let mut drawn = Vec::new();
    for (row, choices) in (0..).zip(ROWS) {
        let fitting: Vec<_> = choices.iter().filter(is_known).collect();
        let which = draw.at(row).below(fitting.len() as u64) as usize;
        let choice = fitting.get(which).into_iter().flat_map(|choice| choice.iter());
        drawn.extend(choice.map(|&(name, value)| (name.to_owned(), value.to_owned())));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_options_that_the_protocol_has_are_drawn() {
        assert!((0..50).all(|seed| options(&[], seed).is_empty()));
        let known = [("alpha", "how far ahead")];
        let drawn: Vec<_> = (0..50).flat_map(|seed| options(&known, seed)).collect();
        assert!(drawn.len() > 20 && drawn.iter().all(|(name, _)| name == "alpha"), "{drawn:?}");
    }
}
