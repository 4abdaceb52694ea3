//! What is committed stays committed: within a life, over restarts and from leader to leader.
//!
//! Neither protocol keeps its commit index on disk at every step: what a restarted replica knows may
//! lie behind what it knew, and it learns the rest again. What must not go back is what it learns.
//! Within one life of a replica that is plain. Over restarts, even of all replicas at once, it is
//! *leader completeness* (Raft §5.4, figure 3; in Multi-Paxos, what a new proposer learns from a
//! quorum's promises): whatever a leader knew committed in its own epoch, the leader of any later
//! epoch knows by the time an entry of its own epoch is committed. The rule compares epochs and not
//! clocks, so that it holds across machines.

use std::collections::BTreeMap;

use consensus_core::{Epoch, Event, NodeId, history::Observed, id::Index};

use crate::{Counterexample, Evidence, Verdict};

/// Judges what replicas noted of commits, in each life in the order of time.
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut lives: BTreeMap<(NodeId, u64), Life<'_>> = BTreeMap::new();
    let mut leaders: BTreeMap<Epoch, Known<'_>> = BTreeMap::new();
    let mut caught_up: Vec<(Epoch, Known<'_>)> = Vec::new();
    let mut in_order: Vec<&Observed> = evidence.observed.iter().collect();
    in_order.sort_by_key(|seen| seen.at);
    for seen in in_order {
        let life = lives.entry((seen.node, seen.incarnation)).or_default();
        match seen.event {
            Event::Elected { epoch } => life.leads = Some(epoch),
            Event::SteppedDown { .. } => life.leads = None,
            Event::Committed { epoch, from, to, .. } => {
                if let Some(before) = life.known.filter(|before| from <= before.to || to < from) {
                    return went_back(before, seen, from).into();
                }
                life.known = Some(Known { to, seen });
                if life.leads == Some(epoch) {
                    leaders.insert(epoch, Known { to, seen });
                }
            }
            // A snapshot holds what is committed up to its end.
            Event::Installed { index, .. } => life.known = Some(Known { to: index, seen }),
            Event::CaughtUp { epoch } => {
                let to = life.known.map_or(0, |known| known.to);
                caught_up.push((epoch, Known { to, seen }));
            }
            _ => {}
        }
    }
    for (epoch, known) in &caught_up {
        let before = leaders.range(..epoch).map(|(_, before)| before).max_by_key(|known| known.to);
        if let Some(before) = before.filter(|before| before.to > known.to) {
            return forgot(before, known, *epoch).into();
        }
    }
    match lives.values().any(|life| life.known.is_some()) {
        true => Verdict::Ok,
        false => Verdict::not_judged("no replica noted what it knows committed"),
    }
}

/// One life of a replica.
#[derive(Default)]
struct Life<'a> {
    known: Option<Known<'a>>,
    /// The epoch that it leads.
    leads: Option<Epoch>,
}

/// Up to where something was known committed, and what shows it.
#[derive(Clone, Copy)]
struct Known<'a> {
    to: Index,
    seen: &'a Observed,
}

fn went_back(before: Known<'_>, seen: &Observed, from: Index) -> Counterexample {
    let summary = format!(
        "node {} (incarnation {}) learns that {from} is committed after it knew that up to {} is",
        seen.node, seen.incarnation, before.to
    );
    Counterexample::new(summary).observations([before.seen, seen])
}

fn forgot(before: &Known<'_>, known: &Known<'_>, epoch: Epoch) -> Counterexample {
    let (old, new) = (before.seen, known.seen);
    let summary = format!(
        "node {} leads epoch {epoch} with no more than {} committed, where node {} led before and \
         knew {} committed",
        new.node, known.to, old.node, before.to
    );
    Counterexample::new(summary).observations([old, new])
}
