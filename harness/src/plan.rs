//! What an experiment is to do, settled before anything starts.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use consensus_core::{Draw, NodeId, SettingsError};
use deploy::{Cut, Secrets};
use faults::{Capabilities, Director, Resolved, Schedule, director::Cast};
use replica::security;
use simulator::{Measured, Preset};

use crate::{
    cli::{CutBy, ExperimentArgs, KubernetesArgs, Peers, Route, StorageKind, Target},
    draws,
    registry::Entry,
    tuning::Tuning,
    usage::usage,
};

/// One run, but for its protocol: everything here is the same for all that are compared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the cluster runs.
    pub target: Target,
    /// The schedule, at the size and length asked for.
    pub schedule: Schedule,
    /// The seed of every draw.
    pub seed: u64,
    /// Where the replicas' records live.
    pub storage: StorageKind,
    /// What the replicas speak to each other.
    pub peers: Peers,
    /// Which way the load takes.
    pub via: Route,
    /// The simulated network; `None` where there is a real one.
    pub network: Option<Preset>,
    /// The protocols' parameters.
    pub tuning: Tuning,
    /// What carries cuts out.
    pub cut: Cut,
    /// Whether data directories are kept.
    pub keep_data: bool,
    /// Which Kubernetes cluster, and how it gets the image.
    pub kubernetes: KubernetesArgs,
    /// The run that is played again, if this is to repeat one.
    pub replay: Option<Replay>,
}

/// What a schedule turned out to be in another run, to be played again.
#[derive(Clone, Debug)]
pub struct Replay {
    /// When whom was struck there.
    pub resolved: Resolved,
    /// Whom that strikes now.
    pub cast: Cast,
    /// Whether that was a real run, which had disks and clocks of its own.
    pub was_real: bool,
    /// What was measured of its network and disks, to be simulated.
    pub measured: Option<Measured>,
}

impl Plan {
    /// Settles a plan, or says what makes no sense.
    pub fn new(arguments: &ExperimentArgs) -> Result<Self> {
        let mut schedule = schedule(&arguments.schedule, arguments.seed, arguments.nodes)?;
        if let Some(trials) = arguments.trials {
            let trials =
                NonZeroU32::new(trials).ok_or_else(|| usage("a run has at least one trial"))?;
            let repeats = schedule.steps.iter_mut().filter_map(|step| step.repeat.as_mut());
            repeats.for_each(|repeat| repeat.times = trials);
        }
        if let Some(rate) = arguments.rate {
            if !(rate.is_finite() && rate > 0.0) {
                return Err(usage(format!("a rate of {rate} operations per second is no load")));
            }
            schedule.load.rate = rate;
        }
        check_capabilities(&schedule, arguments.target)?;
        let network = network(arguments.target, arguments.network, Preset::default())?;
        let cut = match (arguments.target, arguments.cut) {
            (_, CutBy::Shim) => Cut::Shim,
            (Target::Docker | Target::Kubernetes, CutBy::Network) => Cut::Network,
            (target, CutBy::Network) => {
                return Err(usage(format!(
                    "--cut network takes a network to cut (--target docker or kubernetes): on target \
                     {target} the link shim cuts"
                )));
            }
        };
        if (arguments.target, arguments.peers) == (Target::Sim, Peers::Tls) {
            return Err(usage(
                "--peers tls takes a network to speak over (--target local, docker or kubernetes): \
                 the simulator hands messages over, and encrypts none",
            ));
        }
        let tuning = arguments.tuning.under(&schedule.settings);
        let plan = Self {
            target: arguments.target,
            schedule,
            seed: arguments.seed,
            storage: arguments.storage,
            peers: arguments.peers,
            via: arguments.via,
            network: None,
            tuning,
            cut,
            keep_data: arguments.keep_data,
            kubernetes: arguments.kubernetes.clone(),
            replay: None,
        };
        let plan = network.map_or(plan.clone(), |network| plan.on(network));
        check_tuning(&plan.tuning, &plan.members())?;
        if let Some(warning) = plan.too_hasty() {
            eprintln!("harness: {warning}");
        }
        Ok(plan)
    }

    /// A simulated run of this schedule, as it was written.
    pub fn simulated(
        schedule: Schedule,
        seed: u64,
        network: Preset,
        tuning: &Tuning,
    ) -> Result<Self> {
        let tuning = tuning.under(&schedule.settings);
        let plan = Self {
            target: Target::Sim,
            schedule,
            seed,
            storage: StorageKind::Memory,
            peers: Peers::Plain,
            via: Route::Direct,
            network: None,
            tuning,
            cut: Cut::Shim,
            keep_data: false,
            kubernetes: KubernetesArgs::default(),
            replay: None,
        };
        let plan = plan.on(network);
        check_tuning(&plan.tuning, &plan.members())?;
        Ok(plan)
    }

    /// The same plan on a simulated network, with the patience that it takes.
    pub fn on(self, network: Preset) -> Self {
        Self {
            network: Some(network),
            schedule: self.schedule.stretched(network.stretch()),
            tuning: self.tuning.on(network),
            ..self
        }
    }

