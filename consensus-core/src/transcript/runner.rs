//! Plays goldenscript files on a cluster.

use std::{error::Error, path::Path, time::Duration};

use goldenscript::{ArgumentConsumer, Command, Context};

use super::{Cluster, Flight, Script};
use crate::{
    id::{Epoch, NodeId},
    protocol::{Ask, Consistency, Protocol},
    record::{Disk, SnapshotMeta, Write},
    settings::Settings,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long `stabilize` tries, in rounds of deliveries and syncs.
const ROUNDS: usize = 1_000;

/// Plays transcripts of one protocol; see the [module's documentation](super) for the commands.
#[derive(Debug)]
pub struct Runner<S: Script> {
    cluster: Option<Cluster<S::Protocol>>,
}

impl<S: Script> Default for Runner<S> {
    fn default() -> Self {
        Self { cluster: None }
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
        let node = parse_node(name)?;
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
        let members: Vec<_> = (1..=nodes).map(NodeId).collect();
        let mut settings = Settings::new(NodeId(1), members.clone());
        while let Some((key, value)) = args.next_key() {
            change(&mut settings, key, value)?;
        }
        let config = |node| (node, S::config(Settings { node, ..settings.clone() }));
        self.cluster = Some(Cluster::start(seed, members.into_iter().map(config)));
        Ok(())
    }

    fn seed(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<()> {
        let node = self.next_node(args)?;
        let mut writes = Vec::new();
        if let Some(base) = args.take_key("base") {
            writes.push(Write::Base(parse_snapshot(base)?));
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
        let consistency = match args.take_key("consistency") {
            None | Some("linearizable") => Consistency::Linearizable,
            Some("stale") => Consistency::Stale,
            Some(other) => return Err(format!("there is no consistency {other}").into()),
        };
        self.cluster()?.ask(node, [Ask::Read(consistency)]);
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
                Some(status) => format!(
                    "n{node} {} epoch={} leader={} commit={} last={} applied={}\n",
                    status.role,
                    status.epoch,
                    status.leader.map_or("none".into(), |leader| format!("n{leader}")),
                    status.commit,
                    status.last,
                    cluster.applied(node),
                ),
            };
            text.push_str(&line);
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
            "propose" => self.propose(args)?,
            "read" => self.read(args)?,
            "partition" => self.partition(args)?,
            "cut" => self.cut(args)?,
            "heal" => self.cluster()?.heal(),
            "stabilize" => self.stabilize(args)?,
            "run" => {
                let milliseconds = args.take_key("ms").ok_or("for how many ms?")?.parse()?;
                self.cluster()?.run(Duration::from_millis(milliseconds));
            }
            "status" => text = self.status(args)?,
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
    let base = disk.base.as_ref().map(|meta| format!("base {}@{}", meta.index, meta.epoch));
    let state = disk.state.iter().chain(&disk.entries).map(S::record);
    let parts: Vec<_> = base.into_iter().chain(state).collect();
    if parts.is_empty() { "empty".into() } else { parts.join("; ") }
}

fn parse_node(name: &str) -> Result<NodeId> {
    Ok(NodeId(name.trim_start_matches('n').parse()?))
}

/// `INDEX@ROUND` or `INDEX@ROUND.NODE`.
fn parse_snapshot(text: &str) -> Result<SnapshotMeta> {
    let (index, epoch) = text.split_once('@').ok_or("a base is INDEX@EPOCH")?;
    let (round, node) = epoch.split_once('.').unwrap_or((epoch, "0"));
    let epoch = Epoch { round: round.parse()?, node: parse_node(node)? };
    Ok(SnapshotMeta { index: index.parse()?, epoch, ..SnapshotMeta::default() })
}

fn change(settings: &mut Settings, key: &str, value: &str) -> Result<()> {
    match key {
        "pre_vote" => settings.pre_vote = value.parse()?,
        "check_quorum" => settings.check_quorum = value.parse()?,
        "max_batch_entries" => settings.max_batch_entries = value.parse()?,
        "max_batch_bytes" => settings.max_batch_bytes = value.parse()?,
        "max_inflight_batches" => settings.max_inflight_batches = value.parse()?,
        "max_uncommitted_entries" => settings.max_uncommitted_entries = value.parse()?,
        "max_uncommitted_bytes" => settings.max_uncommitted_bytes = value.parse()?,
        _ => return Err(format!("there is no setting {key}").into()),
    }
    Ok(())
}
