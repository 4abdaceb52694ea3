//! One life of a container: from its start until it ends.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, anyhow};
use bollard::query_parameters as query;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout, timeout_at},
};

use super::{
    CLIENT_PORT, GOSSIP_PORT, PEER_PORT,
    engine::{Engine, done},
};
use crate::site::{Addresses, Exit, LogTail, Part, Unit};

/// How soon it is looked again whether somebody listens who has just been started.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long one look may take: a network that is being made does not answer at all.
const LOOK_LIMIT: Duration = Duration::from_millis(100);

/// How many of the last lines of a container's log are shown.
const TAIL_LINES: &str = "12";

/// A container that was told to start, with whatever has become of it.
#[derive(Debug)]
pub struct DockerUnit {
    engine: Engine,
    part: Part,
    name: String,
    address: Ipv4Addr,
    log: PathBuf,
    state: watch::Receiver<State>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Starting,
    Running,
    Listening,
    Ended(End),
}

/// The end of a life.
#[derive(Clone, PartialEq, Eq, Debug)]
struct End {
    at: Instant,
    how: String,
    last_words: Vec<String>,
}

impl DockerUnit {
    /// Starts a container once this is done, and follows it to its end. Returns at once.
    pub(crate) fn start(
        engine: &Engine,
        part: Part,
        (name, address): (String, Ipv4Addr),
        log: PathBuf,
        first: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Self {
        let (teller, state) = watch::channel(State::Starting);
        let life = Life { engine: engine.clone(), name: name.clone(), address, teller };
        tokio::spawn(life.live(first));
        Self { engine: engine.clone(), part, name, address, log, state }
    }

    /// Waits until its process runs, or ran: before, it cannot be hurt.
    async fn begun(&mut self) -> Result<()> {
        let begun = self.state.wait_for(|state| *state != State::Starting).await;
        begun.map(|_| ()).with_context(|| format!("nobody follows the container {}", self.name))
    }

    async fn signal(&mut self, signal: &str) -> Result<()> {
        self.begun().await?;
        let options = query::KillContainerOptionsBuilder::default().signal(signal).build();
        let sent = self.engine.docker().kill_container(&self.name, Some(options)).await;
        done(sent).with_context(|| format!("cannot send {signal} to the container {}", self.name))
    }

    async fn end(&mut self) -> Result<End> {
        let ended = self.state.wait_for(|state| matches!(state, State::Ended(_))).await;
        let ended = ended.with_context(|| format!("nobody follows the container {}", self.name))?;
        match &*ended {
            State::Ended(end) => Ok(end.clone()),
            _ => unreachable!("it was waited for"),
        }
    }
}

impl Unit for DockerUnit {
    async fn addresses(&mut self) -> Result<Option<Addresses>> {
        let listens = *self.state.borrow() == State::Listening;
        let at = |port| SocketAddr::from((self.address, port));
        Ok(listens.then(|| Addresses {
            client: at(CLIENT_PORT),
            peer: matches!(self.part, Part::Replica(_)).then(|| at(PEER_PORT)),
            gossip: at(GOSSIP_PORT),
            forwarded: None,
        }))
    }

    async fn kill(&mut self) -> Result<Instant> {
        self.signal("SIGKILL").await?;
        Ok(self.end().await?.at)
    }

    async fn terminate(&mut self) -> Result<()> {
        self.signal("SIGTERM").await
    }

    async fn end_by(&mut self, patience: Instant) -> Result<()> {
        if timeout_at(patience.into(), self.end()).await.is_err() {
            self.kill().await?;
        }
        Ok(())
    }

    async fn pause(&mut self) -> Result<()> {
        self.begun().await?;
        let paused = self.engine.docker().pause_container(&self.name).await;
        done(paused).with_context(|| format!("cannot pause the container {}", self.name))
    }

    async fn resume(&mut self) -> Result<()> {
        let resumed = self.engine.docker().unpause_container(&self.name).await;
        done(resumed).with_context(|| format!("cannot resume the container {}", self.name))
    }

    fn exit(&mut self) -> Option<Exit> {
        match &*self.state.borrow() {
            State::Ended(end) => Some(Exit {
                part: self.part,
                how: end.how.clone(),
                log: LogTail { path: self.log.clone(), lines: end.last_words.clone() },
            }),
            _ => None,
        }
    }
}

/// Who follows a container.
struct Life {
    engine: Engine,
    name: String,
    address: Ipv4Addr,
    teller: watch::Sender<State>,
}

impl Life {
    async fn live(self, first: impl Future<Output = Result<()>>) {
        let end = match self.begin(first).await {
            Err(error) => End {
                at: Instant::now(),
                how: format!("it could not be started: {error:#}"),
                last_words: Vec::new(),
            },
            Ok(()) => {
                self.teller.send_replace(State::Running);
                let listening = async {
                    self.listens().await;
                    self.teller.send_replace(State::Listening);
                    std::future::pending().await
                };
                tokio::select! {
                    end = self.ends() => end,
                    never = listening => never,
                }
            }
        };
        self.teller.send_replace(State::Ended(end));
    }

    async fn begin(&self, first: impl Future<Output = Result<()>>) -> Result<()> {
        first.await?;
        let started = self.engine.docker().start_container(&self.name, None).await;
        started.with_context(|| format!("cannot start the container {}", self.name))
    }

    /// Waits until somebody takes connections there.
    async fn listens(&self) {
        let at = SocketAddr::from((self.address, CLIENT_PORT));
        while !timeout(LOOK_LIMIT, TcpStream::connect(at)).await.is_ok_and(|it| it.is_ok()) {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until its process has ended.
    async fn ends(&self) -> End {
        let mut waiting = self.engine.docker().wait_container(&self.name, None);
        // How it ended is looked up below, in whichever way this says that it did.
        let _ended = waiting.next().await;
        let (at, how) = match self.look_up().await {
            Ok(found) => found,
            Err(error) => (Instant::now(), format!("{error:#}")),
        };
        End { at, how, last_words: self.last_words().await }
    }

    /// When and how its process ended, as the engine noted it.
    async fn look_up(&self) -> Result<(Instant, String)> {
        let found = self.engine.docker().inspect_container(&self.name, None).await;
        let found = found.context("the engine does not know how it ended")?;
        let state = found.state.ok_or_else(|| anyhow!("the engine does not say how it ended"))?;
        let code = state.exit_code.unwrap_or_default();
        let how = match state.oom_killed {
            Some(true) => "it used more memory than it may".to_owned(),
            _ => format!("exit status: {code}"),
        };
        let finished: Option<jiff::Timestamp> = state.finished_at.and_then(|at| at.parse().ok());
        let finished = finished.ok_or_else(|| anyhow!("the engine does not say when it ended"))?;
        Ok((monotonic(finished.into()), how))
    }

    async fn last_words(&self) -> Vec<String> {
        let options = query::LogsOptionsBuilder::default().stdout(true).stderr(true);
        let logs = self.engine.docker().logs(&self.name, Some(options.tail(TAIL_LINES).build()));
        let lines: Result<Vec<_>, _> = logs.map_ok(|line| line.to_string()).try_collect().await;
        let lines = lines.unwrap_or_else(|error| vec![format!("(cannot be read: {error})")]);
        lines.concat().lines().map(str::to_owned).collect()
    }
}

/// The monotonic clock at a moment of the wall clock that has just passed.
fn monotonic(at: SystemTime) -> Instant {
    let (wall, now) = (SystemTime::now(), Instant::now());
    let ago = wall.duration_since(at).unwrap_or_default();
    now.checked_sub(ago).unwrap_or(now)
}
