//! The link shim of this replica, and the line on which delayed messages wait.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use bytes::Bytes;
use consensus_core::{NodeId, Time};
use faults::{Channel, LinkRules, LinkShim, links};

use crate::clock;

/// How many messages may wait; beyond, they are lost.
const MAX_DELAYED: usize = 1 << 17;

/// Everything that goes to or comes from another replica passes here, above the socket and below
/// the protocol.
#[derive(Debug)]
pub struct Links {
    shim: Mutex<LinkShim>,
    delayed: Arc<DelayLine>,
}

impl Links {
    /// This replica's links, faulty from the first packet on if rules are given.
    pub fn new(node: NodeId, rules: Option<&LinkRules>) -> Self {
        let mut shim = LinkShim::new(node);
        if let Some(rules) = rules {
            shim.install(rules, clock::now());
        }
        Self { shim: Mutex::new(shim), delayed: Arc::default() }
    }

    /// Puts these rules in the place of all earlier ones.
    pub fn install(&self, rules: &LinkRules) {
        self.shim().install(rules, clock::now());
    }

    /// What the shim did so far.
    pub fn counters(&self) -> links::Counters {
        *self.shim().counters()
    }

    /// Whether a message from this replica may come in.
    pub fn admits(&self, from: NodeId, channel: Channel) -> bool {
        self.shim().admits(clock::now(), from, channel)
    }

    /// Sends a message the way the rules want it: hands each copy that is not lost to `deliver`, at
    /// once or later.
    pub fn send<D>(&self, to: NodeId, channel: Channel, bytes: Bytes, deliver: D)
    where
        D: Fn(Bytes) + Clone + Send + 'static,
    {
        let now = clock::now();
        let deliveries = self.shim().send(now, to, channel, bytes);
        for delivery in deliveries {
            if delivery.after.is_zero() {
                deliver(delivery.bytes);
            } else {
                let deliver = deliver.clone();
                let action = Box::new(move || deliver(delivery.bytes));
                DelayLine::push(&self.delayed, now + delivery.after, action);
            }
        }
    }

    fn shim(&self) -> MutexGuard<'_, LinkShim> {
        self.shim.lock().expect("nobody panics while holding the shim")
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.delayed.close();
    }
}

type Action = Box<dyn FnOnce() + Send>;

/// Messages that wait for their time, each in its place: those due at one instant keep their order.
/// The thread that watches the clock is started by the first of them.
#[derive(Default)]
struct DelayLine {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    actions: BTreeMap<(Time, u64), Action>,
    count: u64,
    thread: Thread,
}

#[derive(Default, PartialEq, Eq)]
enum Thread {
    #[default]
    None,
    Running,
    Closed,
}

impl DelayLine {
    fn push(line: &Arc<Self>, at: Time, action: Action) {
        let mut waiting = line.lock();
        if waiting.actions.len() >= MAX_DELAYED || waiting.thread == Thread::Closed {
            return;
        }
        let number = waiting.count;
        waiting.count += 1;
        waiting.actions.insert((at, number), action);
        if waiting.thread == Thread::None {
            let line = Arc::clone(line);
            let started = thread::Builder::new().name("links".into()).spawn(move || line.run());
            match started {
                Ok(_) => waiting.thread = Thread::Running,
                Err(error) => tracing::warn!(%error, "cannot delay messages: they are lost"),
            }
        }
        drop(waiting);
        line.changed.notify_one();
    }

    fn run(&self) {
        let mut waiting = self.lock();
        while waiting.thread != Thread::Closed {
            let now = clock::now();
            match waiting.actions.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let action = first.remove();
                    drop(waiting);
                    action();
                    waiting = self.lock();
                }
                first => {
                    let next = first.map(|first| first.key().0.since(now));
                    let patience = next.unwrap_or(Duration::from_secs(3_600));
                    let woken = self.changed.wait_timeout(waiting, patience);
                    waiting = woken.expect("nobody panics while holding the line").0;
                }
            }
        }
    }

    fn close(&self) {
        self.lock().thread = Thread::Closed;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nobody panics while holding the line")
    }
}

impl std::fmt::Debug for DelayLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DelayLine").field("waiting", &self.lock().actions.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use faults::LinkRule;

    use super::*;

    fn rules(rule: LinkRule) -> LinkRules {
        LinkRules { seed: 1, expires_in: Duration::from_secs(60), rules: vec![rule] }
    }

    #[test]
    fn delayed_messages_arrive_later_and_in_order() {
        let delay = Duration::from_millis(3);
        let rule = LinkRule { delay, ..LinkRule::clean(NodeId(1), NodeId(2)) };
        let links = Links::new(NodeId(1), Some(&rules(rule)));
        let (sender, receiver) = mpsc::channel();
        let sent = clock::now();
        for n in 0..100u8 {
            let sender = sender.clone();
            let deliver = move |bytes| sender.send((clock::now(), bytes)).unwrap();
            links.send(NodeId(2), Channel::Consensus, vec![n].into(), deliver);
        }
        let arrived: Vec<(Time, Bytes)> = receiver.iter().take(100).collect();
        assert!(arrived.iter().all(|(at, _)| *at >= sent + delay));
        assert!(arrived.iter().enumerate().all(|(n, (_, bytes))| bytes[..] == [n as u8]));
    }

    #[test]
    fn a_cut_link_carries_nothing_and_a_mended_one_does() {
        let links = Links::new(NodeId(1), Some(&rules(LinkRule::cut(NodeId(1), NodeId(2)))));
        let (sender, receiver) = mpsc::channel();
        let deliver = move |bytes: Bytes| sender.send(bytes).unwrap();
        links.send(NodeId(2), Channel::Consensus, Bytes::from_static(b"a"), deliver.clone());
        assert!(receiver.try_recv().is_err());
        links.install(&LinkRules::default());
        links.send(NodeId(2), Channel::Consensus, Bytes::from_static(b"b"), deliver);
        assert_eq!(receiver.try_recv().unwrap(), "b");
    }
}
