//! What can be done to real processes on one machine.

use faults::{
    Capabilities, Kind,
    schedule::{Feature, Support},
};

/// How faults are carried out on local processes.
pub const LOCAL_CAPABILITIES: Capabilities = Capabilities::new(local);

const fn local(feature: Feature) -> Support {
    match feature {
        Feature::Kind(kind) => on_kind(kind),
        Feature::Shape(_) => Support::Done("as a partition"),
        Feature::Target(_) => Support::Done("yes"),
    }
}

const fn on_kind(kind: Kind) -> Support {
    Support::Done(match kind {
        Kind::Crash => "SIGKILL; what the operating system holds in memory is not lost",
        Kind::Restart => "SIGTERM, then the same command line again",
        Kind::Delete => "SIGKILL, then the same command line on other ports",
        Kind::Pause => "SIGSTOP and SIGCONT",
        Kind::Slow => "SIGSTOP and SIGCONT in a rhythm",
        Kind::Load | Kind::Put => "clients over HTTP",
        Kind::Partition | Kind::Link => "the link shim in each replica, told by `/admin/links`",
        Kind::Reconfigure => {
            "newcomers are started on empty disks, and `POST /v1/members` asks until it is done"
        }
        Kind::Transfer => "`POST /v1/transfer` asks until it is done",
        Kind::LostDisk | Kind::LostVolume => {
            "SIGKILL, and the data directory is put aside; by the same command line the replica \
             comes back as somebody new, on other ports, and is admitted in its old place"
        }
        Kind::SlowDisk
        | Kind::StalledDisk
        | Kind::DiskError
        | Kind::FullDisk
        | Kind::TornRecord
        | Kind::BitRot => return Support::Refused("a replica has no disk shim"),
        Kind::ClockJump | Kind::ClockRate => {
            return Support::Refused("a replica has no clock shim");
        }
    })
}
