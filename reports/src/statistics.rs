//! Statistics that say no more than the samples carry.
//!
//! Quantiles are exact, from the kept samples, and given only where enough samples lie beyond them;
//! uncertainty is a bootstrap interval (Efron and Tibshirani, "An Introduction to the Bootstrap",
//! ch. 13); a p-value never stands without an effect size; and "no difference" is a claim that
//! needs an equivalence test, not the absence of a small p-value.

mod bootstrap;
mod comparison;
mod quantiles;
mod tests_of_rank;

pub use bootstrap::{Interval, median, quantile_draws, quantile_interval};
pub use comparison::{Comparison, EQUIVALENCE_MARGIN, Equivalence, Unit, compare};
pub use quantiles::{Quantiles, carries, quantile, sorted};
pub use tests_of_rank::{Effect, RankTest, mann_whitney};
