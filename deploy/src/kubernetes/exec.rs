//! Errands into pods: the executable that is there, started once more beside the replica.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    time::timeout,
};

use super::agent::{self, Errand};

/// How long a short errand may take.
const ERRAND_LIMIT: Duration = Duration::from_secs(20);

/// How much of what comes out is on its way, in bytes.
const BUFFER: usize = 256 << 10;

/// The most that a short errand says, in bytes.
const MOST_SAID: u64 = 64 << 10;

/// A moment before somebody was sent: what they say of the time is later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    clock: u64,
}

impl Sent {
    pub fn now() -> Self {
        Self { clock: agent::now() }
    }

    /// When that was by this process's clock, if the clock that it was read from is this machine's.
    pub fn moment(self, nanos: u64) -> Option<Instant> {
        let now = agent::now();
        let ago = Duration::from_nanos(now.checked_sub(nanos)?);
        (nanos >= self.clock).then(|| Instant::now().checked_sub(ago)).flatten()
    }
}

/// Sends somebody, and says when the errand was done: by their clock if it is this machine's, else when
/// it was heard of.
pub(super) async fn send(pods: &Api<Pod>, pod: &str, errand: Errand) -> Result<Instant> {
    let (sent, nanos) = ask(pods, pod, errand).await?;
    Ok(sent.moment(nanos).unwrap_or_else(Instant::now))
}

/// Whether the clock in a pod is this machine's.
pub(super) async fn shares_clock(pods: &Api<Pod>, pod: &str) -> Result<bool> {
    let (sent, nanos) = ask(pods, pod, Errand::Clock).await?;
    Ok(sent.moment(nanos).is_some())
}

async fn ask(pods: &Api<Pod>, pod: &str, errand: Errand) -> Result<(Sent, u64)> {
    let why = || format!("the pod {pod} does not do what it is told ({errand:?})");
    let sent = Sent::now();
    let done = async {
        let mut process = start(pods, pod, errand).await?;
        let (said, complaints) = hear(&mut process).await?;
        // With a replica that is killed, whoever killed it ends: what they said first is what counts.
        match said.lines().next().and_then(|line| line.trim().parse().ok()) {
            Some(nanos) if errand == Errand::Kill => Ok(nanos),
            nanos => {
                succeed(&mut process, &complaints).await?;
                nanos.ok_or_else(|| anyhow!("it says '{}'", said.trim()))
            }
        }
    };
    let done =
        timeout(ERRAND_LIMIT, done).await.map_err(|_| anyhow!("not within {ERRAND_LIMIT:?}"));
    let nanos = done.and_then(|done| done).with_context(why)?;
    Ok((sent, nanos))
}

/// Sends somebody who hands over an archive.
pub(super) async fn receive(
    pods: &Api<Pod>,
    pod: &str,
    errand: Errand,
    into: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    let mut process = start(pods, pod, errand).await?;
    let (mut output, mut errors) = ends(&mut process)?;
    let mut complaints = Vec::new();
    let (copied, _) =
        tokio::join!(tokio::io::copy(&mut output, into), errors.read_to_end(&mut complaints),);
    copied.context("what it hands over is lost")?;
    succeed(&mut process, &String::from_utf8_lossy(&complaints)).await
}

async fn start(pods: &Api<Pod>, pod: &str, errand: Errand) -> Result<AttachedProcess> {
    let how = AttachParams { max_stdout_buf_size: Some(BUFFER), ..AttachParams::default() };
    let started = pods.exec(pod, agent::words(errand), &how).await;
    started.with_context(|| format!("nothing can be started in the pod {pod}"))
}

type End = Box<dyn AsyncRead + Send + Unpin>;

/// What comes out, and what is complained of.
fn ends(process: &mut AttachedProcess) -> Result<(End, End)> {
    let output = process.stdout().context("it was asked for its output")?;
    let errors = process.stderr().context("it was asked for its errors")?;
    Ok((Box::new(output), Box::new(errors)))
}

async fn hear(process: &mut AttachedProcess) -> Result<(String, String)> {
    let (output, errors) = ends(process)?;
    let (mut said, mut complaints) = (Vec::new(), Vec::new());
    let (mut output, mut errors) = (output.take(MOST_SAID), errors.take(MOST_SAID));
    let (heard, also) =
        tokio::join!(output.read_to_end(&mut said), errors.read_to_end(&mut complaints));
    heard.and(also).context("what it says is lost")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((text(said), text(complaints)))
}

/// Whether it came to a good end.
async fn succeed(process: &mut AttachedProcess, complaints: &str) -> Result<()> {
    let status = process.take_status().context("its end was asked for once")?;
    match status.await {
        Some(Status { status: Some(how), .. }) if how == "Success" => Ok(()),
        Some(Status { message, .. }) => {
            let message = message.unwrap_or_else(|| "it failed".to_owned());
            bail!("{message}: {}", complaints.trim())
        }
        None => bail!("how it ended is lost: {}", complaints.trim()),
    }
}
