//! Whether a cluster's network keeps to policies, and how soon: tried before anything is measured.
//!
//! Replicas talk over connections that last. Whether a new policy concerns those that are there already,
//! every network plugin decides for itself: some look at new connections only, some at no policy at all.
//! So one pod talks to another, both are told apart by a policy, and it is seen whether they go on.

use std::{
    io::{self, Read as _, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use faults::LinkRules;
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, api::DeleteParams};
use serde_json::json;
use tokio::time::{timeout, timeout_at};

use super::{KubernetesSite, clients, policies::Policies};
use crate::pipe::Pipe;

/// Where the one listens that is called.
const PORT: u16 = 7400;

/// How often the other says something.
const EVERY: Duration = Duration::from_millis(20);

/// How long the two may take until they talk.
const TALK_LIMIT: Duration = Duration::from_secs(30);

/// Whoever was not answered for so long is cut off.
const SILENCE: Duration = Duration::from_secs(1);

/// How long a network may take until it keeps to a policy.
const ENFORCED_LIMIT: Duration = Duration::from_secs(15);

/// The Job of the one that is called.
const EAR: &str = "canary-ear";

/// The Job of the one that calls.
const VOICE: &str = "canary-voice";

/// Has one pod talk to another until a policy forbids it, and says how long the network took to keep to it.
pub(super) async fn time_to_enforce(site: &KubernetesSite) -> Result<Duration> {
    let mut answers = conversation(site).await?;
    let mut policies = Policies::new(site.client(), site.namespace());
    policies.forbid(VOICE, EAR).await?;
    let took = silenced(&mut answers).await?;
    policies.set(&LinkRules::default()).await?;
    let jobs = Api::<Job>::namespaced(site.client().clone(), site.namespace());
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() };
    for job in [EAR, VOICE] {
        jobs.delete(job, &at_once).await.with_context(|| format!("cannot delete the Job {job}"))?;
    }
    Ok(took)
}

/// Starts the two, and returns once one has heard the other.
async fn conversation(site: &KubernetesSite) -> Result<Pipe> {
    let ear = site.send(EAR, "canary", &["pod", "listen"], json!({})).await?;
    let at = SocketAddr::from((site.pods.address(&ear).context("it runs, so it has one")?, PORT));
    let stdin = json!({ "container": { "stdin": true, "stdinOnce": true } });
    let words = ["pod", "call", "--to", &at.to_string()];
    let voice = site.send(VOICE, "canary", &words, stdin).await?;
    let mut pipe = clients::attach(site.pods.api(), &voice).await?;
    let heard = timeout(TALK_LIMIT, answer(&mut pipe)).await;
    heard
        .with_context(|| format!("two pods cannot talk, with no policy, for {TALK_LIMIT:?}"))??;
    Ok(pipe)
}

/// Waits until no answer comes any more, and says after how long the last one came.
async fn silenced(answers: &mut Pipe) -> Result<Duration> {
    let forbidden = Instant::now();
    let mut last = forbidden;
    while let Ok(heard) = timeout_at((last + SILENCE).into(), answer(answers)).await {
        heard?;
        last = Instant::now();
        if last.duration_since(forbidden) > ENFORCED_LIMIT {
            bail!(
                "two pods go on talking, {ENFORCED_LIMIT:?} after a NetworkPolicy forbade it: this \
                 cluster's network keeps to none, or to none for connections that are there already \
                 (Calico and Antrea leave those alone, OVN cuts them); without --cut network, the link \
                 shim cuts"
            );
        }
    }
    Ok(last.duration_since(forbidden))
}

/// The next answer that the caller heard.
async fn answer(answers: &mut Pipe) -> Result<()> {
    let heard = answers.output.next().await.context("the pod that calls has ended")?;
    heard.map(|_| ())
}

/// In a pod: answers whoever calls, byte by byte.
pub fn listen() -> io::Result<()> {
    let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT))?;
    loop {
        let (mut caller, _) = listener.accept()?;
        let mut byte = [0];
        // Whoever hangs up may call again.
        while caller.read_exact(&mut byte).and_then(|()| caller.write_all(&byte)).is_ok() {}
    }
}

/// In a pod: calls somebody, and goes on saying something over that one connection; says so whenever it
/// was answered.
pub fn call(to: SocketAddr) -> io::Result<()> {
    let mut connection = loop {
        match TcpStream::connect(to) {
            Ok(connection) => break connection,
            Err(_not_there_yet) => thread::sleep(EVERY),
        }
    };
    connection.set_nodelay(true)?;
    let mut byte = [0];
    loop {
        connection.write_all(&byte)?;
        connection.read_exact(&mut byte)?;
        let mut said = io::stdout();
        writeln!(said, "answered").and_then(|()| said.flush())?;
        thread::sleep(EVERY);
    }
}
