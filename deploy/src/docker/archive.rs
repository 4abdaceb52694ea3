//! Files into containers and out of them, as tar archives.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context as _, Result};
use bollard::query_parameters as query;
use bytes::Bytes;
use futures::TryStreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::{DATA, USER, engine::Engine};
use crate::site::Wanted;

/// A tar archive in memory.
pub(crate) struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds a file of the container's user.
    pub fn file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.0.append_data(&mut header, path, content).context("cannot pack an archive")
    }

    /// Adds an empty directory of the container's user.
    pub fn directory(&mut self, path: &str) -> Result<()> {
        let mut header = header(tar::EntryType::Directory, 0o755);
        header.set_size(0);
        self.0.append_data(&mut header, path, io::empty()).context("cannot pack an archive")
    }

    pub fn finish(self) -> Result<Bytes> {
        Ok(self.0.into_inner().context("cannot pack an archive")?.into())
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(USER.into());
    header.set_gid(USER.into());
    header
}

/// Puts files into a container's data directory, whether it runs or not.
pub(crate) async fn put(engine: &Engine, container: &str, files: Archive) -> Result<()> {
    let options = query::UploadToContainerOptionsBuilder::default().path(DATA).build();
    let body = bollard::body_full(files.finish()?);
    let put = engine.docker().upload_to_container(container, Some(options), body).await;
    put.with_context(|| format!("cannot put files into the container {container}"))
}

/// Fetches a container's data directory into this folder, whether the container runs or not.
pub(crate) async fn fetch(
    engine: &Engine,
    container: &str,
    wanted: Wanted,
    to: &Path,
) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let options = query::DownloadFromContainerOptionsBuilder::default();
    let options = options.path(&format!("{DATA}/.")).build();
    let why = || format!("cannot fetch what {container} wrote to {}", to.display());
    // Beside the folder, whose own name may have a dot in it.
    let packed = to.with_file_name(format!("{}.tar", to.file_name().unwrap_or_default().display()));
    let mut file = tokio::fs::File::create(&packed).await.with_context(why)?;
    let mut pieces = engine.docker().download_from_container(container, Some(options));
    while let Some(piece) = pieces.try_next().await.with_context(why)? {
        file.write_all(&piece).await.with_context(why)?;
    }
    file.flush().await.with_context(why)?;
    let (folder, archive) = (to.to_owned(), packed.clone());
    let unpacked =
        move || unpack(&mut io::BufReader::new(fs::File::open(archive)?), wanted, &folder);
    let unpacked = tokio::task::spawn_blocking(unpacked).await;
    unpacked.context("the archive's reader got lost")?.with_context(why)?;
    fs::remove_file(&packed).with_context(why)
}

fn unpack(reader: &mut impl Read, wanted: Wanted, to: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_mtime(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let is_record = path.extension().is_some_and(|extension| extension == "jsonl");
        if is_record || wanted == Wanted::Everything {
            // Whatever points out of the folder is refused.
            entry.unpack_in(to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_alone_are_unpacked_unless_everything_is_wanted() {
        let mut archive = Archive::new();
        archive.directory("data").unwrap();
        archive.file("data/events.jsonl", b"{}\n", 0o644).unwrap();
        archive.file("data/log", b"bytes", 0o644).unwrap();
        let packed = archive.finish().unwrap();
        let there = |wanted| {
            let place = tempfile::tempdir().unwrap();
            unpack(&mut &packed[..], wanted, place.path()).unwrap();
            ["data/events.jsonl", "data/log"].map(|file| place.path().join(file).is_file())
        };
        assert_eq!(there(Wanted::Records), [true, false]);
        assert_eq!(there(Wanted::Everything), [true, true]);
    }
}