    /// Why a leader may never stand: the election timeouts are shorter than a campaign on this network.
    fn too_hasty(&self) -> Option<String> {
        let network = self.network?;
        let (shortest, trip) =
            (self.tuning.election_timeout().start, network.model().longest_round_trip());
        (shortest < trip * 2).then(|| {
            format!(
                "on {network} a message and its answer take up to {trip:?}, and a campaign asks twice: \
                 with election timeouts from {shortest:?} on, leaders may never stand for long"
            )
        })
    }

    /// The replicas: 1 to n.
    pub fn members(&self) -> Vec<NodeId> {
        members(self.schedule.nodes)
    }

    /// What every real replica is told, besides what is its own.
    pub fn replica_arguments(&self, protocol: &Entry) -> Vec<String> {
        let mut arguments =
            replica_arguments(protocol, &self.members(), self.storage, self.peers, &self.tuning);
        arguments.extend(["--seed".to_owned(), self.seed.to_string()]);
        if let Some(key) = &self.schedule.watch {
            arguments.extend(["--watch".to_owned(), key.clone()]);
        }
        arguments
    }

    /// Refuses what this protocol cannot work with, before anything is started.
    pub fn check(&self, protocol: &Entry) -> Result<()> {
        let members = self.members();
        protocol.check(self.tuning.settings(members[0], members))
    }

    /// Whether the seed drew the whole run: then it draws disks, clocks and options besides.
    pub fn is_drawn(&self) -> bool {
        let was_real = self.replay.as_ref().is_some_and(|replay| replay.was_real);
        let is_named = self.schedule.name == format!("{SWARM}-{}", self.seed);
        self.target == Target::Sim && is_named && !was_real
    }

    /// What was measured of the run that is played again, if that is what is simulated.
    pub fn measured(&self) -> Option<&Measured> {
        self.replay.as_ref().and_then(|replay| replay.measured.as_ref())
    }

    /// Who directs the faults.
    pub fn director(&self) -> Director {
        match &self.replay {
            Some(Replay { resolved, cast, .. }) => {
                Director::replay(resolved, &self.members()).with_cast(*cast)
            }
            None => Director::new(&self.schedule, self.seed, &self.members()),
        }
    }

    /// The same plan for this protocol: with guards and options of its own, if the seed draws them,
    /// unless the command line sets some.
    pub fn of(&self, protocol: &Entry) -> Self {
        let mut plan = self.clone();
        if !self.is_drawn() {
            return plan;
        }
        let guards = draws::guards(&self.schedule, self.seed);
        plan.tuning.pre_vote &= guards.pre_vote;
        plan.tuning.check_quorum &= guards.check_quorum;
        if self.tuning.options.is_empty() {
            plan.tuning.options = draws::options(protocol.options, &self.schedule, self.seed);
        }
        plan
    }

    /// The same plan under another seed.
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }
}

/// What every real replica of a cluster is told, whatever that is for.
pub fn replica_arguments(
    protocol: &Entry,
    members: &[NodeId],
    storage: StorageKind,
    peers: Peers,
    tuning: &Tuning,
) -> Vec<String> {
    let members: Vec<_> = members.iter().map(NodeId::to_string).collect();
    let mut arguments: Vec<String> = ["--protocol", protocol.name].map(str::to_owned).into();
    arguments.extend(["--members".to_owned(), members.join(",")]);
    arguments.extend(["--storage".to_owned(), storage.to_string()]);
    arguments.extend(["--peers".to_owned(), peers.to_string()]);
    arguments.extend(tuning.arguments());
    arguments
}

/// What only the replicas of a cluster may read: new certificates, if they speak TLS.
pub fn secrets(peers: Peers, cluster: &str) -> Result<Secrets> {
    match peers {
        Peers::Plain => Ok(Secrets::default()),
        Peers::Tls => {
            let files = security::issue(cluster).context("cannot issue certificates")?;
            Ok(Secrets::new(files))
        }
    }
}

/// What a target can do.
pub const fn capabilities(target: Target) -> Capabilities {
    match target {
        Target::Sim => simulator::CAPABILITIES,
        Target::Local => deploy::LOCAL_CAPABILITIES,
        Target::Docker => deploy::DOCKER_CAPABILITIES,
        Target::Kubernetes => deploy::KUBERNETES_CAPABILITIES,
    }
}

/// Refuses a schedule with a step that the target cannot do.
pub fn check_capabilities(schedule: &Schedule, target: Target) -> Result<()> {
    match schedule.unsupported_on(capabilities(target)).first() {
        Some(unsupported) => {
            Err(usage(format!("target {target} cannot do this schedule: {unsupported}")))
        }
        None => Ok(()),
    }
}

/// The simulated network, which real targets have none of: the one asked for, or else the usual one.
pub fn network(target: Target, asked: Option<Preset>, usual: Preset) -> Result<Option<Preset>> {
    match (target, asked) {
        (Target::Sim, asked) => Ok(Some(asked.unwrap_or(usual))),
        (_, None) => Ok(None),
        (_, Some(network)) => Err(usage(format!(
            "--network {network} is simulated (--target sim): target {target} talks over \
             a real network, on which a schedule's `link` steps can delay messages"
        ))),
    }
}

