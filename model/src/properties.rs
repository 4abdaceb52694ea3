//! What is asked of every state.

use consensus_core::{Disk, Index, NodeId, Payload, Role};
use stateright::Property;

use crate::{
    bounds::Bounds,
    cluster::Cluster,
    exploration::Exploration,
    explored::{Entry, Explored, LogPromise},
};

/// What must always hold, and what must be seen at least once within these bounds, lest nothing was
/// explored that matters.
pub fn all<P: Explored>(bounds: Bounds) -> Vec<Property<Exploration<P>>> {
    let mut properties = vec![
        Property::always("election safety", |_, state| election_safety(state)),
        Property::always(P::LOGS.name(), |_, state| logs_agree(state)),
        Property::always("leader completeness", |_, state| leader_completeness(state)),
        Property::always("state-machine safety", |_, state| state_machine_safety(state)),
        Property::always("sound replicas", |_, state: &Cluster<P>| state.history.broken.is_none()),
    ];
    let mut sometimes = |is_possible, name, condition| {
        if is_possible {
            properties.push(Property::sometimes(name, condition));
        }
    };
    let Bounds { timeouts, commands, crashes, .. } = bounds;
    sometimes(timeouts > 0, "a leader is elected", |_, state: &Cluster<P>| {
        !state.history.leaders.is_empty()
    });
    sometimes(timeouts > 1, "two reigns", |_, state| state.history.leaders.len() > 1);
    let may_commit = timeouts > 0 && commands > 0;
    sometimes(may_commit, "a command is applied", |_, state| applied_commands(state) > 0);
    sometimes(may_commit && commands > 1, "two commands are applied", |_, state| {
        applied_commands(state) > 1
    });
    sometimes(may_commit, "all apply", |_, state| all_apply(state));
    sometimes(may_commit && crashes > 0, "a restarted replica applies a command", |_, state| {
        state.history.restarted_applied
    });
    properties
}

/// One epoch has at most one leader (Raft § figure 3, Election Safety).
fn election_safety<P: Explored>(state: &Cluster<P>) -> bool {
    state.history.leaders.values().all(|leaders| leaders.len() <= 1)
}

/// No two replicas ever apply different payloads at one index (Raft § figure 3, State Machine Safety;
/// "Paxos Made Simple" §2.1: only a single value is chosen).
fn state_machine_safety<P: Explored>(state: &Cluster<P>) -> bool {
    state.history.applied.values().all(|payloads| payloads.len() <= 1)
}

/// A leader's log holds what was applied anywhere under an earlier epoch (Raft § figure 3, Leader
/// Completeness; "Paxos Made Simple" §2.2, P2c).
fn leader_completeness<P: Explored>(state: &Cluster<P>) -> bool {
    let leads = |id: &NodeId| state.status(*id).role == Role::Leader;
    state.ids().filter(leads).all(|id| {
        let (epoch, log) = (state.status(id).epoch, &state.node(id).latest);
        let earlier = state.history.applied.iter().flat_map(|(&index, payloads)| {
            payloads
                .iter()
                .filter(|&(_, &applied)| applied < epoch)
                .map(move |(what, _)| (index, what))
        });
        { earlier }.all(|(index, payload)| holds::<P>(log, index, payload))
    })
}

/// What [`LogPromise`] says, of every two logs as they are written, synced or not.
fn logs_agree<P: Explored>(state: &Cluster<P>) -> bool {
    let pairs = state.nodes.iter().enumerate().flat_map(|(place, one)| {
        state.nodes[place + 1..].iter().map(move |other| (&one.latest, &other.latest))
    });
    { pairs }.all(|(one, other)| match P::LOGS {
        LogPromise::Agreement => same_where_epochs_meet::<P>(one, other),
        LogPromise::Matching => {
            same_where_epochs_meet::<P>(one, other) && same_before_they_meet::<P>(one, other)
        }
    })
}

fn same_where_epochs_meet<P: Explored>(one: &Disk<P::Record>, other: &Disk<P::Record>) -> bool {
    entries::<P>(one).all(|entry| {
        let same = entries::<P>(other)
            .find(|other| (other.index, other.epoch) == (entry.index, entry.epoch));
        same.is_none_or(|same| same.payload == entry.payload)
    })
}

fn same_before_they_meet<P: Explored>(one: &Disk<P::Record>, other: &Disk<P::Record>) -> bool {
    let pairs: Vec<_> = entries::<P>(one).zip(entries::<P>(other)).collect();
    let meet = pairs.iter().rposition(|(a, b)| (a.index, a.epoch) == (b.index, b.epoch));
    meet.is_none_or(|meet| pairs[..meet].iter().all(|(a, b)| a == b))
}

/// Whether every replica applied all that anybody applied, and it is more than nothing.
fn all_apply<P: Explored>(state: &Cluster<P>) -> bool {
    let most = state.history.applied.len() as Index;
    most > 0 && state.nodes.iter().all(|node| node.applied == most)
}

fn applied_commands<P: Explored>(state: &Cluster<P>) -> usize {
    let payloads = state.history.applied.values().flat_map(|payloads| payloads.keys());
    payloads.filter(|payload| !payload.is_noop()).count()
}

fn holds<P: Explored>(log: &Disk<P::Record>, index: Index, payload: &Payload) -> bool {
    entries::<P>(log).any(|entry| entry.index == index && entry.payload == payload)
}

fn entries<P: Explored>(log: &Disk<P::Record>) -> impl Iterator<Item = Entry<'_>> {
    log.entries.iter().filter_map(P::entry)
}
