//! What can be done to a simulated cluster.

use faults::{
    Capabilities, Kind,
    schedule::{Feature, Support},
};

/// How the simulator carries faults out.
pub const CAPABILITIES: Capabilities = Capabilities::new(support);

const fn support(feature: Feature) -> Support {
    match feature {
        Feature::Kind(kind) => on_kind(kind),
        Feature::Shape(_) => Support::Done("as a partition"),
        Feature::Target(_) => Support::Done("yes"),
    }
}

const fn on_kind(kind: Kind) -> Support {
    Support::Done(match kind {
        Kind::Crash => "the node is gone; its disk keeps a prefix of what was not synced",
        Kind::Restart => "the node syncs, hands over, and is gone; then it recovers from its disk",
        Kind::Delete => "as a crash and a start: there are no addresses",
        Kind::Pause => "the node handles nothing; what arrives waits",
        Kind::Slow => "pauses in the same rhythm",
        Kind::Load | Kind::Put => "simulated clients",
        Kind::Partition | Kind::Link => "the link shim, at both ends of every link",
        Kind::Reconfigure | Kind::Transfer => "an administrator asks as a client does",
        Kind::LostDisk | Kind::LostVolume => {
            "a new node on an empty disk, which an administrator has admitted"
        }
        Kind::SlowDisk => "the disk's model: each sync is drawn longer",
        Kind::StalledDisk => "the disk's model: what would be done waits until the step is over",
        Kind::DiskError | Kind::FullDisk => {
            "the next write or sync ends the node, as a crash does; it is started when the step ends"
        }
        Kind::TornRecord => {
            "the node dies at its next write, half of which is on the disk; recovery reads the bytes"
        }
        Kind::BitRot => {
            "a bit flips in the log's bytes; recovery names the record and refuses, and a new node is \
             admitted on an empty disk"
        }
        Kind::ClockJump => "the node's clock; its timers are not moved",
        Kind::ClockRate => "the node's clock, and its timers with it",
    })
}