/// The replicas of a cluster of this size: 1 to n.
pub fn members(nodes: NonZeroUsize) -> Vec<NodeId> {
    (1..=nodes.get() as u64).map(NodeId).collect()
}

/// The schedule of this name for a cluster of this size: `swarm`, a bundled one, or a file. Without
/// a size, the schedule's own; a swarm draws it.
pub fn schedule(name: &str, seed: u64, nodes: Option<usize>) -> Result<Schedule> {
    let nodes = nodes
        .map(|nodes| {
            NonZeroUsize::new(nodes).ok_or_else(|| usage("a cluster has at least one replica"))
        })
        .transpose()?;
    if name == SWARM {
        return Ok(Schedule::swarm(seed, nodes.unwrap_or_else(|| swarm_nodes(seed))));
    }
    named(name, nodes)
}

/// The name under which a schedule is drawn from the seed.
const SWARM: &str = "swarm";

/// The usual size of a cluster.
pub const SIZE: NonZeroUsize = NonZeroUsize::new(5).expect("five is not zero");

/// The sizes of drawn clusters: mostly five.
const SWARM_SIZES: [usize; 5] = [3, 5, 5, 5, 7];

fn swarm_nodes(seed: u64) -> NonZeroUsize {
    let which = Draw::new(seed).of("nodes").below(SWARM_SIZES.len() as u64);
    NonZeroUsize::new(SWARM_SIZES[which as usize]).expect("no drawn cluster is empty")
}

/// The bundled schedule of this name, or the one in this file; for a cluster of its own size, or of
/// this one.
pub fn named(name: &str, nodes: Option<NonZeroUsize>) -> Result<Schedule> {
    let bundled = Schedule::names().iter().find(|bundled| bundled.name == name);
    let (file, text) = match bundled {
        Some(bundled) => (format!("{name}.toml"), bundled.text.to_owned()),
        None => (name.to_owned(), read(name)?),
    };
    Schedule::parse_for(&file, &text, nodes).map_err(|error| usage(error.to_string()))
}

fn read(name: &str) -> Result<String> {
    let path = Path::new(name);
    let exists = || {
        let known: Vec<_> = Schedule::names().iter().map(|named| named.name).collect();
        format!("bundled are: {}; and '{SWARM}' draws one from the seed", known.join(", "))
    };
    let is_path = path.extension().is_some() || path.components().count() > 1;
    if !is_path && !path.is_file() {
        let exists = exists();
        return Err(usage(format!(
            "there is no schedule '{name}', bundled or as a file; {exists}"
        )));
    }
    fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => usage(format!("there is no schedule file {name}; {}", exists())),
        _ => usage(format!("cannot read the schedule {name}: {error}")),
    })
}

/// Refuses parameters under which the protocols cannot work.
pub fn check_tuning(tuning: &Tuning, members: &[NodeId]) -> Result<()> {
    let node = members.first().copied().unwrap_or_default();
    let valid: Result<(), SettingsError> = tuning.settings(node, members.to_vec()).validate();
    valid.map_err(|error| usage(error.to_string()))
}

/// Where a run writes: where it was told to, or a new folder under `runs/`.
pub fn directory(asked: Option<&Path>, name: &str, stamp: &str) -> Result<PathBuf> {
    let path = match asked {
        Some(path) => path.to_owned(),
        None => Path::new("runs").join(format!("{stamp}-{name}")),
    };
    let occupied = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(usage(format!(
            "{} is not empty: a run never overwrites another; choose another --out",
            path.display()
        )));
    }
    fs::create_dir_all(&path).map_err(|error| {
        let why = if path.is_file() { "a file is there".to_owned() } else { plainly(&error) };
        usage(format!("cannot create the folder {}: {why}", path.display()))
    })?;
    check_writable(&path).map_err(usage)?;
    Ok(path)
}

/// How much must be left on a disk that is not full, in bytes.
const ROOM: usize = 1 << 20;

/// Whether something can be written into this folder; otherwise a sentence's beginning that says why
/// not.
pub fn check_writable(directory: &Path) -> Result<(), String> {
    let probe = directory.join(".probe");
    let written = fs::File::create(&probe).and_then(|mut file| {
        file.write_all(&vec![1; ROOM])?;
        file.sync_all()
    });
    // Whether or not it could be written whole.
    let removed = fs::remove_file(&probe);
    written
        .and(removed)
        .map_err(|error| format!("cannot write to {}: {}", directory.display(), plainly(&error)))
}

/// What the operating system says, in words that need no manual.
fn plainly(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        _ => error.to_string(),
    }
}

/// A command of the harness with these arguments, as a person would type it.
pub fn typed(arguments: impl IntoIterator<Item = String>) -> String {
    let words = arguments.into_iter().map(|argument| {
        let plain = |c: char| c.is_alphanumeric() || "-_.,/=:".contains(c);
        if argument.chars().all(plain) { argument } else { format!("'{argument}'") }
    });
    std::iter::once("harness".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
