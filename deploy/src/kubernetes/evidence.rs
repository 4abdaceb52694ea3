//! Fetching what replicas wrote down: from their claims when nobody runs any more, and from a disk that
//! is about to be lost before it is.

use std::{
    fs,
    io::{self, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use consensus_core::NodeId;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use super::{
    agent::{COMPLETE, Errand, MOMENT},
    exec::{self, Sent},
    host_name,
};
use crate::site::{Evidence, Part, Wanted};

/// Where evidence is kept, and what was on disks that were lost.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    folder: PathBuf,
    wanted: Wanted,
    lost: Arc<Mutex<Vec<Evidence>>>,
}

impl Keeper {
    pub fn new(folder: PathBuf, wanted: Wanted) -> Self {
        Self { folder, wanted, lost: Arc::default() }
    }

    /// What was on disks that were lost.
    pub fn lost(&self) -> Vec<Evidence> {
        self.lost.lock().expect("nobody panics while holding it").clone()
    }

    /// Freezes a replica, fetches what it wrote down, and kills it. From the first of these on it did
    /// nothing: when that was, is said.
    pub async fn seize(&self, pods: &Api<Pod>, pod: &str, node: NodeId) -> Result<Instant> {
        let directory = {
            let mut lost = self.lost.lock().expect("nobody panics while holding it");
            let name = format!("{}.lost-{}", host_name(Part::Replica(node)), lost.len() + 1);
            let directory = self.folder.join(name);
            lost.push(Evidence { node, directory: directory.clone() });
            directory
        };
        let sent = Sent::now();
        let moment = fetch(pods, pod, Errand::Seize(self.wanted), &directory).await?;
        exec::send(pods, pod, Errand::Kill).await?;
        Ok(sent.moment(moment).unwrap_or_else(Instant::now))
    }

    /// Fetches what is on the disk that this pod has.
    pub async fn fetch(&self, pods: &Api<Pod>, pod: &str, node: NodeId) -> Result<Evidence> {
        let directory = self.folder.join(host_name(Part::Replica(node)));
        fetch(pods, pod, Errand::Fetch(self.wanted), &directory).await?;
        Ok(Evidence { node, directory })
    }
}

/// Fetches into a folder, and says when the archive was begun.
async fn fetch(pods: &Api<Pod>, pod: &str, errand: Errand, to: &Path) -> Result<u64> {
    let why = || format!("cannot fetch what {pod} wrote down into {}", to.display());
    fs::create_dir_all(to).with_context(why)?;
    let packed = to.with_file_name(format!("{}.tar", to.file_name().unwrap_or_default().display()));
    let mut file = tokio::fs::File::create(&packed).await.with_context(why)?;
    exec::receive(pods, pod, errand, &mut file).await.with_context(why)?;
    file.sync_all().await.with_context(why)?;
    let (folder, archive) = (to.to_owned(), packed.clone());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&archive, &folder)).await;
    let moment = unpacked.context("the archive's reader got lost")?.with_context(why)?;
    fs::remove_file(&packed).with_context(why)?;
    Ok(moment)
}

/// Unpacks an archive, and says when it was begun.
fn unpack(archive: &Path, to: &Path) -> Result<u64> {
    let file = fs::File::open(archive).context("the archive cannot be read")?;
    let (moment, complete) = entries(BufReader::new(file), to).context("it is no archive")?;
    ensure!(complete, "it was cut off on its way");
    moment.context("it does not say when it was begun")
}

fn entries(archive: impl io::Read, to: &Path) -> io::Result<(Option<u64>, bool)> {
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_mtime(false);
    let (mut moment, mut complete) = (None, false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if path == Path::new(MOMENT) {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            moment = text.parse().ok();
        } else if path == Path::new(COMPLETE) {
            complete = true;
        } else {
            // Whatever points out of the folder is refused.
            entry.unpack_in(to)?;
        }
    }
    Ok((moment, complete))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::agent::carry_out;

    #[test]
    fn an_archive_comes_out_as_it_went_in_or_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let (data, out) = (place.path().join("data"), place.path().join("out"));
        for folder in [&data, &out] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(data.join("events.jsonl"), "{}\n").unwrap();
        let mut packed = Vec::new();
        carry_out(Errand::Fetch(Wanted::Records), &data, &mut packed).unwrap();
        let archive = place.path().join("packed");
        fs::write(&archive, &packed).unwrap();
        assert!(unpack(&archive, &out).unwrap() > 0);
        assert_eq!(fs::read_to_string(out.join("events.jsonl")).unwrap(), "{}\n");
        // Without its last block, its end, and the mark before that.
        fs::write(&archive, &packed[..packed.len() - 3 * 512]).unwrap();
        assert!(unpack(&archive, &out).unwrap_err().to_string().contains("cut off"));
    }
}
