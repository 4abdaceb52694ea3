//! What can be done to real replicas: processes of one machine, containers, and pods.

use faults::{
    Capabilities, Kind,
    schedule::{Feature, Support},
};

/// How faults are carried out on local processes.
pub const LOCAL_CAPABILITIES: Capabilities = Capabilities::new(local);

/// How faults are carried out on containers.
pub const DOCKER_CAPABILITIES: Capabilities = Capabilities::new(docker);

/// How faults are carried out on pods.
pub const KUBERNETES_CAPABILITIES: Capabilities = Capabilities::new(kubernetes);

const fn local(feature: Feature) -> Support {
    real(On::Processes, feature)
}

const fn docker(feature: Feature) -> Support {
    real(On::Containers, feature)
}

const fn kubernetes(feature: Feature) -> Support {
    real(On::Pods, feature)
}

/// What a replica is, to whoever hurts it.
#[derive(Clone, Copy)]
enum On {
    Processes,
    Containers,
    Pods,
}

impl On {
    const fn say(
        self,
        process: &'static str,
        container: &'static str,
        pod: &'static str,
    ) -> &'static str {
        match self {
            Self::Processes => process,
            Self::Containers => container,
            Self::Pods => pod,
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
            "SIGKILL from inside the pod, which is then deleted without grace; the StatefulSet makes \
             another at once, at another address, on the same claim: whatever the step's `for`, nobody \
             is held away, and the record says how long each was",
        ),
        Kind::Restart => on.say(
            "SIGTERM, then the same command line again",
            "SIGTERM to the container, which is then started again",
            "the pod is deleted in peace, which is SIGTERM; the StatefulSet makes another at once",
        ),
        Kind::Delete => on.say(
            "SIGKILL, then the same command line on other ports",
            "the container is killed and removed; another comes on the same volume, at another \
             address",
            "the same as `crash`",
        ),
        Kind::Pause => on.say(
            "SIGSTOP and SIGCONT",
            "the engine freezes the container",
            "SIGSTOP and SIGCONT from inside the pod; from half a minute on, the kubelet kills it",
        ),
        Kind::Slow => on.say(
            "SIGSTOP and SIGCONT in a rhythm",
            "the engine freezes the container in a rhythm, each beat as exact as the engine is quick",
            "SIGSTOP and SIGCONT from inside the pod in a rhythm, each beat as exact as the API server \
             and the kubelet are quick",
        ),
        Kind::Load | Kind::Put => on.say(
            "clients over HTTP",
            "clients in a container of their own",
            "clients in the pod of a Job",
        ),
        Kind::Partition => on.say(
            "the link shim in each replica, told by `/admin/links`",
            "the link shim in each replica; with `--cut network`, packets are dropped on the bridge \
             between the containers, unless one channel alone is cut",
            "the link shim in each replica; with `--cut network`, NetworkPolicies that let in everybody \
             else, unless one channel alone is cut",
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
            "as `crash`; when the step's `for` is over, whoever came back is frozen, what is on its \
             claim is fetched, SIGKILL, and claim and pod are deleted; the StatefulSet makes both anew, \
             and the replica comes back as somebody new, and is admitted in its old place",
        ),
        Kind::SlowDisk | Kind::StalledDisk => {
            "the disk shim in each replica, told by `/admin/disk`: syncs wait"
        }
        Kind::DiskError | Kind::FullDisk if matches!(on, On::Pods) => {
            return Support::Refused(
                "the kubelet starts a replica that its disk ended again at once, and ever more \
                 seldom: no step says when",
            );
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
