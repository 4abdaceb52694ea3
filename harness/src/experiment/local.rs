//! The target `local`: real processes on loopback, real disks, real time.

use std::{collections::BTreeMap, ffi::OsString, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use consensus_core::{NodeId, Time};
use deploy::{LocalCluster, LocalSpec};
use faults::{Action, Director, Effect, Observation};
use replica::{clock, http::server::Report};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep},
};

use super::{
    Raw, Recovery, collect,
    load::{Completed, Load},
    progress::Progress,
    watch::{self, Ledger, News, Watch},
};
use crate::{cli::Route, plan::Plan, registry::Entry};

/// How long the replicas may take to find each other and elect a leader.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long the replicas may take to agree after the load has ended.
const AGREE_WITHIN: Duration = Duration::from_secs(15);

/// How often replicas are asked how far they are, while that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often each replica's costs are looked at during the run.
const COSTS_EVERY: Duration = Duration::from_millis(200);

/// Runs a plan on this machine. Whatever happens, no process is left behind.
pub fn local(plan: &Plan, protocol: &Entry, directory: &Path) -> Result<Raw> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // Children die with the thread that started them: this one, which waits for the run's end.
    runtime.block_on(async {
        let spec = spec(plan, protocol, directory)?;
        let progress = Progress::new(plan.schedule.trial_count());
        progress.stage("starting the replicas");
        let cluster = LocalCluster::start(spec).await?;
        Run::new(plan, cluster, progress)?.to_the_end(plan, directory).await
    })
}

fn spec(plan: &Plan, protocol: &Entry, directory: &Path) -> Result<LocalSpec> {
    let executable = std::env::current_exe().context("cannot find this executable")?;
    let directory = std::path::absolute(directory).context("cannot name the run's folder")?;
    let members: Vec<_> = plan.members().iter().map(NodeId::to_string).collect();
    let mut replica: Vec<String> = ["--protocol", protocol.name, "--die-with-parent"]
        .map(str::to_owned)
        .into();
    replica.extend(["--members".to_owned(), members.join(",")]);
    replica.extend(["--storage".to_owned(), plan.storage.to_string()]);
    replica.extend(["--seed".to_owned(), plan.seed.to_string()]);
    if let Some(key) = &plan.schedule.watch {
        replica.extend(["--watch".to_owned(), key.clone()]);
    }
    replica.extend(plan.tuning.arguments());
    let gateway = matches!(plan.via, Route::Gateway).then(|| vec!["--die-with-parent".into()]);
    Ok(LocalSpec {
        executable,
        directory,
        members: plan.members(),
        replica_arguments: replica.into_iter().map(OsString::from).collect(),
        gateway_arguments: gateway,
    })
}

/// A run under way.
struct Run {
    cluster: LocalCluster,
    director: Director,
    progress: Progress,
    watch: Watch,
    news: UnboundedReceiver<News>,
    reports: UnboundedReceiver<Report>,
    tellers: Tellers,
    ledger: Ledger,
    partial: bool,
}

/// Where those who watch a replica tell what they see.
#[derive(Clone)]
struct Tellers {
    news: UnboundedSender<News>,
    reports: UnboundedSender<Report>,
}

impl Run {
    fn new(plan: &Plan, cluster: LocalCluster, progress: Progress) -> Result<Self> {
        let (news_teller, news) = unbounded_channel();
        let (reports_teller, reports) = unbounded_channel();
        let run = Self {
            cluster,
            director: Director::new(&plan.schedule, plan.seed, &plan.members()),
            progress,
            watch: Watch::new()?,
            news,
            reports,
            tellers: Tellers { news: news_teller, reports: reports_teller },
            ledger: Ledger::default(),
            partial: false,
        };
        plan.members().into_iter().for_each(|node| run.follow(node));
        Ok(run)
    }

    async fn to_the_end(mut self, plan: &Plan, directory: &Path) -> Result<Raw> {
        self.wait_until_ready(plan).await?;
        let before = self.ledger.clone();
        let addresses = self.cluster.addresses();
        let servers: BTreeMap<_, _> = addresses.iter().map(|(&node, at)| (node, at.client)).collect();
        let ready = clock::now();
        let mut load = Load::start(plan, &servers, self.cluster.gateway(), ready)?;
        self.director.observe(ready, Observation::Ready);
        self.progress.stage("the load runs");
        self.drive(&mut load).await?;
        let end = clock::now();
        self.progress.stage("the clients finish");
        let operations = load.finish().await;
        self.progress.stage("the replicas come to agree");
        let agreed = self.wait_until_agreed(plan).await?;
        self.progress.finish();
        let data: Vec<_> = plan
            .members()
            .into_iter()
            .map(|node| (node, self.cluster.data_directory(node)))
            .collect();
        self.cluster.shut_down().await?;
        let collected = collect::collect(&data)?;
        if !plan.keep_data && agreed {
            collect::discard(&directory.join("data"))?;
        }
        let healed = self.director.healed_at();
        let nodes = data.len();
        let caught_up = healed.and_then(|at| collect::caught_up(&collected.samples, at, nodes));
        Ok(Raw {
            recovery: Recovery {
                leader: Recovery::served_after(healed, &operations),
                converged: healed.zip(caught_up).map(|(from, to)| to.since(from)),
            },
            operations,
            applied: collected.applied,
            observed: collected.observed,
            samples: collected.samples,
            states: Vec::new(),
            resolved: self.director.resolved(),
            ready,
            end,
            counters: self.ledger.since(&before),
            damaged: self.ledger.damaged(),
            durability: self.ledger.durability(),
            partial: self.partial || !agreed,
        })
    }

