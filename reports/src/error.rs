//! Why a report could not be made.

use std::path::{Path, PathBuf};

/// Why a record could not be read or written, or a report not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{}, line {line}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A plot could not be drawn.
    #[error("the plot '{plot}' could not be drawn: {why}")]
    Plot {
        /// The plot.
        plot: &'static str,
        /// Why.
        why: String,
    },
    /// There is nothing to compare.
    #[error("a comparison takes at least two runs, not {0}")]
    TooFewRuns(usize),
    /// A run that fails its verdict gives no figures.
    #[error("a verdict of the run on {0} is violated: it gives no figures")]
    Violated(String),
}

impl ReportError {
    /// An error about a file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
