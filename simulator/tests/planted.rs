//! Planted faults: protocols and state machines made wrong from outside, to see that the simulator
//! and the checker together notice. Each schedule aims at the moment where the fault shows.

mod common;

use std::{
    hash::Hash,
    marker::PhantomData,
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use bytes::Bytes;
use checker::Verdicts;
use common::{config, judge};
use consensus_core::{
    Ask, Disk, Effect, Event, Index, Input, Outbox, Outcome, Protocol, Record, RequestId, Role,
    SessionId, Status, Time, When, Wire, Write,
    kv::KeyValue,
    session::{Applied, ClientCommand, Sessions},
};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use simulator::{DiskModel, Latency, Machine, SimulationConfig, run, run_on};

/// What is wrong with a protocol.
trait Fault: Clone + Eq + Hash + std::fmt::Debug + Send + 'static {
    /// Answers an input in the protocol's stead, if it does.
    fn instead<P: Protocol>(_inner: &P, _input: &Input<Planted<P, Self>>) -> Option<RequestId> {
        None
    }

    /// What becomes of a batch of writes.
    fn persist<R: Record>(batch: Vec<Write<R>>) -> Vec<Write<R>> {
        batch
    }

    /// When a message leaves.
    fn when(when: When) -> When {
        when
    }
}

/// A protocol with a fault.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Planted<P, F>(P, PhantomData<F>);

impl<P: Protocol, F: Fault> Planted<P, F> {
    fn pass_on(mut inner: Outbox<P>, out: &mut Outbox<Self>) {
        for effect in inner.drain() {
            match effect {
                Effect::Persist(batch) => out.persist(F::persist(batch)),
                Effect::Send { to, message, when } => match F::when(when) {
                    When::Durable => out.send(to, message),
                    When::Now => out.send_now(to, message),
                },
                Effect::Apply { index, epoch, payload, request } => {
                    out.apply(index, epoch, payload, request);
                }
                Effect::Restore(base) => out.restore(base),
                Effect::Reply { request, outcome } => out.reply(request, outcome),
                Effect::SetTimer { timer, within } => out.set_timer(timer, within),
                Effect::CancelTimer(timer) => out.cancel_timer(timer),
                Effect::Note(event) => out.note(event),
            }
        }
    }
}

impl<P: Protocol, F: Fault> Protocol for Planted<P, F> {
    const NAME: &'static str = P::NAME;
    type Message = P::Message;
    type Record = P::Record;
    type Timer = P::Timer;
    type Config = P::Config;

    fn recover(
        config: P::Config,
        incarnation: u64,
        now: Time,
        disk: Disk<P::Record>,
        out: &mut Outbox<Self>,
    ) -> Self {
        let mut effects = Outbox::new();
        let inner = P::recover(config, incarnation, now, disk, &mut effects);
        Self::pass_on(effects, out);
        Self(inner, PhantomData)
    }

    fn step(&mut self, now: Time, input: Input<Self>, out: &mut Outbox<Self>) {
        if let Some(request) = F::instead(&self.0, &input) {
            return out.reply(request, Outcome::Readable);
        }
        let input = match input {
            Input::Receive { from, message } => Input::Receive { from, message },
            Input::Timeout(timer) => Input::Timeout(timer),
            Input::Ask { request, ask } => Input::Ask { request, ask },
        };
        let mut effects = Outbox::new();
        self.0.step(now, input, &mut effects);
        Self::pass_on(effects, out);
    }

    fn flush(&mut self, now: Time, out: &mut Outbox<Self>) {
        let mut effects = Outbox::new();
        self.0.flush(now, &mut effects);
        Self::pass_on(effects, out);
    }

    fn status(&self) -> Status {
        self.0.status()
    }

    fn check(&self) {
        self.0.check();
    }
}

/// Nothing is wrong: what the wrapper itself changes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Nothing;

impl Fault for Nothing {}

/// Acknowledges what is not on disk yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct AcknowledgesBeforeTheSync;

impl Fault for AcknowledgesBeforeTheSync {
    fn when(_when: When) -> When {
        When::Now
    }
}

/// Forgets its term and vote, or its promise: they are not persisted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ForgetsItsVote;

impl Fault for ForgetsItsVote {
    fn persist<R: Record>(batch: Vec<Write<R>>) -> Vec<Write<R>> {
        let state =
            |write: &Write<R>| matches!(write, Write::Put(record) if record.slot().is_none());
        batch.into_iter().filter(|write| !state(write)).collect()
    }
}

