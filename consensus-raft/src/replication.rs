//! Appending: the leader's part and the followers', acknowledgements, flow control and commit
//! (§5.3, §5.4.2).

use std::collections::VecDeque;

use consensus_core::{
    Command, Epoch, Index, NodeId, Outbox, Payload, Refusal, RequestId, Settings, Time, Write,
    event::Event, payload::MAX_COMMAND_BYTES,
};

use crate::{
    change::{Changing, Stage},
    message::{
        AppendEntries, AppendEntriesReply, MAX_ENTRIES, MAX_ENTRIES_BYTES, Message, ReadRound,
    },
    record::{Entry, Record},
    replica::{Leader, Raft, Standing, Timer},
};

/// What a leader knows of one follower.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Progress {
    pub peer: NodeId,
    /// Up to here the follower's log is the leader's, on the follower's disk.
    pub matched: Index,
    /// The next entry to send; beyond `matched`.
    pub next: Index,
    pub mode: Mode,
    /// Whether it was heard of since the last check of the quorum.
    pub heard: bool,
    /// Whether it was heard of between the two checks before.
    pub heard_before: bool,
    /// The latest read round that it acknowledged.
    pub read_acked: u64,
}

/// How entries go to one follower (D§10.2.1, pipelining).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Mode {
    /// Where the logs agree is yet to be found: the next message asks, one at a time.
    Probe,
    /// Such a message is on its way; its answer, or the next heartbeat, goes on.
    Probing,
    /// The logs agree up to `next`, if nothing was lost.
    Replicate(Inflight),
    /// An entry that it needs is gone: it is being sent the base (§7), and `next` is what follows
    /// that. Heartbeats go on, and ask whether it has it; it is sent again while it has not.
    Snapshot,
}

/// The messages with entries that are on their way to one follower.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Inflight {
    /// The last index and the command bytes of each message, in order.
    messages: VecDeque<(Index, usize)>,
    /// The bytes of all of them.
    bytes: usize,
}

impl Inflight {
    fn push(&mut self, last: Index, bytes: usize) {
        self.messages.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// Everything up to here arrived.
    fn arrived(&mut self, matched: Index) {
        while let Some(&(last, bytes)) = self.messages.front()
            && last <= matched
        {
            self.messages.pop_front();
            self.bytes -= bytes;
        }
    }

    /// How many bytes the next message may carry; none if as much is on its way as may be.
    fn room(&self, settings: &Settings) -> Option<usize> {
        if self.messages.len() >= settings.max_inflight_batches {
            return None;
        }
        match settings.max_inflight_bytes.saturating_sub(self.bytes) {
            0 => None,
            room => Some(room),
        }
    }

    /// How many messages are on their way.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// The last index of the first message.
    pub fn first(&self) -> Option<Index> {
        self.messages.front().map(|&(last, _)| last)
    }
}

impl Progress {
    pub const fn new(peer: NodeId, last: Index) -> Self {
        Self {
            peer,
            matched: 0,
            next: last + 1,
            mode: Mode::Probe,
            heard: false,
            heard_before: false,
            read_acked: 0,
        }
    }

    /// The follower holds everything up to here. `before` is the earliest place after which it can be
    /// brought up by entries.
    fn acknowledge(&mut self, matched: Index, before: Index) {
        if matched < self.matched {
            return;
        }
        self.matched = matched;
        match &mut self.mode {
            Mode::Snapshot if matched < before => {}
            Mode::Probe | Mode::Probing | Mode::Snapshot => {
                self.mode = Mode::Replicate(Inflight::default());
                self.next = matched + 1;
            }
            Mode::Replicate(inflight) => {
                inflight.arrived(matched);
                self.next = self.next.max(matched + 1);
            }
        }
    }

    /// How many command bytes the next message may carry; `None` if there is to be none now.
    fn room(&self, last: Index, settings: &Settings) -> Option<usize> {
        if self.next > last {
            return None;
        }
        match &self.mode {
            Mode::Probe => Some(settings.max_inflight_bytes),
            Mode::Probing | Mode::Snapshot => None,
            Mode::Replicate(inflight) => inflight.room(settings),
        }
    }

