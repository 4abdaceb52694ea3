//! The client's side: takes each request to the leader, and says honestly what became of it.
//!
//! Where to ask is decided per try: the leader that a replica named last, else the one that gossip
//! names, else the next replica in turn; [`breaker`]s keep it from asking those that do not answer.
//! Between tries it backs off, with jitter. A change that is numbered in a session ([`sessions`]) is
//! tried until the deadline, for no number of copies applies it twice. One that is not is tried only
//! as long as it was certainly not done.

pub mod breaker;
mod router;
pub mod sessions;

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use consensus_core::{
    Change, Consistency, NodeId, SessionId, Validate as _,
    history::{self, Outcome},
    kv::Operation,
};
use tokio::time::{Instant, sleep};

use crate::http::{
    api::{Call, Numbered, Reason, Refused, Reply},
    exchange::{Exchanged, exchange, http_client, members},
    members::Members,
};
use router::{Router, Target};
use sessions::{Lease, Sessions};

/// How a client behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientOptions {
    /// How long a request may take, all tries included.
    pub deadline: Duration,
    /// How long one try may take: a replica that hangs is left for another one then.
    pub attempt: Duration,
    /// Whether changes are numbered in sessions.
    pub sessions: SessionUse,
    /// The first pause between two tries; it doubles, with jitter, up to `longest_pause`.
    pub shortest_pause: Duration,
    /// The longest pause between two tries.
    pub longest_pause: Duration,
}

/// Whether changes are numbered in sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionUse {
    /// They are: a change is tried again until the deadline, and applied at most once.
    Pooled,
    /// They are not: a change whose answer is lost stays unknown.
    None,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            attempt: Duration::from_millis(500),
            sessions: SessionUse::Pooled,
            shortest_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(100),
        }
    }
}

/// A client of one cluster, for any number of requests at once. It is shared by reference.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    options: ClientOptions,
    router: Router,
    sessions: Sessions,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Performed {
    /// The session in which a change was numbered; zero for none.
    pub session: SessionId,
    /// The change's number; zero for none.
    pub sequence: u64,
    /// Who answered last, if anybody did.
    pub replica: Option<NodeId>,
    /// How many tries it took.
    pub attempts: u32,
    /// What came of it.
    pub outcome: Outcome,
}

/// [`Performed`], without the outcome.
pub(crate) struct Told {
    session: SessionId,
    sequence: u64,
    replica: Option<NodeId>,
    pub(crate) attempts: u32,
}

/// A request under way.
struct Progress {
    until: Instant,
    pauses: ExponentialBackoff,
    attempts: u32,
    replica: Option<NodeId>,
    /// Why an earlier try may have been done.
    doubt: Option<String>,
    /// Why the last try was not done, as far as anybody said.
    refusal: Option<String>,
}

impl Progress {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What is to be told of the request beside its reply.
    fn told(&self, numbered: Option<Numbered>) -> Told {
        Told {
            session: numbered.map_or(SessionId(0), |numbered| numbered.session),
            sequence: numbered.map_or(0, |numbered| numbered.sequence),
            replica: self.replica,
            attempts: self.attempts,
        }
    }
}

impl Client {
    /// A client that knows these replicas, by their client addresses (`host:port`). More may be
    /// [located](Self::locate) later.
    ///
    /// # Errors
    ///
    /// If the operating system does not allow an HTTP client.
    pub fn new(
        replicas: impl IntoIterator<Item = (NodeId, String)>,
        options: ClientOptions,
    ) -> Result<Self, reqwest::Error> {
        let router = Router::default();
        for (node, address) in replicas {
            router.locate(node, &address);
        }
        Ok(Self { http: http_client()?, options, router, sessions: Sessions::default() })
    }

    /// Learns where a replica is.
    pub fn locate(&self, node: NodeId, address: &str) {
        self.router.locate(node, address);
    }

    /// Learns from gossip who leads. What a replica said of itself counts for more.
    pub fn suggest_leader(&self, node: NodeId) {
        self.router.suggest(node);
    }