/// Reads without asking whether it still leads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ReadsWhileDeposed;

impl Fault for ReadsWhileDeposed {
    fn instead<P: Protocol>(inner: &P, input: &Input<Planted<P, Self>>) -> Option<RequestId> {
        match input {
            Input::Ask { request, ask: Ask::Read(_) } if inner.status().role == Role::Leader => {
                Some(*request)
            }
            _ => None,
        }
    }
}

/// Sessions that remember nothing: a retry is applied again.
#[derive(Default)]
struct AppliesRetriesAgain(Sessions<KeyValue>);

impl Machine for AppliesRetriesAgain {
    fn apply(&mut self, index: Index, command: &Bytes) -> Applied {
        let decoded = ClientCommand::from_bytes(command.clone());
        let Ok(ClientCommand {
            session: session @ 1.., sequence, operation: Some(operation), ..
        }) = decoded
        else {
            return Sessions::apply(&mut self.0, index, command);
        };
        let applied =
            Sessions::apply(&mut self.0, index, &ClientCommand::once(operation).to_bytes());
        Applied { request: Some((SessionId(session), sequence)), ..applied }
    }

    fn skip(&mut self, index: Index) {
        Sessions::skip(&mut self.0, index);
    }

    fn query(&self, query: &Bytes) -> Bytes {
        Machine::query(&self.0, query)
    }

    fn value(&self, key: &str) -> Option<String> {
        Machine::value(&self.0, key)
    }

    fn applied(&self) -> Index {
        Sessions::applied(&self.0)
    }

    fn digest(&self) -> u64 {
        Sessions::digest(&self.0)
    }
}

const LOAD: &str = "nodes = 5\npatience = '5s'\nsettle = '1s'\nwarmup = '500ms'
    load = { rate = 300, keys = 3, reads = 0.5, timeout = '500ms' }\n";

/// Disks so slow that a crash finds something not yet synced.
fn with_slow_disks(config: SimulationConfig) -> SimulationConfig {
    let sync = Latency::Uniform(Duration::from_millis(2)..Duration::from_millis(30));
    SimulationConfig {
        disk: DiskModel { sync, ..DiskModel::default() },
        convergence_within: Duration::from_secs(5),
        ..config
    }
}

fn crash_after(event: &str, target: &str) -> String {
    format!(
        "name = 'aimed'\n{LOAD}[[step]]\nat = {{ after = '{event}', count = 20, plus = '1ms', jitter = '10ms' }}
        for = '300ms'\nfault = {{ kind = 'crash', target = '{target}' }}\nrepeat = {{ times = 5, every = '1s' }}"
    )
}

/// Violations of the clients' or the log's rules.
fn unsafe_log(verdicts: &Verdicts) -> bool {
    let all = [&verdicts.linearizable, &verdicts.log_agreement, &verdicts.no_lost_acks];
    all.iter().any(|verdict| verdict.counterexample().is_some())
}

/// The first of these seeds under which something is noticed: by the checker, or by a replica whose
/// invariants no longer hold.
fn first_noticed(notices: impl Fn(u64) -> bool) -> Option<u64> {
    let judged = |seed| panic::catch_unwind(AssertUnwindSafe(|| notices(seed)));
    (0..30).find(|&seed| judged(seed).unwrap_or(true))
}

/// Asserts that without the planted fault there is nothing to notice.
fn assert_silent(notices: impl Fn(u64) -> bool) {
    assert_eq!((0..4).find(|&seed| notices(seed)), None);
}

#[test]
fn the_wrapper_alone_changes_nothing() {
    let config = with_slow_disks(config(&crash_after("acknowledged", "majority"), 1));
    assert_eq!(run::<Planted<Raft, Nothing>>(&config), run::<Raft>(&config));
    assert_eq!(run::<Planted<MultiPaxos, Nothing>>(&config), run::<MultiPaxos>(&config));
}

