//! What crosses a link: every honest message survives it, and nonsense is refused.

use bytes::Bytes;
use consensus_core::{DecodeError, NodeId, Payload, Wire};
use consensus_multipaxos::{
    Message, Record,
    message::{
        Accept, Accepted, HeartbeatReply, HeartbeatRequest, Learn, Learned, MAX_VALUES, Nack,
        PreCampaign, PreCampaignReply, Prepare, Promise, ReadAck, ReadIndex, ReadIndexReply,
        ReadRound, Secure, Secured, TimeoutNow,
    },
    record::{Ballot, PValue},
};
use proptest::prelude::*;

const ROUNDS: std::ops::Range<u64> = 1..1_000;

fn ballots() -> impl Strategy<Value = Ballot> {
    (ROUNDS, 1u64..8).prop_map(|(round, node)| Ballot::new(round, NodeId(node)))
}

fn values() -> impl Strategy<Value = Payload> {
    let command = prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    prop::option::of(command).prop_map(|command| command.map_or(Payload::noop(), Payload::of))
}

/// Values of consecutive slots from `first`, under ballots below every ballot of [`ballots`] + 1000
/// rounds.
fn pvalues(least: usize) -> impl Strategy<Value = Vec<PValue>> {
    (1u64..1_000, prop::collection::vec((ballots(), values()), least..6)).prop_map(
        |(first, all)| {
            let pvalue = |(slot, (ballot, value))| PValue { slot, ballot, value };
            (first..).zip(all).map(pvalue).collect()
        },
    )
}

fn higher(ballot: Ballot) -> Ballot {
    Ballot::new(ballot.round + 1_000, ballot.owner())
}

fn messages() -> impl Strategy<Value = Message> {
    let last = |values: &[PValue]| values.last().map_or(0, |pvalue| pvalue.slot);
    prop_oneof![
        ballots().prop_map(|ballot| Message::PreCampaign(PreCampaign { ballot })),
        (ballots(), any::<bool>(), prop::option::of(ballots()), 0u64..1_000).prop_map(
            |(ballot, granted, promised, chosen_to)| {
                let promised = promised.unwrap_or_default();
                Message::PreCampaignReply(PreCampaignReply { ballot, granted, promised, chosen_to })
            }
        ),
        (ballots(), 1u64..1_000, prop::option::of(ballots())).prop_map(
            |(ballot, from, handed_over)| {
                Message::Prepare(Prepare { ballot, from, handed_over })
            }
        ),
        (ballots(), 0u64..1_000).prop_map(|(ballot, to)| Message::Secure(Secure { ballot, to })),
        (ballots(), 0u64..1_000).prop_map(|(ballot, to)| Message::Secured(Secured { ballot, to })),
        any::<u64>()
            .prop_map(|any| Message::HeartbeatRequest(HeartbeatRequest { round: any >> 1 })),
        (any::<u64>(), prop::option::of(ballots()), any::<bool>(), any::<bool>()).prop_map(
            |(any, ballot, quorum_connected, led)| {
                let (round, ballot) = (any >> 1, ballot.unwrap_or_default());
                Message::HeartbeatReply(HeartbeatReply { round, ballot, quorum_connected, led })
            }
        ),
        ballots().prop_map(|ballot| Message::TimeoutNow(TimeoutNow { ballot })),
        (ballots(), pvalues(1), 0u64..2_000, any::<bool>(), 0u64..3).prop_map(
            move |(ballot, values, chosen_to, more, asked_before)| {
                let (first, next) = (values[0].slot, more.then_some(last(&values) + 1));
                let compacted_to = if asked_before > 0 { chosen_to.min(first - 1) } else { 0 };
                let from = first.saturating_sub(asked_before).max(1);
                let ballot = higher(ballot);
                let promise = Promise { ballot, from, values, next, chosen_to, compacted_to };
                Message::Promise(promise.into())
            }
        ),
        (ballots(), 1u64..1_000, prop::collection::vec(values(), 1..6), 0u64..1_000).prop_map(
            |(ballot, slot, values, chosen_to)| {
                Message::Accept(Accept { ballot, slot, values, chosen_to })
            }
        ),
        (ballots(), 1u64..1_000, 0u64..10).prop_map(|(ballot, from, more)| {
            Message::Accepted(Accepted { ballot, from, to: from + more })
        }),
        ballots().prop_map(|ballot| Message::Nack(Nack { ballot, promised: higher(ballot) })),
        (1u64..1_000).prop_map(|from| Message::Learn(Learn { from })),
        (pvalues(0), 0u64..9).prop_map(move |(values, more)| {
            let chosen_to = last(&values) + more;
            let compacted_to = if values.is_empty() { more } else { 0 };
            Message::Learned(Learned { values, chosen_to, compacted_to })
        }),
        (ballots(), 0u64..1_000, prop::option::of(0u64..1_000)).prop_map(
            |(ballot, round, chosen_to)| {
                Message::ReadRound(ReadRound { ballot, round, chosen_to })
            }
        ),
        (ballots(), 0u64..1_000)
            .prop_map(|(ballot, round)| Message::ReadAck(ReadAck { ballot, round })),
        (ballots(), any::<u64>()).prop_map(|(ballot, any)| {
            Message::ReadIndex(ReadIndex { ballot, question: any >> 1 })
        }),
        (ballots(), any::<u64>(), 0u64..1_000).prop_map(|(ballot, any, chosen_to)| {
            Message::ReadIndexReply(ReadIndexReply { ballot, question: any >> 1, chosen_to })
        }),
    ]
}

