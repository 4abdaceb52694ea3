//! Where and when a run took place.

use std::{collections::BTreeMap, fs};

use jiff::Timestamp;

/// Facts of this machine that numbers depend on. Its name is not among them.
pub fn facts() -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("operating system".to_owned(), std::env::consts::OS.to_owned()),
        ("architecture".to_owned(), std::env::consts::ARCH.to_owned()),
        ("build".to_owned(), build().to_owned()),
    ]);
    if let Ok(cores) = std::thread::available_parallelism() {
        facts.insert("cores".to_owned(), cores.to_string());
    }
    let line = |path: &str, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    if let Some(processor) = line("/proc/cpuinfo", "model name") {
        facts.insert("processor".to_owned(), processor);
    }
    if let Some(memory) = line("/proc/meminfo", "MemTotal") {
        facts.insert("memory".to_owned(), memory);
    }
    if let Ok(kernel) = fs::read_to_string("/proc/sys/kernel/osrelease") {
        facts.insert("kernel".to_owned(), kernel.trim().to_owned());
    }
    facts
}

const fn build() -> &'static str {
    if cfg!(debug_assertions) { "development" } else { "release" }
}

/// The wall clock, as RFC 3339 in UTC, to the second.
pub fn now_rfc3339() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The wall clock as part of a folder's name.
pub fn stamp() -> String {
    Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string()
}

/// The wall clock in UTC, for lines that appear as something happens.
pub fn time_of_day() -> String {
    Timestamp::now().strftime("%H:%M:%S").to_string()
}
