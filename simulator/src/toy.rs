//! A protocol for the simulator's own tests: node 1 leads for ever, and an entry is committed once
//! a majority holds it on disk. Without elections it is small enough to be obviously right.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use consensus_core::{
    Ask, DecodeError, Disk, Epoch, Event, Index, Input, NodeId, Outbox, Outcome, Payload, Protocol,
    Record, Refusal, RequestId, Role, Settings, SettingsError, Status, Time, Wire, Write,
    quorum::{majority, reached_by},
};

const LEADER: NodeId = NodeId(1);
const EPOCH: Epoch = Epoch::term(1);

/// A replica of the toy.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Toy {
    settings: Settings,
    log: Vec<Payload>,
    commit: Index,
    held: BTreeMap<NodeId, Index>,
    asked: BTreeMap<Index, RequestId>,
    /// The log's length when the leader started: it reads nothing before that much is committed.
    inherited: Index,
}

/// `Append`: the entries after `after`, and how far they are committed. `Held`: a prefix is on disk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Message {
    Append { after: Index, entries: Vec<Bytes>, commit: Index },
    Held(Index),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Entry {
    slot: Index,
    command: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Timer {
    Heartbeat,
}

impl Toy {
    fn leads(&self) -> bool {
        self.settings.node == LEADER
    }

    fn send_entries(&self, out: &mut Outbox<Self>) {
        for peer in self.settings.peers() {
            let after = self.held.get(&peer).copied().unwrap_or(0);
            let entries =
                self.log[after as usize..].iter().filter_map(Payload::command).cloned().collect();
            out.send_now(peer, Message::Append { after, entries, commit: self.commit });
        }
    }

    fn append(&mut self, command: Bytes, out: &mut Outbox<Self>) {
        self.log.push(Payload::of(command.clone()));
        let slot = self.log.len() as Index;
        out.persist(vec![Write::Put(Entry { slot, command })]);
    }

    fn commit_up_to(&mut self, commit: Index, out: &mut Outbox<Self>) {
        while self.commit < commit {
            self.commit += 1;
            let request = self.asked.remove(&self.commit).map(|request| (self.commit, request));
            out.apply(self.commit, self.commit, request.into_iter().collect());
        }
    }
}

impl Protocol for Toy {
    const NAME: &'static str = "toy";
    type Message = Message;
    type Record = Entry;
    type Timer = Timer;
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Settings, SettingsError> {
        settings.validate().map(|()| settings)
    }

    fn recover(
        settings: Settings,
        _incarnation: u64,
        _now: Time,
        disk: Disk<Entry>,
        out: &mut Outbox<Self>,
    ) -> Self {
        let log: Vec<_> =
            disk.entries.into_iter().map(|entry| Payload::of(entry.command)).collect();
        let inherited = log.len() as Index;
        let (held, asked) = (BTreeMap::new(), BTreeMap::new());
        let toy = Self { settings, log, commit: 0, held, asked, inherited };
        if toy.leads() {
            out.note(Event::Elected { epoch: EPOCH });
            out.send(LEADER, Message::Held(inherited));
            let interval = toy.settings.heartbeat_interval;
            out.set_timer(Timer::Heartbeat, interval..interval + Duration::from_millis(1));
        }
        toy
    }

    fn step(&mut self, _now: Time, input: Input<Self>, out: &mut Outbox<Self>) {
        match input {
            Input::Ask { request, .. } if !self.leads() => {
                out.refuse(request, Refusal::NotLeader { leader: Some(LEADER) });
            }
            Input::Ask { request, ask: Ask::Propose(command) } => {
                self.append(command, out);
                self.asked.insert(self.log.len() as Index, request);
                out.send(LEADER, Message::Held(self.log.len() as Index));
            }
            Input::Ask { request, ask: Ask::Read(_) } if self.commit >= self.inherited => {
                out.reply(request, Outcome::Readable);
            }
            Input::Ask { request, .. } => out.refuse(request, Refusal::Overloaded),
            Input::Receive { message: Message::Append { after, entries, commit }, .. } => {
                let new = (self.log.len() as Index).saturating_sub(after) as usize;
                if after <= self.log.len() as Index {
                    for command in entries.into_iter().skip(new) {
                        self.append(command, out);
                    }
                }
                out.send(LEADER, Message::Held(self.log.len() as Index));
                self.commit_up_to(commit.min(self.log.len() as Index), out);
            }
            Input::Receive { from, message: Message::Held(held) } => {
                self.held.insert(from, held);
                let quorum = majority(self.settings.members.len());
                let commit = reached_by(self.held.values().copied(), quorum);
                self.commit_up_to(commit, out);
            }
            Input::Timeout(Timer::Heartbeat) => {
                self.send_entries(out);
                let interval = self.settings.heartbeat_interval;
                out.set_timer(Timer::Heartbeat, interval..interval + Duration::from_millis(1));
            }
            Input::Compacted(_) | Input::Staged { .. } | Input::Suspected { .. } => {}
        }
    }

    fn flush(&mut self, _now: Time, out: &mut Outbox<Self>) {
        if self.leads() && self.asked.keys().any(|&index| index > self.commit) {
            self.send_entries(out);
        }
    }

    fn committed(&self, from: Index, to: Index) -> impl Iterator<Item = (Epoch, &Payload)> {
        self.log[from as usize - 1..to as usize].iter().map(|payload| (EPOCH, payload))
    }

    fn status(&self) -> Status {
        Status {
            node: self.settings.node,
            role: if self.leads() { Role::Leader } else { Role::Follower },
            epoch: EPOCH,
            leader: Some(LEADER),
            commit: self.commit,
            last: self.log.len() as Index,
            first: 1,
            learners: Vec::new(),
            changing: false,
            members: self.settings.members.clone(),
        }
    }

    fn check(&self) {
        assert!(self.commit <= self.log.len() as Index, "what is committed is in the log");
    }
}

impl Record for Entry {
    fn slot(&self) -> Option<Index> {
        Some(self.slot)
    }
}

impl Wire for Entry {
    fn encode_to(&self, buffer: &mut Vec<u8>) {
        buffer.put_u64(self.slot);
        buffer.put_slice(&self.command);
    }

    fn from_bytes(mut bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self { slot: take(&mut bytes)?, command: bytes })
    }
}

impl Wire for Message {
    fn encode_to(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Held(held) => buffer.put_u64(*held),
            Self::Append { after, entries, commit } => {
                buffer.put_u64(*after);
                buffer.put_u64(*commit);
                for entry in entries {
                    buffer.put_u64(entry.len() as u64);
                    buffer.put_slice(entry);
                }
            }
        }
    }

    fn from_bytes(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let first = take(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(Self::Held(first));
        }
        let (commit, mut entries) = (take(&mut bytes)?, Vec::new());
        while !bytes.is_empty() {
            let length = take(&mut bytes)? as usize;
            if length > bytes.len() {
                return Err(DecodeError::Invalid("an entry is cut short"));
            }
            entries.push(bytes.split_to(length));
        }
        Ok(Self::Append { after: first, entries, commit })
    }
}

fn take(bytes: &mut Bytes) -> Result<u64, DecodeError> {
    match bytes.len() {
        8.. => Ok(bytes.get_u64()),
        _ => Err(DecodeError::Invalid("a number is cut short")),
    }
}
