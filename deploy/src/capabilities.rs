//! What can be done to real replicas: processes of one machine, and containers.

use faults::{
    Capabilities, Kind,
    schedule::{Feature, Support},
};

/// How faults are carried out on local processes.
pub const LOCAL_CAPABILITIES: Capabilities = Capabilities::new(local);

/// How faults are carried out on containers.
pub const DOCKER_CAPABILITIES: Capabilities = Capabilities::new(docker);

const fn local(feature: Feature) -> Support {
    real(On::Processes, feature)
}

const fn docker(feature: Feature) -> Support {
    real(On::Containers, feature)
}

/// What a replica is, to whoever hurts it.
#[derive(Clone, Copy)]
enum On {
    Processes,
    Containers,
}

impl On {
    const fn say(self, process: &'static str, container: &'static str) -> &'static str {
        match self {
            Self::Processes => process,
            Self::Containers => container,
        }
    }
}

const fn real(on: On, feature: Feature) -> Support {
    match feature {
        Feature::Kind(kind) => on_kind(on, kind),
        Feature::Shape(_) => Support::Done("as a partition"),
        Feature::Target(_) => Support::Done("yes"),
    }
}

const fn on_kind(on: On, kind: Kind) -> Support {
    Support::Done(match kind {
        Kind::Crash => on.say(
            "SIGKILL; what the operating system holds in memory is not lost",
            "the container is killed, then started again; what the operating system holds in memory \
             is not lost",
        ),
        Kind::Restart => on.say(
            "SIGTERM, then the same command line again",
            "SIGTERM to the container, which is then started again",
        ),
        Kind::Delete => on.say(
            "SIGKILL, then the same command line on other ports",
            "the container is killed and removed; another comes on the same volume, at another \
             address",
        ),
        Kind::Pause => on.say("SIGSTOP and SIGCONT", "the engine freezes the container"),
        Kind::Slow => on.say(
            "SIGSTOP and SIGCONT in a rhythm",
            "the engine freezes the container in a rhythm, each beat as exact as the engine is quick",
        ),
        Kind::Load | Kind::Put => on.say("clients over HTTP", "clients in a container of their own"),
        Kind::Partition => on.say(
            "the link shim in each replica, told by `/admin/links`",
            "the link shim in each replica; with `--cut network`, packets are dropped on the bridge \
             between the containers, unless one channel alone is cut",
        ),
        Kind::Link => "the link shim in each replica, told by `/admin/links`",
        Kind::Reconfigure => {
            "newcomers are started on empty disks, and `POST /v1/members` asks until it is done"
        }
        Kind::Transfer => "`POST /v1/transfer` asks until it is done",
        Kind::LostDisk | Kind::LostVolume => on.say(
            "SIGKILL, and the data directory is put aside; by the same command line the replica \
             comes back as somebody new, on other ports, and is admitted in its old place",
            "the container is killed and its volume put aside; another comes with an empty volume, \
             at another address, as somebody new, and is admitted in its old place",
        ),
        Kind::SlowDisk | Kind::StalledDisk => {
            "the disk shim in each replica, told by `/admin/disk`: syncs wait"
        }
        Kind::DiskError | Kind::FullDisk => {
            "the disk shim in each replica, told by `/admin/disk`: the next write or sync fails, the \
             replica ends, and is started when the step ends"
        }
        Kind::TornRecord | Kind::BitRot => {
            return Support::Refused(
                "records lie where the storage put them, in a format of its own (sled's)",
            );
        }
        Kind::ClockJump | Kind::ClockRate => {
            "the clock shim in each replica, told by `/admin/clock`: the protocol's clock and its timers"
        }
    })
}