    /// These entries are on their way.
    fn sent(&mut self, entries: &[Entry]) {
        match (&mut self.mode, entries.last()) {
            (Mode::Replicate(inflight), Some(last)) => {
                inflight.push(last.index, entries.iter().map(Entry::bytes).sum());
                self.next = last.index + 1;
            }
            (Mode::Replicate(_) | Mode::Snapshot, _) => {}
            (Mode::Probe | Mode::Probing, _) => self.mode = Mode::Probing,
        }
    }
}

impl Leader {
    /// What it knows of a peer.
    pub fn peer(&self, node: NodeId) -> Option<&Progress> {
        self.progress.iter().find(|peer| peer.peer == node)
    }

    /// As [`peer`](Self::peer).
    pub fn peer_mut(&mut self, node: NodeId) -> Option<&mut Progress> {
        self.progress.iter_mut().find(|peer| peer.peer == node)
    }

    /// An election timeout has passed.
    pub fn tick(&mut self) {
        let Self { changing, progress, .. } = self;
        if let Some(Changing { stage: Stage::CatchingUp(promotion), .. }) = changing {
            promotion.tick(|node| progress.iter().any(|peer| peer.peer == node && peer.heard));
        }
        for peer in progress {
            peer.heard_before = std::mem::take(&mut peer.heard);
        }
    }

    /// Whether a peer was heard of since the last check of the quorum.
    pub fn has_heard(&self, node: NodeId) -> bool {
        self.peer(node).is_some_and(|peer| peer.heard)
    }

    /// How far a node is known to hold the log on its disk.
    pub fn matched_of(&self, node: NodeId, me: NodeId) -> Index {
        match self.peer(node) {
            Some(peer) => peer.matched,
            None if node == me => self.matched,
            None => 0,
        }
    }

    /// The latest read round that a node acknowledged. The leader is in its own term, and so
    /// confirms every round itself.
    pub fn read_acked_of(&self, node: NodeId, me: NodeId) -> u64 {
        match self.peer(node) {
            Some(peer) => peer.read_acked,
            None if node == me => self.reads.last(),
            None => 0,
        }
    }
}

impl Raft {
    /// Puts a command into the leader's log; the next flush sends it on its way.
    pub(crate) fn propose(&mut self, request: RequestId, command: Command, out: &mut Outbox<Self>) {
        let refusal = match &self.standing {
            Standing::Leader(leader) if leader.transfer.is_some() => {
                leader.transfer.map(|transfer| Refusal::Transferring(transfer.to))
            }
            Standing::Leader(leader) if command.len() <= MAX_COMMAND_BYTES => {
                let entries = self.log.last_index() - self.commit;
                let bytes = leader.uncommitted_bytes;
                let room = self.config.settings.has_room(entries, bytes, command.len());
                (!room).then_some(Refusal::Overloaded)
            }
            Standing::Leader(_) => Some(Refusal::TooLarge),
            _ => Some(Refusal::NotLeader { leader: self.leader() }),
        };
        if let Some(why) = refusal {
            return out.refuse(request, why);
        }
        let index = self.log.last_index() + 1;
        if let Some(leader) = self.leading() {
            leader.uncommitted_bytes += command.len();
        }
        out.note(Event::Proposed { request, index, epoch: Epoch::term(self.term) });
        let entry = Entry { index, term: self.term, payload: Some(Payload::of(command)) };
        self.append(entry, Some(request));
    }

    /// Sends each peer what it lacks, as far as the window lets it (at flush). The messages promise
    /// nothing and leave at once: the followers' disks work in parallel with the leader's (D§10.2.1).
    pub(crate) fn replicate(&mut self, out: &mut Outbox<Self>) {
        let Standing::Leader(leader) = &mut self.standing else { return };
        let settings = &self.config.settings;
        let max_entries = settings.max_batch_entries.min(MAX_ENTRIES);
        let max_bytes = settings.max_batch_bytes.min(MAX_ENTRIES_BYTES);
        let last = self.log.last_index();
        let ((before, _), base) = (self.log.before(), self.log.base());
        for peer in &mut leader.progress {
            if peer.needs_snapshot(before, base.index) {
                out.send_snapshot(peer.peer, base.clone());
            }
            while let Some(room) = peer.room(last, settings) {
                let entries = self.log.batch(peer.next, max_entries, max_bytes.min(room));
                let prev_log_index = peer.next - 1;
                peer.sent(&entries);
                let append = AppendEntries {
                    term: self.term,
                    prev_log_index,
                    prev_log_term: self.log.term_at(prev_log_index).expect(HELD),
                    entries,
                    leader_commit: self.commit,
                };
                out.send_now(peer.peer, Message::AppendEntries(append));
            }
        }
    }

