//! What a replica counts, for `/metrics` and for the ledger of costs.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident,)*) => {
        /// The running counts of one replica. Any thread adds; readers see each count by itself.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $help])+ pub $name: Count,)*
        }

        /// The counts at a moment.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
        pub struct Counts {
            $($(#[doc = $help])+ pub $name: u64,)*
        }

        impl Counters {
            /// Reads every count.
            pub fn read(&self) -> Counts {
                Counts { $($name: self.$name.get(),)* }
            }
        }

        impl Counts {
            /// The counts in Prometheus' text format.
            pub fn render(&self, to: &mut String) {
                $(render(to, stringify!($name), stringify!($kind), concat!($($help),+), self.$name);)*
            }
        }
    };
}

counters! {
    /// Protocol messages sent to other replicas.
    messages_sent_total: counter,
    /// Encoded protocol messages sent, in bytes, envelopes included.
    bytes_sent_total: counter,
    /// Protocol messages received and taken.
    messages_received_total: counter,
    /// Frames dropped because a peer's queue was full.
    messages_dropped_total: counter,
    /// Messages refused because the inbox was full.
    inbox_refused_total: counter,
    /// Streams refused because their caller is known with another disk.
    strangers_refused_total: counter,
    /// Frames whose checksum did not fit.
    checksum_errors_total: counter,
    /// Frames that had a good checksum and bad content.
    malformed_total: counter,
    /// Frames that the link rules of the receiving side kept out.
    links_refused_total: counter,
    /// Streams opened to other replicas.
    connections_total: counter,
    /// Gossip datagrams sent.
    gossip_sent_total: counter,
    /// Gossip datagrams received and taken.
    gossip_received_total: counter,
    /// Batches of writes handed to the storage.
    persists_total: counter,
    /// Syncs that completed.
    syncs_total: counter,
    /// Time spent in syncs, in nanoseconds.
    sync_nanoseconds_total: counter,
    /// Turns of the consensus loop.
    turns_total: counter,
    /// Entries applied to the state machine.
    applied_total: counter,
    /// Campaigns started here.
    campaigns_total: counter,
    /// Elections won here.
    elections_total: counter,
    /// Client requests received.
    requests_total: counter,
    /// Client requests passed on to another replica.
    forwarded_total: counter,
    /// Client requests refused for a limit of this replica.
    limited_total: counter,
    /// Snapshots of the state machine that were saved here.
    snapshots_total: counter,
    /// What they took, in bytes.
    snapshot_bytes_total: counter,
    /// Time for which the consensus loop stood still to copy the state for them, in nanoseconds.
    snapshot_pause_nanoseconds_total: counter,
    /// Snapshots that replaced the state machine, at the start or when they came from a peer.
    restores_total: counter,
    /// Time for which the consensus loop stood still to read them, in nanoseconds.
    restore_nanoseconds_total: counter,
    /// Snapshots that were sent, whole.
    snapshots_sent_total: counter,
    /// Pieces of snapshots that were sent and taken.
    snapshot_pieces_total: counter,
    /// Bytes of snapshots that were sent, envelopes and repetitions included.
    snapshot_bytes_sent_total: counter,
    /// Attempts to send a snapshot that broke off, to be taken up again.
    snapshot_interruptions_total: counter,
    /// Snapshots that came from a peer, whole.
    snapshots_received_total: counter,
    /// Items waiting in the inbox at the last turn.
    inbox_depth: gauge,
    /// The last position known to be committed.
    commit_index: gauge,
    /// The last position applied.
    applied_index: gauge,
    /// The round of the epoch.
    epoch_round: gauge,
    /// Whether this replica leads: 1 or 0.
    leads: gauge,
}

/// One count.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// Sets a gauge.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The count now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

fn render(to: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    let help = help.trim();
    write!(
        to,
        "# HELP consensus_{name} {help}\n# TYPE consensus_{name} {kind}\nconsensus_{name} {value}\n"
    )
    .expect("a String takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_rendered_with_their_help_and_kind() {
        let counters = Counters::default();
        counters.syncs_total.add(2);
        counters.leads.set(1);
        let mut text = String::new();
        counters.read().render(&mut text);
        assert!(text.contains("# TYPE consensus_leads gauge\nconsensus_leads 1\n"), "{text}");
        assert!(text.contains("# HELP consensus_syncs_total Syncs that completed.\n"), "{text}");
        assert!(text.contains("\nconsensus_syncs_total 2\n"), "{text}");
    }
}
