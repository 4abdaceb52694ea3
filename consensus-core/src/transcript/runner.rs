//! Plays goldenscript files on a cluster.

use std::{error::Error, fmt::Write as _, path::Path, time::Duration};

use goldenscript::{ArgumentConsumer, Command, Context};

use super::{Clock, Cluster, Flight, Script, Transfer, happening::name};
use crate::{
    configuration::Change,
    id::NodeId,
    protocol::{Ask, Consistency, Protocol, Status},
    record::{Disk, Write},
    settings::Settings,
};

mod words;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long `stabilize` tries, in rounds of deliveries and syncs.
const ROUNDS: usize = 1_000;

/// Plays transcripts of one protocol; see the [module's documentation](super) for the commands.
#[derive(Debug)]
pub struct Runner<S: Script> {
    cluster: Option<Cluster<S::Protocol>>,
    /// The settings of every node but its name.
    settings: Settings,
}

impl<S: Script> Default for Runner<S> {
    fn default() -> Self {
        Self { cluster: None, settings: Settings::new(NodeId(1), Vec::new()) }
    }
}

impl<S: Script> Runner<S> {
    /// Plays every transcript of a folder, each on a cluster of its own, and compares what happens
    /// with what is written there (`UPDATE_GOLDENFILES=1` writes it anew).
    ///
    /// # Panics
    ///
    /// If a transcript cannot be read or played, or tells another story.
    pub fn play_all(folder: impl AsRef<Path>) {
        let folder = folder.as_ref();
        let entries = std::fs::read_dir(folder).expect("the folder of transcripts exists");
        let mut paths: Vec<_> =
            entries.map(|entry| entry.expect("the folder can be read").path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} holds no transcript", folder.display());
        for path in paths {
            goldenscript::run(&mut Self::default(), &path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    fn cluster(&mut self) -> Result<&mut Cluster<S::Protocol>> {
        self.cluster.as_mut().ok_or_else(|| "there is no cluster yet".into())
    }

    fn node(&mut self, name: &str) -> Result<NodeId> {
        let node = words::node(name)?;
        if self.cluster()?.ids().contains(&node) {
            Ok(node)
        } else {
            Err(format!("there is no n{node}").into())
        }
    }

    fn next_node(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<NodeId> {
        self.node(args.next_pos().ok_or("which node?")?)
    }

    /// The nodes named, or all.
    fn nodes(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<Vec<NodeId>> {
        let mut nodes = Vec::new();
        while let Some(name) = args.next_pos() {
            nodes.push(self.node(name)?);
        }
        if nodes.is_empty() { Ok(self.cluster()?.ids()) } else { Ok(nodes) }
    }

    fn start(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let nodes: u64 = args.take_key("nodes").ok_or("how many nodes?")?.parse()?;
        let seed = args.take_key("seed").unwrap_or("0").parse()?;
        let members = args.take_key("members").map_or(Ok(nodes), str::parse)?;
        let mut settings = Settings::new(NodeId(1), (1..=members).map(NodeId).collect());
        while let Some((key, value)) = args.next_key() {
            words::change::<S::Protocol>(&mut settings, key, value)?;
        }
        let config = |node| Ok((node, S::config(Settings { node, ..settings.clone() })?));
        let configs: Result<Vec<_>> = (1..=nodes).map(NodeId).map(config).collect();
        let cluster = self.cluster.insert(Cluster::start(seed, configs?));
        if settings.leases {
            cluster.keep_time();
        }
        self.settings = settings;
        Ok(())
    }

    fn join(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = words::node(args.next_pos().ok_or("which node?")?)?;
        let mut settings = Settings { node, ..self.settings.clone() };
        match args.take_key("knows") {
            None => {}
            Some("nobody") => settings.members.clear(),
            Some(other) => {
                return Err(format!("it knows the members or nobody, not {other}").into());
            }
        }
        let config = S::config(settings)?;
        let cluster = self.cluster()?;
        if cluster.ids().contains(&node) {
            return Err(format!("n{node} is there already").into());
        }
        cluster.join(node, config, Clock::default());
        Ok(())
    }

    fn seed(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        let mut writes = Vec::new();
        if let Some(base) = args.take_key("base") {
            writes.push(Write::Base(words::snapshot(base)?));
        }
        let words: Vec<_> = std::iter::from_fn(|| args.next_pos()).collect();
        let named: Vec<_> = std::iter::from_fn(|| args.next_key()).collect();
        writes.extend(S::seed(&words, &named)?);
        self.cluster()?.seed(node, writes);
        Ok(())
    }

    fn timeout(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        let name = args.next_pos().ok_or("which timer?")?;
        let timer = S::timer(name).ok_or_else(|| format!("there is no timer {name}"))?;
        if self.cluster()?.timeout(node, timer) {
            Ok(())
        } else {
            Err(format!("{timer:?} of n{node} is not armed").into())
        }
    }

    fn propose(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        let mut asks = Vec::new();
        while let Some(command) = args.next_pos() {
            asks.push(Ask::Propose(command.to_owned().into()));
        }
        self.cluster()?.ask(node, asks);
        Ok(())
    }

    fn read(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        let consistency = match args.take_key("consistency").or_else(|| args.next_pos()) {
            None | Some("linearizable") => Consistency::Linearizable,
            Some("lease") => Consistency::Lease,
            Some("follower") => Consistency::Follower,
            Some("stale") => Consistency::Stale,
            Some(other) => return Err(format!("there is no consistency {other}").into()),
        };
        self.cluster()?.ask(node, [Ask::Read(consistency)]);
        Ok(())
    }

    fn reconfigure(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        let mut named = |key| args.take_key(key).map_or(Ok(Vec::new()), words::nodes);
        let change =
            Change { add: named("add")?, learn: named("learn")?, remove: named("remove")? };
        self.cluster()?.ask(node, [Ask::Reconfigure(change)]);
        Ok(())
    }

    fn transfer(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        let to = args.take_key("to").map(words::node).transpose()?;
        self.cluster()?.ask(node, [Ask::Transfer(to)]);
        Ok(())
    }

    fn suspect(&mut self, args: &mut ArgumentConsumer<'_>, suspected: bool) -> Result<()> {
        let by = self.next_node(args)?;
        let node = words::node(args.next_pos().ok_or("suspects whom?")?)?;
        self.cluster()?.suspect(by, node, suspected);
        Ok(())
    }

    fn save(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        if self.cluster()?.save(node) {
            Ok(())
        } else {
            Err(format!("n{node} asked for no snapshot").into())
        }
    }

    fn transfers(
        &mut self,
        args: &mut ArgumentConsumer<'_>,
        act: impl FnOnce(&mut Cluster<S::Protocol>, &dyn Fn(&Transfer) -> bool) -> usize,
    ) -> Result<()> {
        let from = args.take_key("from").map(words::node).transpose()?;
        let to = args.take_key("to").map(words::node).transpose()?;
        let chosen = |transfer: &Transfer| {
            from.is_none_or(|from| transfer.from == from) && to.is_none_or(|to| transfer.to == to)
        };
        match act(self.cluster()?, &chosen) {
            0 => Err("no such snapshot is on its way to a node that is up".into()),
            _ => Ok(()),
        }
    }

    fn snapshots(&mut self) -> Result<String> {
        let cluster = self.cluster()?;
        let mut text = String::new();
        for node in cluster.ids() {
            for meta in cluster.asked(node) {
                writeln!(text, "n{node} asked for {}", name(meta))?;
            }
            for meta in cluster.snapshots(node) {
                writeln!(text, "n{node} has {}", name(meta))?;
            }
        }
        for Transfer { from, to, snapshot } in cluster.transfers() {
            writeln!(text, "n{from} -> n{to}: {}", name(snapshot))?;
        }
        Ok(text)
    }

    fn clock(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        let ahead = args.take_key("ahead_ms").map_or(Ok(0), str::parse)?;
        let drift_ppm = args.take_key("drift_ppm").map_or(Ok(0), words::drift)?;
        let clock = Clock { ahead: Duration::from_millis(ahead), drift_ppm };
        self.cluster()?.set_clock(node, clock);
        Ok(())
    }

    fn partition(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let mut groups = Vec::new();
        while let Some(names) = args.next_pos() {
            let group: Result<Vec<_>> = names.split('-').map(|name| self.node(name)).collect();
            groups.push(group?);
        }
        let cluster = self.cluster()?;
        cluster.heal();
        let of = |node| groups.iter().position(|group| group.contains(&node));
        for from in cluster.ids() {
            for to in cluster.ids().into_iter().filter(|&to| of(from) != of(to)) {
                cluster.cut(from, to);
            }
        }
        Ok(())
    }

    fn cut(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let (from, to) = (self.next_node(args)?, self.next_node(args)?);
        self.cluster()?.cut(from, to);
        Ok(())
    }

    fn crash(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        let kept = args.take_key("keep").unwrap_or("0").parse()?;
        self.cluster()?.crash(node, kept);
        Ok(())
    }

    fn sync(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let batches = args.take_key("batches").map_or(Ok(usize::MAX), str::parse)?;
        for node in self.nodes(args)? {
            self.cluster()?.sync(node, batches);
        }
        Ok(())
    }

    fn stabilize(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let nodes = self.nodes(args)?;
        if self.cluster()?.stabilize(ROUNDS, |node| nodes.contains(&node)) {
            Ok(())
        } else {
            Err("it moves for ever".into())
        }
    }

    fn flights(
        &mut self,
        args: &mut ArgumentConsumer<'_>,
        act: impl FnOnce(&mut Cluster<S::Protocol>, &dyn Fn(&Flight<S::Protocol>) -> bool) -> usize,
    ) -> Result<()> {
        let from = args.take_key("from").map(|name| self.node(name)).transpose()?;
        let to = args.take_key("to").map(|name| self.node(name)).transpose()?;
        let mut numbers: Vec<u64> = Vec::new();
        while let Some(number) = args.next_pos().filter(|&word| word != "all") {
            numbers.push(number.parse()?);
        }
        let chosen = |flight: &Flight<S::Protocol>| {
            from.is_none_or(|from| flight.from == from)
                && to.is_none_or(|to| flight.to == to)
                && (numbers.is_empty() || numbers.contains(&flight.number))
        };
        match act(self.cluster()?, &chosen) {
            0 => Err("no such message is on its way".into()),
            _ => Ok(()),
        }
    }

    fn messages(&mut self) -> Result<String> {
        let line = |Flight { number, from, to, message }: &Flight<S::Protocol>| {
            format!("n{from} -> n{to} #{number}: {}\n", S::message(message))
        };
        Ok(self.cluster()?.flights().iter().map(line).collect())
    }

    fn status(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<String> {
        let mut text = String::new();
        for node in self.nodes(args)? {
            let cluster = self.cluster()?;
            let line = match cluster.replica(node).map(Protocol::status) {
                None => format!("n{node} is down\n"),
                Some(status) => {
                    let applied = cluster.applied(node);
                    let members = words::members(&status, &self.settings.members);
                    status_text(&status) + &format!(" applied={applied}{members}\n")
                }
            };
            text.push_str(&line);
        }
        Ok(text)
    }

    fn memory(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<String> {
        let mut text = String::new();
        for node in self.nodes(args)? {
            match self.cluster()?.replica(node).map(Protocol::status) {
                None => writeln!(text, "n{node} is down")?,
                Some(Status { first, last, .. }) if first > last => {
                    writeln!(text, "n{node} holds nothing up to {last}")?;
                }
                Some(Status { first, last, .. }) => {
                    writeln!(text, "n{node} holds {first}..={last}")?
                }
            }
        }
        Ok(text)
    }

    fn log(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<String> {
        let mut text = String::new();
        for node in self.nodes(args)? {
            let disk = self.cluster()?.disk(node);
            let (durable, written) = (disk.durable(), disk.written());
            text.push_str(&format!("n{node}: {}", disk_text::<S>(durable)));
            if written != *durable {
                text.push_str(&format!(" | {}", disk_text::<S>(&written)));
            }
            text.push('\n');
        }
        Ok(text)
    }
}

impl<S: Script> goldenscript::Runner for Runner<S> {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Result<String> {
        let mut args = command.consume_args();
        let args = &mut args;
        let mut text = String::new();
        match command.name.as_str() {
            "cluster" => self.start(args)?,
            "seed" => self.seed(args)?,
            "timeout" => self.timeout(args)?,
            "deliver" => self.flights(args, |cluster, chosen| cluster.deliver(chosen))?,
            "drop" => self.flights(args, |cluster, chosen| cluster.lose(chosen))?,
            "duplicate" => self.flights(args, |cluster, chosen| cluster.duplicate(chosen))?,
            "reorder" => self.flights(args, |cluster, chosen| cluster.reverse(chosen))?,
            "messages" => text = self.messages()?,
            "sync" => self.sync(args)?,
            "crash" => self.crash(args)?,
            "restart" => {
                let node = self.next_node(args)?;
                self.cluster()?.restart(node);
            }
            "join" => self.join(args)?,
            "destroy" => {
                let node = self.next_node(args)?;
                self.cluster()?.destroy(node);
            }
            "propose" => self.propose(args)?,
            "read" => self.read(args)?,
            "reconfigure" => self.reconfigure(args)?,
            "transfer" => self.transfer(args)?,
            "suspect" => self.suspect(args, true)?,
            "trust" => self.suspect(args, false)?,
            "save" => self.save(args)?,
            "install" => self.transfers(args, |cluster, chosen| cluster.install(chosen))?,
            "break" => self.transfers(args, |cluster, chosen| cluster.lose_transfers(chosen))?,
            "snapshots" => text = self.snapshots()?,
            "clock" => self.clock(args)?,
            "partition" => self.partition(args)?,
            "cut" => self.cut(args)?,
            "heal" => self.cluster()?.heal(),
            "stabilize" => self.stabilize(args)?,
            "run" => {
                let time = words::time(args)?;
                self.cluster()?.run(time);
            }
            "pass" => {
                let time = words::time(args)?;
                self.cluster()?.pass(time);
            }
            "status" => text = self.status(args)?,
            "memory" => text = self.memory(args)?,
            "log" => text = self.log(args)?,
            other => return Err(format!("there is no command {other}").into()),
        }
        args.reject_next()?;
        let happened = self.cluster()?.take_happened();
        let lines = happened.iter().map(|happening| happening.line::<S>() + "\n");
        Ok(lines.collect::<String>() + &text)
    }
}

fn disk_text<S: Script>(disk: &Disk<<S::Protocol as Protocol>::Record>) -> String {
    let base = disk.base.as_ref().map(|meta| format!("base {}", name(meta)));
    let state = disk.state.iter().chain(&disk.entries).map(S::record);
    let parts: Vec<_> = base.into_iter().chain(state).collect();
    if parts.is_empty() { "empty".into() } else { parts.join("; ") }
}

fn status_text(status: &Status) -> String {
    let Status { node, role, epoch, commit, last, .. } = status;
    let leader = status.leader.map_or("none".into(), |leader| format!("n{leader}"));
    format!("n{node} {role} epoch={epoch} leader={leader} commit={commit} last={last}")
}
