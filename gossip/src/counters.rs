//! What a member counts, for metrics.

/// Monotonic counters since the start of this member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Datagrams sent.
    pub sent: u64,
    /// Bytes in them.
    pub sent_bytes: u64,
    /// Datagrams received and accepted.
    pub received: u64,
    /// Bytes in them.
    pub received_bytes: u64,
    /// Dropped: too short, too long, or with a checksum that does not fit.
    pub damaged: u64,
    /// Dropped: of another version of the wire format.
    pub foreign_version: u64,
    /// Dropped: of another cluster.
    pub foreign_cluster: u64,
    /// Dropped: not protobuf of the expected shape, or saying something impossible.
    pub malformed: u64,
    /// Probes begun.
    pub probes: u64,
    /// Probes for which helpers were asked.
    pub indirect_probes: u64,
    /// Probes that nobody answered.
    pub failed_probes: u64,
    /// Claims of its own suspicion or death that this member refuted.
    pub refutations: u64,
    /// Pauses of this process that were long enough to distort its view, and were made up for.
    pub pauses: u64,
    /// Claims that two processes use one identity.
    pub conflicts: u64,
    /// Claims and requests refused because a limit was reached.
    pub refused: u64,
}
