//! A run on a real target, whichever it is: the schedule carried out in real time, under load.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Error, Result, anyhow, bail};
use consensus_core::{NodeId, Role, Status, Time};
use deploy::{Addresses, Cluster, Site};
use faults::{Action, Answer, Director, Effect, Observation, Phase, director::TrialKey};
use replica::{clock, http::server::Report};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep, timeout},
};

use super::{
    Raw, Recovery,
    administrators::{Administrators, Wish},
    collect,
    load::{Clients, Completed, Load},
    progress::Progress,
    watch::{self, Heard, Ledger, News, Watch},
};
use crate::{
    cli::Route,
    interrupt::Interrupts,
    plan::{self, Plan},
};

/// How long the replicas may take to find each other and elect a leader.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long the replicas may take to agree after the load has ended.
const AGREE_WITHIN: Duration = Duration::from_secs(15);

/// The same, if somebody waits for the end of a run that was interrupted.
const AGREE_WITHIN_IF_INTERRUPTED: Duration = Duration::from_secs(3);

/// How often replicas are asked how far they are, while that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often each replica's costs are looked at during the run.
const COSTS_EVERY: Duration = Duration::from_millis(200);

/// Runs a plan on a cluster of which nobody runs yet. Whatever happens, nobody is left behind.
///
/// A run that breaks, or that somebody interrupts, once the cluster served keeps what was measured
/// until then: it is partial.
pub fn run<S: Site>(
    plan: &Plan,
    site: impl AsyncFnOnce() -> Result<(S, Clients)>,
    directory: &Path,
    interrupts: &Interrupts,
) -> Result<Raw> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // Children of this process die with the thread that started them: this one, which waits for the
    // run's end.
    runtime.block_on(async {
        let (site, clients) = site().await?;
        let mut cluster = Cluster::new(site, plan.members())?;
        let carried = attempt(plan, &mut cluster, clients, directory, interrupts).await;
        let cleared = cluster.clear().await.context("something of the run is left behind");
        let raw = carried?;
        cleared.map(|()| raw)
    })
}

async fn attempt<S: Site>(
    plan: &Plan,
    cluster: &mut Cluster<S>,
    clients: Clients,
    directory: &Path,
    interrupts: &Interrupts,
) -> Result<Raw> {
    let progress = Progress::new(plan.schedule.trial_count());
    let ready = async {
        progress.stage("starting the replicas");
        cluster.start().await?;
        if plan.via == Route::Gateway {
            cluster.start_gateway().await?;
        }
        let mut run = Run::new(plan, cluster, progress)?;
        run.wait_until_ready(plan).await?;
        Ok(run)
    };
    let run = tokio::select! {
        run = ready => run.map_err(|error| disk_trouble(directory).unwrap_or(error))?,
        () = interrupts.come() => bail!("interrupted before the cluster served: nothing was measured"),
    };
    run.carry_through(plan, clients, directory, interrupts).await
}

/// Whether nothing can be written there any more: whatever broke, broke for that, and that is all
/// that is worth saying.
fn disk_trouble(directory: &Path) -> Option<Error> {
    let why = plan::check_writable(directory).err()?;
    Some(anyhow!("{why}: the run was ended, and nothing of it could be kept"))
}

/// Where each replica is reached, by clients or by an administrator.
fn servers<S: Site>(
    cluster: &Cluster<S>,
    by: impl Fn(&Addresses) -> SocketAddr,
) -> BTreeMap<NodeId, SocketAddr> {
    cluster.addresses().iter().map(|(&node, at)| (node, by(at))).collect()
}

/// A run under way.
struct Run<'a, S: Site> {
    cluster: &'a mut Cluster<S>,
    administrators: Administrators,
    /// Who votes or learns, as far as that is known.
    members: Vec<NodeId>,
    director: Director,
    progress: Progress,
    watch: Watch,
    news: UnboundedReceiver<News>,
    reports: UnboundedReceiver<Report>,
    tellers: Tellers,
    heard: Heard,
    ledger: Ledger,
}

/// How a run came to its end.
enum Ending {
    /// The schedule is over, and all replicas hold the same.
    Complete,
    /// The replicas do not come to hold the same.
    Disagreed,
    /// Somebody did not want to wait.
    Interrupted,
    /// Something broke.
    Broken(Error),
}

/// Where those who watch a replica tell what they see.
#[derive(Clone)]
struct Tellers {
    news: UnboundedSender<News>,
    reports: UnboundedSender<Report>,
}