proptest! {
    #[test]
    fn honest_messages_survive_the_wire(message in messages()) {
        prop_assert_eq!(Message::from_bytes(message.to_bytes()), Ok(message));
    }

    #[test]
    fn damaged_bytes_are_refused_or_make_sense(
        message in messages(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = message.to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(decoded) = Message::from_bytes(bytes.into()) {
            // What was let through would be let through again, wherever it is sent on.
            prop_assert_eq!(Message::from_bytes(decoded.to_bytes()), Ok(decoded));
        }
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let noise = Bytes::from(noise);
        drop(Message::from_bytes(noise.clone()));
        drop(Record::from_bytes(noise));
    }
}

const BALLOT: Ballot = Ballot::new(3, NodeId(1));

fn pvalue(slot: u64, ballot: Ballot) -> PValue {
    PValue { slot, ballot, value: Payload::noop() }
}

fn refused(message: Message) {
    let decoded = Message::from_bytes(message.to_bytes());
    assert!(matches!(decoded, Err(DecodeError::Invalid(_))), "{message:?} was let through");
}

#[test]
fn the_empty_message_and_nobodys_ballot_are_refused() {
    assert!(Message::from_bytes(Bytes::new()).is_err());
    for nobodys in [Ballot::default(), Ballot::new(0, NodeId(1)), Ballot::new(1, NodeId(0))] {
        refused(Message::Prepare(Prepare { ballot: nobodys, from: 1, handed_over: None }));
        refused(Message::PreCampaign(PreCampaign { ballot: nobodys }));
        refused(Message::Accepted(Accepted { ballot: nobodys, from: 1, to: 1 }));
        refused(Message::Nack(Nack { ballot: nobodys, promised: BALLOT }));
        refused(Message::ReadAck(ReadAck { ballot: nobodys, round: 1 }));
        refused(Message::ReadIndex(ReadIndex { ballot: nobodys, question: 1 }));
        refused(Message::ReadIndexReply(ReadIndexReply {
            ballot: nobodys,
            question: 1,
            chosen_to: 1,
        }));
    }
}

#[test]
fn impossible_slots_are_refused() {
    for slot in [0, u64::MAX] {
        refused(Message::Prepare(Prepare { ballot: BALLOT, from: slot, handed_over: None }));
        refused(Message::Learn(Learn { from: slot }));
        refused(Message::Accepted(Accepted { ballot: BALLOT, from: slot, to: slot }));
        let values = vec![Payload::noop()];
        refused(Message::Accept(Accept { ballot: BALLOT, slot, values, chosen_to: 0 }));
    }
    refused(Message::Accepted(Accepted { ballot: BALLOT, from: 2, to: 1 }));
    let answer = ReadIndexReply { ballot: BALLOT, question: 1, chosen_to: u64::MAX };
    refused(Message::ReadIndexReply(answer));
    refused(Message::ReadIndexReply(ReadIndexReply { question: u64::MAX, chosen_to: 1, ..answer }));
    refused(Message::ReadIndex(ReadIndex { ballot: BALLOT, question: u64::MAX }));
    refused(Message::HeartbeatRequest(HeartbeatRequest { round: u64::MAX }));
    let reply = HeartbeatReply { round: 1, ballot: BALLOT, quorum_connected: true, led: true };
    refused(Message::HeartbeatReply(HeartbeatReply { round: u64::MAX, ..reply }));
    let nobodys = Ballot::new(1, NodeId(0));
    refused(Message::HeartbeatReply(HeartbeatReply { ballot: nobodys, ..reply }));
}

#[test]
fn a_message_is_bounded() {
    for values in [Vec::new(), vec![Payload::noop(); MAX_VALUES + 1]] {
        refused(Message::Accept(Accept { ballot: BALLOT, slot: 1, values, chosen_to: 0 }));
    }
    let huge = Payload::of(vec![0; consensus_core::payload::MAX_COMMAND_BYTES + 1].into());
    refused(Message::Accept(Accept { ballot: BALLOT, slot: 1, values: vec![huge], chosen_to: 0 }));
}

#[test]
fn a_nack_names_a_higher_ballot() {
    refused(Message::Nack(Nack { ballot: BALLOT, promised: BALLOT }));
}

#[test]
fn a_promise_answers_what_was_asked() {
    let promise = |values, next| Promise {
        ballot: BALLOT,
        from: 5,
        values,
        next,
        chosen_to: 0,
        compacted_to: 0,
    };
    let low = Ballot::new(1, NodeId(2));
    refused(Message::Promise(promise(vec![pvalue(4, low)], None).into()));
    refused(Message::Promise(promise(vec![pvalue(6, low), pvalue(6, low)], None).into()));
    refused(Message::Promise(promise(vec![pvalue(6, low)], Some(6)).into()));
    refused(Message::Promise(promise(Vec::new(), Some(9)).into()));
    // Nobody accepts under a higher ballot than it promises.
    refused(Message::Promise(promise(vec![pvalue(6, Ballot::new(4, NodeId(2)))], None).into()));
    // Only chosen slots are compacted, and no value is told of them.
    let compacted = |chosen_to, compacted_to| {
        let promise = promise(vec![pvalue(6, low)], None);
        Message::Promise(Promise { chosen_to, compacted_to, ..promise }.into())
    };
    refused(compacted(4, 5));
    refused(compacted(6, 6));
    refused(compacted(6, u64::MAX));
}

#[test]
fn chosen_values_are_told_without_a_gap() {
    let learned = |values, chosen_to, compacted_to| {
        Message::Learned(Learned { values, chosen_to, compacted_to })
    };
    refused(learned(vec![pvalue(1, BALLOT), pvalue(3, BALLOT)], 5, 0));
    refused(learned(vec![pvalue(1, BALLOT), pvalue(2, BALLOT)], 1, 0));
    refused(learned(vec![pvalue(3, BALLOT)], 5, 2));
    refused(learned(Vec::new(), 5, 6));
}
