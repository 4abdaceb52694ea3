//! Progress lines: how far a long command has come. They go to standard error, and only to a terminal.

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// A line that says how much was done of what has no known end; `{pos}` stands in it.
pub fn spinning(what: &str) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template(&format!("[{{elapsed}}] {what}"));
    Ok(ProgressBar::new_spinner().with_style(style.context("the template is valid")?))
}

/// A bar of so many parts; what is counted, and perhaps `{msg}` or `{eta}`, stands behind it.
pub fn counted(parts: u64, what: &str) -> Result<ProgressBar> {
    let template = format!("[{{elapsed}}] {{bar:30}} {{pos}}/{{len}} {what}");
    let style = ProgressStyle::with_template(&template).context("the template is valid")?;
    Ok(ProgressBar::new(parts).with_style(style))
}