    /// Makes the leader heard, and asks how far the log of a follower goes that has not acknowledged
    /// everything: every loss of an append, of its answer, or of a snapshot, is found here at the
    /// latest.
    pub(crate) fn heartbeat_timeout(&mut self, now: Time, out: &mut Outbox<Self>) {
        let number = self.heartbeat_round(now);
        if self.leading().is_none() {
            return;
        }
        Self::arm(Timer::Heartbeat, self.config.settings.heartbeat_interval, out);
        self.repeat_transfer(out);
        let Standing::Leader(leader) = &mut self.standing else { return };
        let last = self.log.last_index();
        for peer in &leader.progress {
            let commit = self.commit.min(peer.matched);
            let round = ReadRound { term: self.term, round: number, commit };
            out.send_now(peer.peer, Message::ReadRound(round));
            let prev_log_index = peer.next - 1;
            let held = self.log.term_at(prev_log_index).filter(|_| peer.matched < last);
            if let Some(prev_log_term) = held {
                let ask = AppendEntries {
                    term: self.term,
                    prev_log_index,
                    prev_log_term,
                    entries: Vec::new(),
                    leader_commit: self.commit,
                };
                out.send_now(peer.peer, Message::AppendEntries(ask));
            }
        }
    }

    /// The follower's part: the entries follow an entry that both logs hold, or are refused.
    pub(crate) fn receive_append_entries(
        &mut self,
        from: NodeId,
        append: AppendEntries,
        out: &mut Outbox<Self>,
    ) {
        let AppendEntries { term, prev_log_index, prev_log_term, entries, leader_commit } = append;
        if !self.follow(from, term, out) {
            return self.refuse_append(from, prev_log_index, prev_log_term, out);
        }
        if !self.continues_log(prev_log_index, prev_log_term, &entries) {
            return self.refuse_append(from, prev_log_index, prev_log_term, out);
        }
        let matched = prev_log_index + entries.len() as u64;
        self.accept_entries(entries, out);
        self.commit_to(leader_commit.min(matched), out);
        if let Standing::Follower(follower) = &mut self.standing {
            follower.matched = follower.matched.max(Some(matched));
        }
    }

    /// Whether a leader's entries after this previous one continue this log. What lies before what is
    /// held is committed, and so alike in the log of every leader that is not deposed; of one that
    /// is, the message contradicts what is here, if it reaches so far.
    fn continues_log(&self, prev_log_index: Index, prev_log_term: u64, entries: &[Entry]) -> bool {
        let (before, before_term) = self.log.before();
        if prev_log_index >= before {
            return self.log.term_at(prev_log_index) == Some(prev_log_term);
        }
        let place = usize::try_from(before - prev_log_index - 1).ok();
        let there = place.and_then(|place| entries.get(place));
        there.is_none_or(|entry| entry.term == before_term)
    }

    /// Appends the entries that are not there. Only an entry that contradicts the leader's, and what
    /// follows it, is removed: a delayed message must not cut off what a later one brought (§5.3).
    fn accept_entries(&mut self, mut entries: Vec<Entry>, out: &mut Outbox<Self>) {
        let ((before, _), last) = (self.log.before(), self.log.last_index());
        let is_held = |entry: &&Entry| {
            entry.index <= before
                || entry.index <= last && self.log.term_at(entry.index) == Some(entry.term)
        };
        let held = entries.iter().take_while(is_held).count();
        let Some(first) = entries.get(held).map(|entry| entry.index) else { return };
        if first <= last {
            assert!(first > self.commit, "a committed entry would be replaced");
            self.log.truncate_from(first);
            self.unsaved.push(Write::TruncateFrom(first));
            self.truncate_membership(first, out);
        }
        entries[held..].iter().for_each(|entry| self.observe_configuration(entry, out));
        let copies = entries[held..].iter().cloned();
        self.unsaved.extend(copies.map(|entry| Write::Put(Record::Entry(entry))));
        self.log.extend(entries.drain(held..));
    }

