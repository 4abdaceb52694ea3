//! The Mann–Whitney test and its effect size.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// What the Mann–Whitney test found.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct RankTest {
    /// The two-sided p-value, by the normal approximation with tie and continuity corrections.
    pub p_value: f64,
    /// Cliff's delta: how much likelier a sample of the first is larger than one of the second,
    /// from −1 to 1.
    pub cliffs_delta: f64,
}

/// The size of an effect in a word, by the thresholds of Romano et al. 2006.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// |δ| < 0.147.
    Negligible,
    /// |δ| < 0.33.
    Small,
    /// |δ| < 0.474.
    Medium,
    /// |δ| ≥ 0.474.
    Large,
}

impl RankTest {
    /// The size of the effect, in a word.
    pub fn effect(&self) -> Effect {
        match self.cliffs_delta.abs() {
            size if size < 0.147 => Effect::Negligible,
            size if size < 0.33 => Effect::Small,
            size if size < 0.474 => Effect::Medium,
            _ => Effect::Large,
        }
    }
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Negligible => "negligible",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        })
    }
}

/// Tests whether samples of one tend to be larger than samples of the other (Mann and Whitney
/// 1947). `None` if either is empty, or all samples are one value.
pub fn mann_whitney(first: &[f64], second: &[f64]) -> Option<RankTest> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let mut all: Vec<(f64, usize)> = first.iter().map(|&x| (x, 0)).collect();
    all.extend(second.iter().map(|&x| (x, 1)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));

    let (mut rank_sum, mut ties, mut start) = (0.0, 0.0, 0);
    while start < all.len() {
        let run = all[start..].iter().take_while(|sample| sample.0 == all[start].0).count();
        let rank = start as f64 + (run as f64 + 1.0) / 2.0;
        let own = all[start..start + run].iter().filter(|sample| sample.1 == 0).count();
        rank_sum += rank * own as f64;
        ties += (run as f64).powi(3) - run as f64;
        start += run;
    }

    let (n, m) = (first.len() as f64, second.len() as f64);
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * ((total + 1.0) - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return None;
    }
    let distance = ((u - n * m / 2.0).abs() - 0.5).max(0.0);
    let p_value = (2.0 * Normal::standard().sf(distance / variance.sqrt())).min(1.0);
    Some(RankTest { p_value, cliffs_delta: 2.0 * u / (n * m) - 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_textbook_example() {
        // scipy.stats.mannwhitneyu's own example (males and females, n = 5 and 4): U = 17 of 20, and
        // p = 0.1113 by the normal approximation with continuity correction.
        let a = [19.0, 22.0, 16.0, 29.0, 24.0];
        let b = [20.0, 11.0, 17.0, 12.0];
        let test = mann_whitney(&a, &b).unwrap();
        assert!((test.p_value - 0.111_347).abs() < 1e-4, "{test:?}");
        assert!((test.cliffs_delta - 0.7).abs() < 1e-12, "{test:?}");
        assert_eq!(test.effect(), Effect::Large);
    }

    #[test]
    fn the_order_of_the_groups_turns_only_the_sign() {
        let (a, b) = ([1.0, 2.0, 2.0, 5.0], [2.0, 3.0, 4.0]);
        let (there, back) = (mann_whitney(&a, &b).unwrap(), mann_whitney(&b, &a).unwrap());
        assert!((there.p_value - back.p_value).abs() < 1e-12);
        assert!((there.cliffs_delta + back.cliffs_delta).abs() < 1e-12);
    }

    #[test]
    fn equal_samples_have_no_effect_and_one_value_has_no_test() {
        let same = mann_whitney(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).unwrap();
        assert!(same.p_value > 0.99 && same.cliffs_delta.abs() < 1e-12);
        assert_eq!(mann_whitney(&[1.0, 1.0], &[1.0]), None);
        assert_eq!(mann_whitney(&[], &[1.0]), None);
    }
}