impl<'a, S: Site> Run<'a, S> {
    fn new(plan: &Plan, cluster: &'a mut Cluster<S>, progress: Progress) -> Result<Self> {
        let (news_teller, news) = unbounded_channel();
        let (reports_teller, reports) = unbounded_channel();
        let run = Self {
            administrators: Administrators::new(&servers(cluster, Addresses::from_here))?,
            members: plan.members(),
            cluster,
            director: plan.director(),
            progress,
            watch: Watch::new()?,
            news,
            reports,
            tellers: Tellers { news: news_teller, reports: reports_teller },
            heard: Heard::for_schedule(&plan.schedule),
            ledger: Ledger::default(),
        };
        plan.members().into_iter().for_each(|node| run.follow(node));
        Ok(run)
    }

    async fn carry_through(
        mut self,
        plan: &Plan,
        clients: Clients,
        directory: &Path,
        interrupts: &Interrupts,
    ) -> Result<Raw> {
        let before = self.ledger.clone();
        let ready = clock::now();
        let servers = servers(self.cluster, |at| at.client);
        let gateway = self.cluster.gateway();
        let mut load = Load::start(clients, plan, &servers, gateway, ready)?;
        self.director.observe(ready, Observation::Ready);
        self.progress.stage("the load runs");
        let driven = self.drive(&mut load, interrupts).await;
        let end = clock::now();
        self.progress.stage("the clients finish");
        let operations = load.finish().await;
        let mut ending = match driven {
            Err(error) => Ending::Broken(error),
            Ok(()) => self.wait_until_agreed(interrupts).await.unwrap_or_else(Ending::Broken),
        };
        self.progress.finish();
        if let Err(error) = self.cluster.shut_down().await
            && !matches!(ending, Ending::Broken(_))
        {
            ending = Ending::Broken(error);
        }
        if let Ending::Broken(_) = ending
            && let Some(error) = disk_trouble(directory)
        {
            return Err(error);
        }
        let crossings = self.cluster.site().crossings().await?;
        let collected = collect::collect(&self.cluster.evidence().await?)?;
        if !plan.keep_data && matches!(ending, Ending::Complete | Ending::Interrupted) {
            collect::discard(&directory.join("data"))?;
        }
        let healed = self.director.healed_at();
        let caught_up =
            healed.and_then(|at| collect::caught_up(&collected.samples, at, &self.members));
        Ok(Raw {
            recovery: Recovery {
                leader: Recovery::served_after(healed, &operations),
                converged: healed.zip(caught_up).map(|(from, to)| to.since(from)),
            },
            operations,
            applied: collected.applied,
            observed: collected.observed,
            samples: collected.samples,
            passages: collected.passages,
            states: collected.states,
            resolved: self.director.resolved(),
            ready,
            end,
            counters: self.ledger.since(&before),
            damaged: self.ledger.damaged(),
            durability: self.ledger.durability(),
            crossings,
            facts: BTreeMap::new(),
            partial: !matches!(ending, Ending::Complete),
            failure: match ending {
                Ending::Broken(error) => Some(format!("{error:#}")),
                Ending::Complete | Ending::Disagreed | Ending::Interrupted => None,
            },
        })
    }