    /// Says how far this log, on this disk, is the leader's: the follower to its leader, and the
    /// leader to itself (at flush). Both wait for the disk.
    pub(crate) fn acknowledge(&mut self, out: &mut Outbox<Self>) {
        let last = self.log.last_index();
        let (to, matched) = match &mut self.standing {
            Standing::Follower(follower) => match (follower.leader, follower.matched.take()) {
                (Some(leader), Some(matched)) => (leader, matched),
                _ => return,
            },
            Standing::Leader(leader) if leader.offered < last => {
                leader.offered = last;
                (self.membership.me(), last)
            }
            _ => return,
        };
        out.send(to, Message::AppendEntriesReply(AppendEntriesReply { term: self.term, matched }));
    }

    /// Counts an acknowledgement, its own among them.
    pub(crate) fn receive_append_entries_reply(
        &mut self,
        from: NodeId,
        reply: AppendEntriesReply,
        out: &mut Outbox<Self>,
    ) {
        self.observe_term(reply.term, out);
        let Standing::Leader(leader) = &mut self.standing else { return };
        if reply.term != self.term {
            return;
        }
        if reply.matched > self.log.last_index() {
            return self.refuse(format!("node {from} acknowledges what was never sent"), out);
        }
        if from == self.membership.me() {
            leader.matched = leader.matched.max(reply.matched);
        } else if let Some(peer) = leader.peer_mut(from) {
            peer.heard = true;
            peer.acknowledge(reply.matched, self.log.before().0);
        }
    }

    /// Commits what a quorum holds (at flush), but only if the last of it is of the leader's own
    /// term: an entry of an earlier term may be replaced even though a quorum holds it (§5.4.2,
    /// figure 8). Every position is counted afresh each time.
    pub(crate) fn advance_commit(&mut self, out: &mut Outbox<Self>) {
        let Standing::Leader(leader) = &self.standing else { return };
        if self.commit == self.log.last_index() {
            return;
        }
        let (me, configuration) = (self.membership.me(), self.membership.current());
        let reached = configuration.reached(|voter| leader.matched_of(voter, me));
        if reached <= self.commit || self.log.term_at(reached) != Some(self.term) {
            return;
        }
        let (known, term_start) = (self.commit, leader.term_start);
        self.commit_to(reached, out);
        if (known + 1..=reached).contains(&term_start) {
            out.note(Event::CaughtUp { epoch: Epoch::term(self.term) });
        }
    }

    /// Learns that everything up to here is committed.
    pub(crate) fn commit_to(&mut self, commit: Index, out: &mut Outbox<Self>) {
        if commit <= self.commit {
            return;
        }
        assert!(commit <= self.log.last_index(), "nothing is committed that the log lacks");
        let from = self.commit + 1;
        let committed = || self.log.range(from..=commit).map(|slot| &slot.payload);
        let has_command = committed().any(|payload| payload.command().is_some());
        if let Standing::Leader(leader) = &mut self.standing {
            leader.uncommitted_bytes -= committed().map(Payload::bytes).sum::<usize>();
        }
        self.commit = commit;
        let epoch = Epoch::term(self.term);
        out.note(Event::Committed { epoch, from, to: commit, has_command });
    }

    /// Hands what is committed to the state machine, in order (at flush).
    pub(crate) fn apply_committed(&mut self, out: &mut Outbox<Self>) {
        let (from, to) = (self.applied + 1, self.commit);
        let (mut bytes, mut requests) = (0, Vec::new());
        for (index, slot) in (from..).zip(self.log.range_mut(from..=to)) {
            bytes += slot.bytes();
            requests.extend(slot.request.take().map(|request| (index, request)));
        }
        out.apply(from, to, requests);
        self.applied = to;
        self.count_applied(bytes, out);
    }
}

/// Why a position that a replica reads is in its log.
pub(crate) const HELD: &str = "the log holds everything between its base and its end";