#[test]
fn an_acknowledgement_before_the_sync_is_noticed() {
    let schedule = crash_after("acknowledged", "majority");
    let at = |seed| with_slow_disks(config(&schedule, seed));
    type Wrong<P> = Planted<P, AcknowledgesBeforeTheSync>;
    assert!(first_noticed(|seed| unsafe_log(&judge(&run::<Wrong<Raft>>(&at(seed))))).is_some());
    let noticed = first_noticed(|seed| unsafe_log(&judge(&run::<Wrong<MultiPaxos>>(&at(seed)))));
    assert!(noticed.is_some());
    assert_silent(|seed| unsafe_log(&judge(&run::<Raft>(&at(seed)))));
    assert_silent(|seed| unsafe_log(&judge(&run::<MultiPaxos>(&at(seed)))));
}

#[test]
fn a_read_by_a_deposed_leader_is_noticed() {
    let schedule = format!(
        "name = 'deposed'\n{LOAD}[[step]]\nat = {{ after = 'leader-elected', plus = '1s' }}\nfor = '2s'
        fault = {{ kind = 'partition', shape = 'isolate', target = 'leader' }}\nrepeat = {{ times = 3, every = '4s' }}"
    );
    let at = |seed| {
        let mut config = config(&schedule, seed);
        config.settings.check_quorum = false;
        config
    };
    type Wrong<P> = Planted<P, ReadsWhileDeposed>;
    let stale = |verdicts: Verdicts| verdicts.linearizable.counterexample().is_some();
    assert!(first_noticed(|seed| stale(judge(&run::<Wrong<Raft>>(&at(seed))))).is_some());
    assert!(first_noticed(|seed| stale(judge(&run::<Wrong<MultiPaxos>>(&at(seed))))).is_some());
    assert_silent(|seed| stale(judge(&run::<Raft>(&at(seed)))));
    assert_silent(|seed| stale(judge(&run::<MultiPaxos>(&at(seed)))));
}

#[test]
fn a_retry_that_is_applied_again_is_noticed() {
    let schedule = crash_after("acknowledged", "leader");
    let at = |seed| with_slow_disks(config(&schedule, seed));
    let twice = |verdicts: Verdicts| verdicts.exactly_once.counterexample().is_some();
    let raft = |seed| twice(judge(&run_on::<Raft, AppliesRetriesAgain>(&at(seed))));
    let paxos = |seed| twice(judge(&run_on::<MultiPaxos, AppliesRetriesAgain>(&at(seed))));
    assert!(first_noticed(raft).is_some() && first_noticed(paxos).is_some());
}

#[test]
fn a_forgotten_vote_is_noticed() {
    let schedule = format!(
        "name = 'voters'\n{LOAD}[[step]]\nat = {{ after = 'voted', count = 2, plus = '0ms', jitter = '3ms' }}
        for = '20ms'\nfault = {{ kind = 'crash', target = 'majority' }}\nrepeat = {{ times = 8, every = '300ms' }}\n
        [[step]]\nid = 'provoke'\nat = {{ after = 'leader-elected', plus = '300ms' }}\nfor = '400ms'
        fault = {{ kind = 'crash', target = 'leader' }}\nrepeat = {{ times = 8, every = '500ms' }}"
    );
    let at = |seed| {
        let mut config = with_slow_disks(config(&schedule, seed));
        config.settings.pre_vote = false;
        config
    };
    type Wrong<P> = Planted<P, ForgetsItsVote>;
    let two_leaders = |recording: &simulator::Recording| {
        let verdicts = judge(recording);
        verdicts.election_safety.counterexample().is_some() || unsafe_log(&verdicts)
    };
    assert!(first_noticed(|seed| two_leaders(&run::<Wrong<Raft>>(&at(seed)))).is_some());
    assert!(first_noticed(|seed| two_leaders(&run::<Wrong<MultiPaxos>>(&at(seed)))).is_some());
    assert_silent(|seed| two_leaders(&run::<Raft>(&at(seed))));
    assert_silent(|seed| two_leaders(&run::<MultiPaxos>(&at(seed))));
}

/// The names that the events have in schedules are those that these tests aim at.
#[test]
fn the_aim_is_true() {
    let config = with_slow_disks(config(&crash_after("acknowledged", "leader"), 1));
    let recording = run::<Raft>(&config);
    let begun = recording.resolved.trials.iter().filter(|trial| trial.began.is_some()).count();
    assert_eq!(begun, 5, "{:#?}", recording.resolved.trials);
    let campaigns = recording.observed.iter();
    assert!(campaigns.filter(|o| matches!(o.event, Event::Campaigning { .. })).count() >= 5);
}