    /// Follows a replica until its process ends: what it notes, and what it costs.
    fn follow(&self, node: NodeId) {
        let address = self.cluster.addresses()[&node].from_here();
        let Tellers { news, reports } = self.tellers.clone();
        tokio::spawn(watch::follow(self.watch.clone(), address, self.heard, news));
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
                reports.into_values().for_each(|report| self.heed(report));
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
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until nobody asks for a change any more and all members hold the same, though not for
    /// ever.
    async fn wait_until_agreed(&mut self, interrupts: &Interrupts) -> Result<Ending> {
        self.progress.stage("the replicas come to agree");
        let since = Instant::now();
        loop {
            let interrupted = interrupts.came();
            self.hear_arrivals().await?;
            if let Ok(Some((errand, answer))) =
                timeout(LOOK_EVERY, self.administrators.settled()).await
            {
                self.answered(errand, &answer);
            }
            let nodes: Vec<_> = self.cluster.addresses().keys().copied().collect();
            let reports = self.watch.reports(self.cluster.addresses(), &nodes).await;
            let members = watch::agreed(&reports, self.director.core());
            let agreed = members.is_some() && self.administrators.are_idle();
            self.members = members.unwrap_or_else(|| std::mem::take(&mut self.members));
            let told = watch::describe(&reports);
            reports.into_values().for_each(|report| self.ledger.note(report));
            match (agreed, interrupted) {
                (true, false) => return Ok(Ending::Complete),
                (true, true) => return Ok(Ending::Interrupted),
                (false, true) if since.elapsed() > AGREE_WITHIN_IF_INTERRUPTED => {
                    return Ok(Ending::Interrupted);
                }
                (false, _) if since.elapsed() > AGREE_WITHIN => {
                    self.progress.say(&format!("the replicas do not agree: {told}"));
                    return Ok(Ending::Disagreed);
                }
                (false, _) => {}
            }
            self.check_processes()?;
            sleep(LOOK_EVERY).await;
        }
    }

    /// Carries the schedule out, until it is over or somebody interrupts.
    async fn drive(&mut self, load: &mut Load, interrupts: &Interrupts) -> Result<()> {
        let interrupted = interrupts.come();
        tokio::pin!(interrupted);
        let mut looked = Instant::now();
        while !self.director.finished() {
            for action in self.director.poll(clock::now()) {
                self.carry_out(action, load).await?;
            }
            self.welcome(load).await?;
            // Looking is a system call for each process: not at each of a thousand events.
            if looked.elapsed() >= LOOK_EVERY {
                self.check_processes()?;
                looked = Instant::now();
            }
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
                Some(report) = self.reports.recv() => self.heed(report),
                Some((errand, answer)) = self.administrators.settled() => {
                    self.answered(errand, &answer);
                }
                () = sleep(wait) => {}
                () = &mut interrupted => {
                    for action in self.director.abort(clock::now()) {
                        self.carry_out(action, load).await?;
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes note of what a replica costs, and of who leads: that may have been settled before anybody
    /// followed what replicas note.
    fn heed(&mut self, report: Report) {
        let Status { node, role, epoch, .. } = report.status;
        if role == Role::Leader {
            self.director.observe(clock::now(), Observation::Leader { node, epoch });
            self.progress.leads(node, epoch);
        }
        self.ledger.note(report);
    }

    fn answered(&mut self, errand: TrialKey, answer: &Answer) {
        self.director.observe(clock::now(), Observation::Answered { errand, answer });
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
                let dead = self.cluster.crash(nodes).await?;
                self.struck(&action, dead);
                self.tell_down(nodes);
            }
            Effect::Delete(nodes) => {
                let dead = self.cluster.delete(nodes).await?;
                self.struck(&action, dead);
                self.tell_down(nodes);
            }
            Effect::Stop(nodes) => {
                self.cluster.stop(nodes).await?;
                self.tell_down(nodes);
            }
            Effect::Start(nodes) => self.cluster.launch(nodes).await?,
            Effect::Pause(nodes) => {
                self.cluster.pause(nodes).await?;
                self.struck(&action, std::time::Instant::now());
            }
            Effect::Resume(nodes) => self.cluster.resume(nodes).await?,
            Effect::Links(rules) => self.cluster.set_links(rules.clone()).await?,
            Effect::LoadFactor(factor) => load.set_factor(*factor),
            Effect::Put { key, value } => load.put(key.clone(), value.clone()),
            Effect::Deploy(nodes) => self.cluster.deploy(nodes).await?,
            Effect::Reconfigure { errand, change, within } => {
                self.administrators.send(*errand, Wish::Reconfigure(change.clone()), *within);
            }
            Effect::Transfer { errand, to, within } => {
                self.administrators.send(*errand, Wish::Transfer(*to), Some(*within));
            }
            Effect::Disk { node, rules } => self.cluster.set_disk(*node, rules.clone()).await?,
            Effect::ClockJump { nodes, by } => self.cluster.jump_clocks(nodes, *by).await?,
            Effect::ClockRate { node, ppm } => self.cluster.set_clock_rate(*node, *ppm).await?,
            Effect::Damage(_) | Effect::StartDamaged(_) => bail!("this target damages no records"),
        }
        Ok(())
    }

    /// Takes note of when a fault took effect, for that may take a while.
    fn struck(&mut self, action: &Action, at: std::time::Instant) {
        if action.phase == Phase::Begin {
            self.director.struck_at(&action.step, action.trial, clock::now() - at.elapsed());
        }
    }

    fn tell_down(&mut self, nodes: &[NodeId]) {
        for &node in nodes {
            self.director.observe(clock::now(), Observation::Down { node });
        }
    }

    /// Takes notice of replicas that listen again, perhaps on another port.
    async fn welcome(&mut self, load: &Load) -> Result<()> {
        for node in self.hear_arrivals().await? {
            self.director.observe(clock::now(), Observation::Up { node });
            load.locate(node, self.cluster.addresses()[&node].client);
            self.follow(node);
        }
        Ok(())
    }

    /// The replicas that listen since the last call; the administrators know them then.
    async fn hear_arrivals(&mut self) -> Result<Vec<NodeId>> {
        let arrived = self.cluster.arrivals().await?;
        for &node in &arrived {
            self.administrators.locate(node, self.cluster.addresses()[&node].from_here());
        }
        Ok(arrived)
    }

    /// A replica that ends by itself ends the run, unless its disk made it.
    fn check_processes(&mut self) -> Result<()> {
        let fallen = self.cluster.fallen();
        self.tell_down(&fallen);
        match self.cluster.exits().first() {
            Some(exit) => bail!("{exit}"),
            None => Ok(()),
        }
    }
}