    /// Who leads, as far as the client knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.router.leader()
    }

    /// Asks for one thing, as a history records it.
    pub async fn perform(&self, key: &str, call: &history::Call) -> Performed {
        self.perform_within(key, call, self.options.deadline).await
    }

    /// Reads a key with this promise. What any replica serves is asked of any, in turn; the rest of
    /// whoever leads.
    pub async fn read(&self, key: &str, consistency: Consistency) -> Performed {
        let call = Call::Read { key: key.to_owned().into(), consistency };
        let (reply, told) = self.send(&call, None, self.options.deadline).await;
        let Told { session, sequence, replica, attempts } = told;
        Performed { session, sequence, replica, attempts, outcome: reply.into() }
    }

    /// Asks for one thing, with a deadline of its own.
    pub async fn perform_within(
        &self,
        key: &str,
        call: &history::Call,
        deadline: Duration,
    ) -> Performed {
        let key = key.to_owned();
        let call = match call.clone() {
            history::Call::Get => {
                Call::Read { key: key.into(), consistency: Consistency::Linearizable }
            }
            history::Call::Put(value) => Call::Change(Operation::put(key, value)),
            history::Call::Delete => Call::Change(Operation::delete(key)),
            history::Call::CompareAndSwap { expected, value } => {
                let expected = expected.map(Into::into);
                Call::Change(Operation::compare_and_swap(key, expected, value))
            }
            history::Call::TestAndSet(value) => Call::Change(Operation::test_and_set(key, value)),
        };
        let (reply, told) = self.send(&call, None, deadline).await;
        let Told { session, sequence, replica, attempts } = told;
        Performed { session, sequence, replica, attempts, outcome: reply.into() }
    }

    /// Changes the members; answered once the whole change is committed, or by the deadline.
    pub async fn reconfigure(&self, change: Change, deadline: Duration) -> Reply {
        self.send(&Call::Reconfigure(change), None, deadline).await.0
    }

    /// Hands leadership over, to this node or to whichever is best; answered once another leads, or
    /// by the deadline.
    pub async fn transfer(&self, to: Option<NodeId>, deadline: Duration) -> Reply {
        self.send(&Call::Transfer(to), None, deadline).await.0
    }

    /// Who the members are, as the replica that is believed to lead knows it, or else another;
    /// `None` if nobody says.
    pub async fn members(&self) -> Option<Members> {
        let until = Instant::now() + self.options.deadline;
        let mut last = None;
        while Instant::now() < until {
            let target = self.router.pick(last)?;
            let members = members(&self.http, &target.address, self.options.attempt);
            if let Some(members) = members.await {
                return Some(members);
            }
            last = Some(target.node);
            sleep(self.options.longest_pause).await;
        }
        None
    }

    /// Sends a call, in the caller's own session if it has one, and returns the reply as it came.
    pub(crate) async fn send(
        &self,
        call: &Call,
        numbered: Option<Numbered>,
        deadline: Duration,
    ) -> (Reply, Told) {
        let mut progress = Progress {
            until: Instant::now() + deadline,
            pauses: self.pauses(),
            attempts: 0,
            replica: None,
            doubt: None,
            refusal: None,
        };
        if let Call::Change(operation) = call
            && let Err(error) = operation.validate()
        {
            let refused = Refused::new(Reason::Malformed, error.to_string());
            return (Reply::Refused(refused), progress.told(None));
        }
        let pooled = self.options.sessions == SessionUse::Pooled && numbered.is_none();
        let (reply, numbered) = match call {
            Call::Change(_) if pooled => self.in_session(call, &mut progress).await,
            _ => (self.try_until_done(call, numbered, &mut progress).await, numbered),
        };
        (reply, progress.told(numbered))
    }

    fn pauses(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.options.shortest_pause)
            .with_max_delay(self.options.longest_pause)
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// Numbers a change in a session of the pool. A session that turns out to be forgotten is
    /// replaced, unless an earlier try may have been done in it.
    async fn in_session(&self, call: &Call, progress: &mut Progress) -> (Reply, Option<Numbered>) {
        loop {
            let lease = match self.lease(progress).await {
                Ok(lease) => lease,
                Err(reply) => return (reply, None),
            };
            let numbered = Some(lease.numbered());
            let reply = self.try_until_done(call, numbered, progress).await;
            match &reply {
                Reply::Refused(Refused { reason: Reason::UnknownSession, .. }) => {
                    lease.discard_session();
                    if progress.left().is_zero() {
                        return (reply, numbered);
                    }
                }
                _ => return (reply, numbered),
            }
        }
    }

    /// Takes a number in a session, which is opened if there is none with room.
    async fn lease(&self, progress: &mut Progress) -> Result<Lease<'_>, Reply> {
        if let Some(lease) = self.sessions.lease() {
            return Ok(lease);
        }
        // One opens, the others wait for it.
        let _opening = self.sessions.opening().await;
        if let Some(lease) = self.sessions.lease() {
            return Ok(lease);
        }
        match self.try_until_done(&Call::OpenSession, None, progress).await {
            Reply::Opened(session) => Ok(self.sessions.opened(session)),
            Reply::Refused(refused) => Err(Reply::Refused(refused)),
            // An opened session that nobody heard of is no change of any key.
            Reply::Unknown(why) => Err(Reply::Refused(Refused::new(Reason::Unavailable, why))),
            Reply::Done(_) => Err(Reply::Refused(Refused::new(
                Reason::Malformed,
                "a change was answered where a session was to be opened",
            ))),
        }
    }

    async fn try_until_done(
        &self,
        call: &Call,
        numbered: Option<Numbered>,
        progress: &mut Progress,
    ) -> Reply {
        // A session that nobody heard of does no harm; a change of the members that was done
        // already would be refused the second time.
        let repeatable =
            numbered.is_some() || matches!(call, Call::Read { .. } | Call::OpenSession);
        let mut last = None;
        loop {
            let target = match call.is_served_anywhere() {
                true => self.router.pick_anybody(last),
                false => self.router.pick(last),
            };
            let Some(target) = target.filter(|_| !progress.left().is_zero()) else {
                return self.give_up(call, progress);
            };
            last = Some(target.node);
            let exchanged = self.attempt(&target, call, numbered, progress).await;
            let named_another = exchanged.leader.is_some_and(|leader| leader != target.node);
            match exchanged.reply {
                Reply::Unknown(why) if !repeatable => return Reply::Unknown(why),
                Reply::Unknown(why) => progress.doubt = Some(why),
                Reply::Refused(refused) if !refused.reason.is_passing() => {
                    return settle(refused, progress);
                }
                Reply::Refused(refused) if progress.left().is_zero() => {
                    return settle(refused, progress);
                }
                Reply::Refused(refused) => progress.refusal = Some(refused.error),
                done => return done,
            }
            // A replica that knows better is worth no pause, once.
            if !(named_another && progress.attempts == 1) {
                let pause = progress.pauses.next().unwrap_or(self.options.longest_pause);
                sleep(pause.min(progress.left())).await;
            }
        }
    }

    async fn attempt(
        &self,
        target: &Target,
        call: &Call,
        numbered: Option<Numbered>,
        progress: &mut Progress,
    ) -> Exchanged {
        progress.attempts += 1;
        let deadline = match call.is_administrative() {
            true => progress.left(),
            false => progress.left().min(self.options.attempt),
        };
        let exchanged = exchange(&self.http, &target.address, call, numbered, deadline, 0).await;
        match call.is_served_anywhere() {
            true => self.router.learn_behaviour(target.node, exchanged.server),
            false => self.router.learn(target.node, &exchanged),
        }
        if exchanged.server == crate::http::exchange::Server::Answered {
            progress.replica = Some(target.node);
        }
        exchanged
    }

    fn give_up(&self, call: &Call, progress: &Progress) -> Reply {
        let why = match (progress.attempts, &progress.refusal) {
            (0, _) if self.router.pick(None).is_none() => "no replica is known".to_owned(),
            (0, _) => "no session could be opened in time".to_owned(),
            (attempts, Some(why)) => {
                format!("{why}; nobody else did it in time, in {attempts} tries")
            }
            (attempts, None) => format!("no answer in time, in {attempts} tries"),
        };
        match (call, &progress.doubt) {
            (call, Some(doubt)) if !call.is_read() => Reply::Unknown(doubt.clone()),
            _ => Reply::Refused(Refused::new(Reason::TooLate, why)),
        }
    }
}

/// A refusal ends a request, but not the doubt about its earlier tries.
fn settle(refused: Refused, progress: &Progress) -> Reply {
    match &progress.doubt {
        Some(doubt) => Reply::Unknown(format!("{doubt}; then: {}", refused.error)),
        None => Reply::Refused(refused),
    }
}
