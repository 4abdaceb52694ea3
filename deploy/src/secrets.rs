//! What only replicas may read.

use std::{fmt, fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context as _, Result};

/// Files that every replica finds in the folder which it is told as `--certificates`, by their names. If
/// there are none, it is told of no folder.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// These files, each with what is in it.
    pub fn new(files: impl IntoIterator<Item = (impl Into<String>, String)>) -> Self {
        Self(files.into_iter().map(|(name, text)| (name.into(), text)).collect())
    }

    /// The files, by their names.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the files into a folder, where there were none of these names. Only this user may read them.
    ///
    /// # Errors
    ///
    /// If that folder cannot be made or written to, or has one of them.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let shown = || format!("cannot create {}", folder.display());
        fs::create_dir_all(folder).with_context(shown)?;
        for (name, text) in self.files() {
            let path = folder.join(name);
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Nobody is told what is in them.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_else_reads_them_and_none_is_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let secrets = Secrets::new([("tls.key", "hidden".to_owned())]);
        secrets.write(place.path()).unwrap();
        let file = place.path().join("tls.key");
        assert_eq!(fs::read_to_string(&file).unwrap(), "hidden");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Secrets::new([("tls.key", "other".to_owned())]).write(place.path());
        assert!(again.unwrap_err().to_string().contains("tls.key"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "hidden");
        assert!(!format!("{secrets:?}").contains("hidden"));
    }
}
