//! Run records in; statistics, plots and one self-contained HTML out.
//!
//! A [`RunRecord`] is everything that one run leaves behind. All else here is a function of it:
//!
//! | file | what it makes of a record |
//! |---|---|
//! | [`record`], [`directory`] | its files, and itself from its files |
//! | [`elections`], [`prediction`] | elections stage by stage, and what the timeouts predict of them |
//! | [`latency`], [`availability`] | how long clients and leaders waited; goodput and gaps |
//! | [`forecast`] | how well simulations foretold a real run |
//! | [`recovery`] | what a cluster does while links stay cut, scenario by variant |
//! | [`statistics`] | quantiles, intervals, effects, equivalence: no more than the samples carry |
//! | [`summary`], [`table`] | `summary.json`, and the short table at the end of a command |
//! | [`plots`] | SVG, drawn without any system library |
//! | [`html`] | one page that opens offline and loads nothing |
//!
//! A run that fails its verdict gives no performance figures: its report shows what contradicts
//! what, and when, instead.

mod analysis;
pub mod availability;
pub mod directory;
pub mod elections;
pub mod error;
pub mod forecast;
pub mod html;
pub mod latency;
pub mod plots;
pub mod prediction;
mod quorum;
pub mod record;
pub mod recovery;
pub mod statistics;
pub mod summary;
pub mod table;
pub mod verdicts;

pub use directory::{load, save, save_comparison, save_forecast, save_recovery};
pub use error::ReportError;
pub use forecast::Forecast;
pub use html::{render_comparison, render_forecast, render_recovery, render_run};
pub use record::{
    Clock, Counters, ElectionTiming, Expectation, FaultBand, Metadata, RunRecord, Setting,
};
pub use summary::Summary;
pub use table::summary_table;
