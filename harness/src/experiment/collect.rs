//! Gathering what the replicas of a real target wrote down.

use std::{
    fs::{self, File},
    io::{BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use consensus_core::{
    NodeId, Time,
    history::{Applied, Observed, Passage, Sample, StateDigest},
};
use deploy::Evidence;
use serde::de::DeserializeOwned;

/// What the replicas wrote down.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// What each applied, each incarnation's entries in order.
    pub applied: Vec<Applied>,
    /// What was seen inside them, by time.
    pub observed: Vec<Observed>,
    /// Their states over time.
    pub samples: Vec<Sample>,
    /// How long messages between them were under way.
    pub passages: Vec<Passage>,
    /// Digests of the state, from where it was saved or taken over.
    pub states: Vec<StateDigest>,
}

/// Reads the data directories of these replicas.
pub fn collect(replicas: &[Evidence]) -> Result<Collected> {
    let mut all = Collected::default();
    for Evidence { node, directory } in replicas {
        let of_each_life = |name| {
            files_of_each_life(directory, name)
                .with_context(|| format!("cannot list what replica {node} wrote down"))
        };
        for path in of_each_life("applied-")? {
            all.applied.extend(lines::<Applied>(&path)?);
        }
        for path in of_each_life("states-")? {
            all.states.extend(lines::<StateDigest>(&path)?);
        }
        all.observed.extend(lines::<Observed>(&directory.join("events.jsonl"))?);
        all.samples.extend(lines::<Sample>(&directory.join("samples.jsonl"))?);
        all.passages.extend(lines::<Passage>(&directory.join("passages.jsonl"))?);
    }
    all.observed.sort_by_key(|observed| observed.at);
    all.samples.sort_by_key(|sample| (sample.at, sample.node));
    all.passages.sort_by_key(|passage| passage.at);
    Ok(all)
}

/// When every member knew committed what had been committed anywhere at that instant, and all
/// followed one leader; known to one sampling interval.
pub fn caught_up(samples: &[Sample], since: Time, members: &[NodeId]) -> Option<Time> {
    let target = samples.iter().filter(|sample| sample.at <= since).map(|s| s.commit).max()?;
    let mut latest = std::collections::BTreeMap::new();
    let later = samples.iter().filter(|sample| sample.at > since);
    later.filter(|sample| members.contains(&sample.node)).find_map(|sample| {
        latest.insert(sample.node, sample);
        let stands = |sample: &&Sample| sample.up && sample.commit >= target;
        let follows = |seen: &&Sample| seen.leader.is_some() && seen.leader == sample.leader;
        let all = latest.values().filter(|seen| stands(seen) && follows(seen)).count();
        let all = all == members.len();
        all.then_some(sample.at)
    })
}

/// Removes data directories that are no longer needed.
pub fn discard(directory: &Path) -> Result<()> {
    fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))
}

/// The files of this name that a replica's lives wrote, in the order of the lives.
fn files_of_each_life(directory: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let life = file.strip_prefix(name).and_then(|rest| rest.strip_suffix(".jsonl"));
        if let Some(life) = life.and_then(|number| number.parse::<u64>().ok()) {
            files.push((life, path));
        }
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Reads records, one to a line. A process that was killed may leave its last line torn.
fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    match File::open(path) {
        Ok(file) => checker::jsonl::read_untorn(&mut BufReader::new(file))
            .with_context(|| format!("cannot read {}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
    }
}
