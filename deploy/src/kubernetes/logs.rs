//! What pods say, kept while they say it: with a deleted pod its log is gone.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{AsyncReadExt as _, io::AsyncBufRead};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};
use tokio::{fs::OpenOptions, io::AsyncWriteExt as _, task::JoinSet, time::timeout};

use super::host_name;
use crate::site::Part;

/// How long the end of a log is waited for, when whoever wrote it has ended.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Where logs are kept, and those that are being written.
#[derive(Clone, Debug)]
pub(super) struct Logs {
    folder: Option<PathBuf>,
    following: Arc<Mutex<JoinSet<()>>>,
}

impl Logs {
    /// Keeps logs in this folder, or none.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, following: Arc::default() }
    }

    /// Where logs are kept, if they are.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The log of a part, in all its lives.
    pub fn path(&self, part: Part) -> PathBuf {
        let folder = self.folder.as_deref().unwrap_or_else(|| Path::new("logs"));
        folder.join(format!("{}.log", host_name(part)))
    }

    /// Appends what this pod says from its beginning to its end.
    pub fn follow(&self, pods: &Api<Pod>, pod: &str, part: Part) {
        if self.folder.is_none() {
            return;
        }
        let (pods, pod, path) = (pods.clone(), pod.to_owned(), self.path(part));
        let mut following = self.following.lock().expect("nobody panics while holding it");
        following.spawn(async move {
            let how = LogParams { follow: true, ..LogParams::default() };
            // What is lost of a log is no reason to end what it is about.
            if let Ok(lines) = pods.log_stream(&pod, &how).await {
                let _lost = keep(lines, &path).await;
            }
        });
    }

    /// Waits for the ends of the logs of those who have ended.
    pub async fn settle(&self) {
        let mut following = {
            let mut all = self.following.lock().expect("nobody panics while holding it");
            std::mem::take(&mut *all)
        };
        let _late =
            timeout(END_LIMIT, async { while following.join_next().await.is_some() {} }).await;
    }
}

async fn keep(lines: impl AsyncBufRead, path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path).await?;
    let mut lines = std::pin::pin!(lines);
    let mut piece = vec![0; 16 << 10];
    loop {
        let length = lines.read(&mut piece).await?;
        if length == 0 {
            return file.flush().await;
        }
        file.write_all(&piece[..length]).await?;
        file.flush().await?;
    }
}