    /// Follows a replica until its process ends: what it notes, and what it costs.
    fn follow(&self, node: NodeId) {
        let address = self.cluster.addresses()[&node].client;
        let Tellers { news, reports } = self.tellers.clone();
        tokio::spawn(watch::follow(self.watch.clone(), address, news));
        let watch = self.watch.clone();
        tokio::spawn(async move {
            // A frozen replica answers nothing for a while; a dead one refuses the connection.
            while let Some(report) = watch.patient_report(address).await {
                if reports.send(report).is_err() {
                    return;
                }
                sleep(COSTS_EVERY).await;
            }
        });
    }

    async fn wait_until_ready(&mut self, plan: &Plan) -> Result<()> {
        self.progress.stage("the replicas find each other");
        let since = Instant::now();
        let nodes = plan.members();
        loop {
            let reports = self.watch.reports(self.cluster.addresses(), &nodes).await;
            if watch::all_found_each_other(&reports, nodes.len()) {
                reports.into_values().for_each(|report| self.ledger.note(report));
                return Ok(());
            }
            self.check_processes()?;
            if since.elapsed() > READY_WITHIN {
                bail!(
                    "the replicas did not find each other and elect a leader within \
                     {READY_WITHIN:?}: {}",
                    watch::describe(&reports)
                );
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _ = tokio::signal::ctrl_c() => bail!("interrupted before the cluster served"),
            }
        }
    }

    /// Waits until all replicas hold the same; `false` if they do not in time.
    async fn wait_until_agreed(&mut self, plan: &Plan) -> Result<bool> {
        let since = Instant::now();
        let nodes = plan.members();
        loop {
            self.welcome().await?;
            let reports = self.watch.reports(self.cluster.addresses(), &nodes).await;
            let agreed = watch::all_agree(&reports, nodes.len());
            let told = watch::describe(&reports);
            reports.into_values().for_each(|report| self.ledger.note(report));
            if agreed {
                return Ok(true);
            }
            self.check_processes()?;
            if since.elapsed() > AGREE_WITHIN {
                self.progress.say(&format!("the replicas do not agree: {told}"));
                return Ok(false);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Carries the schedule out, until it is over or somebody interrupts.
    async fn drive(&mut self, load: &mut Load) -> Result<()> {
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        while !self.director.finished() {
            for action in self.director.poll(clock::now()) {
                self.carry_out(action, load).await?;
            }
            self.welcome().await?;
            self.check_processes()?;
            let next = self.director.next_wakeup().unwrap_or(Time(u64::MAX));
            let wait = next.since(clock::now()).min(LOOK_EVERY);
            tokio::select! {
                Some(News(observed)) = self.news.recv() => {
                    let observation =
                        Observation::Event { node: observed.node, event: &observed.event };
                    self.director.observe(clock::now(), observation);
                    self.progress.observed(&observed);
                }
                Some(completed) = load.completed() => self.acknowledged(&completed),
                Some(report) = self.reports.recv() => self.ledger.note(report),
                () = sleep(wait) => {}
                _ = &mut interrupted => {
                    self.progress.say("interrupted: healing, and keeping what was measured");
                    self.partial = true;
                    for action in self.director.abort(clock::now()) {
                        self.carry_out(action, load).await?;
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    fn acknowledged(&mut self, completed: &Completed) {
        let Completed { operation, node } = completed;
        self.progress.completed(operation);
        let changed = operation.outcome.is_ok() && operation.sequence > 0;
        if let Some(node) = node.filter(|_| changed) {
            self.director.observe(clock::now(), Observation::Acknowledged { node });
        }
    }

    async fn carry_out(&mut self, action: Action, load: &Load) -> Result<()> {
        self.progress.action(clock::now(), &action);
        match &action.effect {
            Effect::Crash(nodes) => {
                self.cluster.crash(nodes).await?;
                self.tell_down(nodes);
            }
            Effect::Stop(nodes) => {
                self.cluster.stop(nodes)?;
                self.tell_down(nodes);
            }
            Effect::Start(nodes) => self.cluster.launch(nodes).await?,
            Effect::Pause(nodes) => self.cluster.pause(nodes)?,
            Effect::Resume(nodes) => self.cluster.resume(nodes)?,
            Effect::Links(rules) => self.cluster.set_links(rules.clone()).await?,
            Effect::LoadFactor(factor) => load.set_factor(*factor),
            Effect::Put { key, value } => load.put(key.clone(), value.clone()),
        }
        Ok(())
    }

    fn tell_down(&mut self, nodes: &[NodeId]) {
        for &node in nodes {
            self.director.observe(clock::now(), Observation::Down { node });
        }
    }

    /// Takes notice of replicas that listen again.
    async fn welcome(&mut self) -> Result<()> {
        for node in self.cluster.arrivals().await? {
            self.director.observe(clock::now(), Observation::Up { node });
            self.follow(node);
        }
        Ok(())
    }

    /// A replica that ends by itself ends the run.
    fn check_processes(&mut self) -> Result<()> {
        match self.cluster.exits().first() {
            Some(exit) => bail!("{exit}"),
            None => Ok(()),
        }
    }
}
