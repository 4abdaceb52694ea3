//! One run: a world, the schedule's faults and load, and the way to its end.

use std::time::Duration;

use consensus_core::{Ask, Index, Protocol, Time, history::Call, kv::KeyValue, session::Sessions};
use faults::{Action, Arrival, Director, Effect, Observation, Workload, director::TrialKey};

use crate::{
    administrators::Errand,
    client::Task,
    config::SimulationConfig,
    machine::Machine,
    recording::{Recording, Story, Struck},
    world::{Progress, World},
};

/// Simulates a run of a protocol: the same configuration gives the same recording, to the bit.
///
/// # Panics
///
/// If the protocol breaks one of its own invariants ([`Protocol::check`]), or the configuration
/// cannot be simulated (see [`SimulationConfig::validate`]).
pub fn run<P: Protocol>(config: &SimulationConfig) -> Recording {
    run_on::<P, Sessions<KeyValue>>(config)
}

/// [`run`], with another state machine behind the log.
///
/// # Panics
///
/// As [`run`] does.
pub fn run_on<P: Protocol, M: Machine>(config: &SimulationConfig) -> Recording {
    if let Err(error) = config.validate() {
        panic!("{error}");
    }
    Run::<P, M>::new(config).complete()
}

/// A run under way.
struct Run<'a, P: Protocol, M> {
    config: &'a SimulationConfig,
    world: World<P, M>,
    director: Director,
    workload: Workload,
    stage: Stage,
    struck: Vec<Struck>,
    /// How much of what was observed the director has been told.
    told: usize,
    /// When the director is asked next.
    poll_at: Option<Time>,
    /// When the workload's next operation comes.
    arrival_at: Option<Time>,
    /// What had been applied anywhere when the last fault was healed.
    target: Option<Index>,
    caught_up: Option<Time>,
    converged: Option<Time>,
}

/// How far a run has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The replicas find each other and elect their first leader.
    Starting,
    /// The load runs, and the faults strike.
    Loaded {
        /// Since when: the origin of the workload's time.
        since: Time,
    },
    /// The schedule is over: the clients finish what is under way, and the replicas come to agree.
    Settling {
        /// When they must be done.
        until: Time,
    },
    /// The run is over.
    Over,
}

impl<'a, P: Protocol, M: Machine> Run<'a, P, M> {
    fn new(config: &'a SimulationConfig) -> Self {
        Self {
            config,
            world: World::new(config),
            director: match &config.replayed {
                Some(resolved) => {
                    Director::replay(resolved, &config.members()).with_cast(config.cast)
                }
                None => Director::new(&config.schedule, config.seed, &config.members()),
            },
            workload: Workload::new(&config.schedule.load, config.seed),
            stage: Stage::Starting,
            struck: Vec::new(),
            told: 0,
            poll_at: None,
            arrival_at: None,
            target: None,
            caught_up: None,
            converged: None,
        }
    }

    fn complete(mut self) -> Recording {
        self.world.begin();
        let limit = Time::ZERO + self.config.limit;
        while self.stage != Stage::Over {
            match self.world.advance(limit) {
                Progress::Quiet => break,
                Progress::Event => {}
                Progress::Arrival => self.arrive(),
                Progress::Director => self.direct(),
                Progress::Sample => self.look_around(),
            }
            self.tell();
        }
        let Self { world, director, struck, caught_up, converged, .. } = self;
        let story = Story {
            resolved: director.resolved(),
            ready: director.ready_at(),
            healed: director.healed_at(),
            struck,
            caught_up,
            converged,
        };
        world.finish(story)
    }

    /// Tells the director what has happened since the last time, and asks it if that was anything.
    fn tell(&mut self) {
        let now = self.world.now();
        let acknowledged = self.world.take_acknowledged();
        let fallen = self.world.take_fallen();
        let settled = self.settled();
        let news = self.world.observed_since(self.told);
        if news.is_empty() && acknowledged.is_empty() && fallen.is_empty() && !settled {
            return;
        }
        for seen in news {
            let observation = Observation::Event { node: seen.node, event: &seen.event };
            self.director.observe(now, observation);
        }
        self.told += news.len();
        for node in fallen {
            self.director.observe(now, Observation::Down { node });
        }
        for node in acknowledged {
            self.director.observe(now, Observation::Acknowledged { node });
        }
        self.direct();
    }

    /// Tells the director what came of errands; says whether there was anything to tell.
    fn settled(&mut self) -> bool {
        let now = self.world.now();
        let settled = self.world.take_settled();
        for (errand, answer) in &settled {
            let observation = Observation::Answered { errand: *errand, answer };
            self.director.observe(now, observation);
        }
        !settled.is_empty()
    }

    /// Asks the director what is to be done, does it, and sees to it that it is asked in time.
    fn direct(&mut self) {
        let now = self.world.now();
        for action in self.director.poll(now) {
            self.carry_out(action);
        }
        if let Some(at) = self.director.next_wakeup()
            && self.poll_at.is_none_or(|poll_at| poll_at <= now || at < poll_at)
        {
            self.poll_at = Some(at.max(now));
            self.world.call_director(at.max(now));
        }
    }

