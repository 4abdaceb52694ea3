//! The image: one executable, and what it cannot do without.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use bollard::query_parameters as query;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object::{Object as _, ObjectSection as _};
use sha2::{Digest as _, Sha256};

use super::{
    archive::Archive,
    engine::{Engine, filter},
};

/// How the image is made of a prebuilt executable: the very file that a person builds it with.
const DOCKERFILE: &str = include_str!("../../Dockerfile.prebuilt");

/// The image's name; its tag is drawn from what is in it.
const REPOSITORY: &str = "consensus-lab";

/// The label of every image that was built here.
const LABEL: &str = "lab.image";

/// An image that the engine has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// Its name and tag.
    pub name: String,
    /// How large it is, in bytes.
    pub bytes: u64,
    /// Whether it was built just now.
    pub built: bool,
}

/// Finds the image of this executable, and builds it if the engine has none: nothing is pulled, for
/// it is made of files of this machine alone.
///
/// # Errors
///
/// If the executable is no static one and not the one that runs: whose libraries are not known.
pub async fn ensure(engine: &Engine, executable: &Path) -> Result<Image> {
    let files = contents(executable)?;
    let name = format!("{REPOSITORY}:{}", digest(&files));
    if let Some(bytes) = size(engine, &name).await {
        return Ok(Image { name, bytes, built: false });
    }
    build(engine, &name, &files).await?;
    forget_others(engine, &name).await?;
    let bytes = size(engine, &name).await.context("the image was built and is not there")?;
    Ok(Image { name, bytes, built: true })
}

/// A file of the image.
struct Content {
    /// Where in the image, without the slash in front.
    path: String,
    bytes: Vec<u8>,
}

/// The executable, and the loader and libraries that it needs, each where it is on this machine.
fn contents(executable: &Path) -> Result<Vec<Content>> {
    let bytes = read(executable)?;
    let mut files = Vec::new();
    if let Some(loader) = loader(&bytes)? {
        let own = std::env::current_exe().and_then(fs::canonicalize).ok();
        if own != fs::canonicalize(executable).ok() {
            bail!(
                "{} needs libraries: an image is built of a static executable, or of the one that \
                 is running (deploy/README.md says how to build a static one)",
                executable.display()
            );
        }
        files.push(Content { path: in_image(&loader), bytes: read(&loader)? });
        for library in mapped_libraries()? {
            files.push(Content { path: in_image(&library), bytes: read(&library)? });
        }
    }
    files.push(Content { path: "harness".to_owned(), bytes });
    Ok(files)
}

/// The program that loads a dynamic executable; `None` for a static one.
fn loader(executable: &[u8]) -> Result<Option<PathBuf>> {
    let file = object::File::parse(executable).context("the executable is no ELF file")?;
    let Some(section) = file.section_by_name(".interp") else { return Ok(None) };
    let path = section.data().context("the executable's loader cannot be read")?;
    let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(Some(PathBuf::from(String::from_utf8_lossy(path).into_owned())))
}

/// The libraries of this process.
fn mapped_libraries() -> Result<Vec<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps").context("cannot list this process's files")?;
    let path = |line: &str| line.split_whitespace().nth(5).map(PathBuf::from);
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".so") || name.contains(".so.")
    };
    let mut libraries: Vec<_> = maps.lines().filter_map(path).filter(is_library).collect();
    libraries.sort_unstable();
    libraries.dedup();
    Ok(libraries)
}

fn in_image(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Names the content.
fn digest(files: &[Content]) -> String {
    let mut hash = Sha256::new();
    hash.update(DOCKERFILE);
    for file in files {
        hash.update(&file.path);
        hash.update((file.bytes.len() as u64).to_be_bytes());
        hash.update(&file.bytes);
    }
    let hash = hash.finalize();
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

async fn size(engine: &Engine, name: &str) -> Option<u64> {
    let found = engine.docker().inspect_image(name).await.ok()?;
    u64::try_from(found.size?).ok()
}

async fn build(engine: &Engine, name: &str, files: &[Content]) -> Result<()> {
    let options = query::BuildImageOptionsBuilder::default().dockerfile("Dockerfile").t(name);
    let label = HashMap::from([(LABEL.to_owned(), name.to_owned())]);
    let options = options.rm(true).forcerm(true).labels(&label).build();
    let body = bollard::body_full(context(files)?);
    let told = engine.docker().build_image(options, None, Some(body));
    let told: Vec<_> = told.try_collect().await.context("cannot build the image")?;
    match told.into_iter().find_map(|info| info.error_detail) {
        Some(error) => bail!("cannot build the image: {}", error.message.unwrap_or_default()),
        None => Ok(()),
    }
}

/// What the engine builds it of.
fn context(files: &[Content]) -> Result<Bytes> {
    let mut archive = Archive::new();
    archive.file("Dockerfile", DOCKERFILE.as_bytes(), 0o644)?;
    archive.directory("data")?;
    for file in files {
        archive.file(&format!("root/{}", file.path), &file.bytes, 0o755)?;
    }
    archive.finish()
}

/// Removes the images of earlier builds that no container uses.
async fn forget_others(engine: &Engine, name: &str) -> Result<()> {
    let options = query::ListImagesOptionsBuilder::default().filters(&filter("label", LABEL));
    let images = engine.docker().list_images(Some(options.build())).await;
    for tag in images.context("cannot list the images")?.into_iter().flat_map(|it| it.repo_tags) {
        if tag != name && tag.starts_with(REPOSITORY) {
            // One that a container uses stays.
            let options = None::<query::RemoveImageOptions>;
            let _in_use = engine.docker().remove_image(&tag, options, None).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_executable_has_a_loader_if_it_has_libraries() {
        let own = read(&std::env::current_exe().unwrap()).unwrap();
        let libraries = mapped_libraries().unwrap();
        assert_eq!(loader(&own).unwrap().is_some(), !libraries.is_empty());
    }

    #[test]
    fn the_digest_changes_with_the_content() {
        let of =
            |bytes: &[u8]| digest(&[Content { path: "harness".to_owned(), bytes: bytes.to_vec() }]);
        assert_eq!(of(b"a"), of(b"a"));
        assert_ne!(of(b"a"), of(b"b"));
    }
}