    fn carry_out(&mut self, action: Action) {
        let now = self.world.now();
        match &action.effect {
            // There are no addresses here.
            Effect::Crash(nodes) | Effect::Delete(nodes) => {
                for &node in nodes {
                    self.world.crash(node);
                    self.director.observe(now, Observation::Down { node });
                }
            }
            Effect::Stop(nodes) => {
                for &node in nodes {
                    self.world.stop(node);
                    self.director.observe(now, Observation::Down { node });
                }
            }
            Effect::Start(nodes) => {
                for &node in nodes {
                    self.world.start(node);
                    self.director.observe(now, Observation::Up { node });
                }
            }
            Effect::Pause(nodes) => nodes.iter().for_each(|&node| self.world.pause(node)),
            Effect::Resume(nodes) => nodes.iter().for_each(|&node| self.world.resume(node)),
            Effect::Links(rules) => self.world.install(rules),
            Effect::LoadFactor(factor) => self.change_load(*factor),
            Effect::Put { key, value } => self.put(key, value),
            Effect::Deploy(nodes) => {
                for &node in nodes {
                    self.world.deploy(node);
                    self.director.observe(now, Observation::Up { node });
                }
            }
            Effect::Reconfigure { errand, change, within } => {
                let ask = Ask::Reconfigure(change.clone());
                self.send(*errand, ask, *within);
            }
            Effect::Transfer { errand, to, within } => {
                self.send(*errand, Ask::Transfer(*to), Some(*within));
            }
            Effect::Disk { node, rules } => self.world.set_disk(*node, rules.clone()),
            Effect::Damage(nodes) => nodes.iter().for_each(|&node| self.world.damage(node)),
            Effect::StartDamaged(nodes) => {
                nodes.iter().for_each(|&node| self.world.start_damaged(node));
            }
            Effect::ClockJump { nodes, by } => {
                nodes.iter().for_each(|&node| self.world.jump_clock(node, *by));
            }
            Effect::ClockRate { node, ppm } => self.world.set_clock_rate(*node, *ppm),
        }
        self.struck.push(Struck { at: now, action });
    }

    /// Looks at the whole cluster, as often as samples are taken.
    fn look_around(&mut self) {
        match self.stage {
            Stage::Starting if self.world.serves() => self.begin_load(),
            Stage::Starting | Stage::Over => {}
            Stage::Loaded { .. } => self.watch_the_schedule(),
            Stage::Settling { until } => self.watch_the_end(until),
        }
        self.watch_the_recovery();
    }

    fn begin_load(&mut self) {
        let now = self.world.now();
        self.stage = Stage::Loaded { since: now };
        self.director.observe(now, Observation::Ready);
        self.schedule_arrival();
        self.direct();
    }

    fn watch_the_schedule(&mut self) {
        let now = self.world.now();
        for (node, commit) in self.world.commits() {
            self.director.observe(now, Observation::Status { node, commit });
        }
        self.direct();
        if self.director.finished() {
            // Whatever a schedule left broken is mended, or no cluster could agree.
            match self.director.core() {
                Some(core) => core.iter().for_each(|&node| self.world.revive(node)),
                None => self.world.heal(),
            }
            self.stage = Stage::Settling { until: now + self.config.convergence_within };
        }
    }

    fn watch_the_end(&mut self, until: Time) {
        let now = self.world.now();
        let agrees = self.world.clients_are_idle() && self.world.agrees(self.director.core());
        if self.converged.is_none() && agrees {
            self.converged = Some(now);
        }
        if self.converged.is_some() || now >= until {
            self.stage = Stage::Over;
        }
    }

    /// Notes when all replicas had caught up after the last fault was healed.
    fn watch_the_recovery(&mut self) {
        if self.director.healed_at().is_none() || self.caught_up.is_some() {
            return;
        }
        let target = *self.target.get_or_insert(self.world.highest_applied());
        if self.world.has_caught_up(target, self.director.core()) {
            self.caught_up = Some(self.world.now());
        }
    }

    fn arrive(&mut self) {
        let now = self.world.now();
        let Stage::Loaded { since } = self.stage else { return };
        // An arrival that the workload meant for another time, before its rate changed.
        if self.arrival_at != Some(now) {
            return;
        }
        if let Some(arrival) = self.workload.take() {
            let intended = since + arrival.at;
            let deadline = intended + self.config.schedule.load.timeout;
            let Arrival { key, call, consistency, .. } = arrival;
            self.world.offer(Task { key, call, consistency, intended, deadline });
        }
        self.schedule_arrival();
    }

    fn schedule_arrival(&mut self) {
        let Stage::Loaded { since } = self.stage else { return };
        self.arrival_at = self.workload.next_at().map(|at| (since + at).max(self.world.now()));
        if let Some(at) = self.arrival_at {
            self.world.call_workload(at);
        }
    }

    fn change_load(&mut self, factor: f64) {
        let Stage::Loaded { since } = self.stage else { return };
        self.workload.set_factor(self.world.now().since(since), factor);
        self.schedule_arrival();
    }

    fn send(&mut self, key: TrialKey, ask: Ask, within: Option<Duration>) {
        let deadline = within.map(|within| self.world.now() + within);
        self.world.send(Errand { key, ask, deadline });
    }

    fn put(&mut self, key: &str, value: &str) {
        let now = self.world.now();
        let call = Call::Put(value.to_owned());
        let deadline = now + self.config.put_timeout;
        self.world.submit(Task {
            key: key.to_owned(),
            call,
            consistency: None,
            intended: now,
            deadline,
        });
    }
}
