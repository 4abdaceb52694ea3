//! Members come and go, leaders hand over, and disks are lost: by hand, on real processes.

mod common;

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use common::{ByHand, Place, harness, said, wait_until};
use deploy::Addresses;
use nix::sys::signal::Signal;

/// Replicas started by hand, each in a data directory of its place.
struct Cluster {
    protocol: &'static str,
    place: Place,
    processes: ByHand,
    /// Of each start, in order: the place, and where it listens.
    started: Vec<(u64, Addresses)>,
}

impl Cluster {
    /// Three of them.
    fn start(protocol: &'static str) -> Self {
        let (place, processes) = (Place::new(), ByHand::new());
        let mut cluster = Self { protocol, place, processes, started: Vec::new() };
        (1..=3).for_each(|node| cluster.launch(node));
        cluster
    }

    fn data(&self, node: u64) -> PathBuf {
        self.place.path().join(node.to_string())
    }

    /// Starts a replica, by the same command line each time.
    fn launch(&mut self, node: u64) {
        let _not_there_before = fs::remove_file(self.data(node).join("address.json"));
        let number = node.to_string();
        let mut arguments = vec!["replica", "--protocol", self.protocol];
        arguments.extend(["--members", "1,2,3", "--node", &number]);
        let seeds: Vec<_> = self.started.iter().map(|(_, at)| at.gossip.to_string()).collect();
        arguments.extend(seeds.iter().flat_map(|seed| ["--seed-address", seed]));
        let addresses = self.processes.start(&arguments, &self.data(node));
        self.started.push((node, addresses));
    }

    /// Ends the newest process of a place.
    fn end(&mut self, node: u64, signal: Signal) {
        let newest = self.started.iter().rposition(|(started, _)| *started == node);
        assert!(
            self.processes.end(newest.unwrap(), signal).success() == (signal == Signal::SIGTERM)
        );
    }

    fn at(&self, node: u64) -> String {
        let newest = self.started.iter().rev().find(|(started, _)| *started == node);
        newest.unwrap().1.client.to_string()
    }

    /// What an administrator asks of a replica: the exit status, and everything that was said.
    fn administer(&self, command: &str, node: u64, more: &[&str]) -> (i32, String) {
        let at = self.at(node);
        let arguments = [&[command, "--at", &at], more].concat();
        let output = harness(&arguments);
        (output.status.code().unwrap(), said(&output))
    }

    /// The lines of `members list` that tell of voters: node, and whether it leads.
    fn voters(&self, node: u64) -> Vec<(u64, bool)> {
        let (_, told) = self.administer("members", node, &["--timeout", "1s", "list"]);
        let voters = told.lines().filter(|line| line.contains(" voter "));
        let number = |line: &str| line.split(' ').next().unwrap().parse().unwrap();
        voters.map(|line| (number(line), line.ends_with("leads"))).collect()
    }

    fn leader(&self, asked: u64) -> Option<u64> {
        self.voters(asked).into_iter().find(|(_, leads)| *leads).map(|(node, _)| node)
    }

    fn put(&self, node: u64, value: &str) {
        let at = self.at(node);
        let output = harness(&["put", "x", value, "--server", &at, "--timeout", "60s"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }

    fn get(&self, node: u64) -> String {
        let at = self.at(node);
        let output = harness(&["get", "x", "--server", &at, "--timeout", "60s"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn numbers(voters: &[(u64, bool)]) -> Vec<u64> {
    voters.iter().map(|(node, _)| *node).collect()
}

fn an_amnesiac_votes_only_as_somebody_else(protocol: &'static str) {
    let mut cluster = Cluster::start(protocol);
    cluster.put(1, "before");
    cluster.end(3, Signal::SIGKILL);
    fs::rename(cluster.data(3), cluster.place.path().join("lost")).unwrap();
    cluster.put(1, "meanwhile");

    cluster.launch(3);
    wait_until("the newcomer votes", || numbers(&cluster.voters(1)) == [1, 2, 103]);
    let identity = common::json(&cluster.data(3).join("identity.json"));
    assert_eq!(
        (identity["node"].as_u64(), identity["admitted"].as_bool()),
        (Some(103), Some(true))
    );

    // Now its vote is needed: without it two of the three would be gone.
    cluster.end(1, Signal::SIGKILL);
    cluster.put(2, "after");
    assert_eq!(cluster.get(3), "after");
    // It stays who it is, by the same command line.
    cluster.end(3, Signal::SIGKILL);
    cluster.launch(3);
    cluster.put(3, "again");
    assert_eq!(numbers(&cluster.voters(2)), [1, 2, 103]);
}

#[test]
fn an_amnesiac_of_raft_votes_only_as_somebody_else() {
    an_amnesiac_votes_only_as_somebody_else("raft");
}

#[test]
fn an_amnesiac_of_multipaxos_votes_only_as_somebody_else() {
    an_amnesiac_votes_only_as_somebody_else("multipaxos");
}

fn members_come_and_go(protocol: &'static str) {
    let mut cluster = Cluster::start(protocol);
    cluster.put(1, "before");
    cluster.launch(4);
    let (status, told) = cluster.administer("members", 2, &["add", "4"]);
    assert_eq!(status, 0, "{told}");
    assert_eq!(numbers(&cluster.voters(2)), [1, 2, 3, 4]);
    let (status, told) = cluster.administer("members", 2, &["add", "4"]);
    assert_eq!(status, 2, "{told}");
    assert!(told.contains("changes nothing"), "{told}");

    let leader = cluster.leader(2).expect("somebody leads");
    let (status, told) = cluster.administer("members", 4, &["remove", &leader.to_string()]);
    assert_eq!(status, 0, "{told}");
    let rest: Vec<_> = (1..=4).filter(|&node| node != leader).collect();
    wait_until("the others go on", || {
        let voters = cluster.voters(rest[0]);
        numbers(&voters) == rest && voters.iter().any(|(_, leads)| *leads)
    });
    cluster.put(rest[0], "after");

    let next = rest.iter().copied().find(|&node| Some(node) != cluster.leader(rest[0])).unwrap();
    let (status, told) = cluster.administer("transfer", rest[0], &["--to", &next.to_string()]);
    assert_eq!(status, 0, "{told}");
    wait_until("it leads", || cluster.leader(rest[0]) == Some(next));
    assert_eq!(cluster.get(next), "after");
}

#[test]
fn members_of_raft_come_and_go() {
    members_come_and_go("raft");
}

#[test]
fn members_of_multipaxos_come_and_go() {
    members_come_and_go("multipaxos");
}

/// How long writes fail to come through, one after the other, around the end of the leader.
fn gap(protocol: &'static str, signal: Signal) -> Duration {
    let cluster = Cluster::start(protocol);
    cluster.put(1, "0");
    let leader = cluster.leader(1).expect("somebody leads");
    let other = (1..=3).find(|&node| node != leader).unwrap();
    let process = cluster.processes.process(leader as usize - 1);
    let ending = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        common::send(process, signal);
    });
    let (began, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    while began.elapsed() < Duration::from_secs(3) {
        cluster.put(other, "1");
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    ending.join().unwrap();
    longest
}

#[test]
#[ignore = "a measurement, and no verdict: run it with --ignored --nocapture"]
fn what_a_hand_over_saves() {
    for protocol in ["raft", "multipaxos"] {
        for signal in [Signal::SIGKILL, Signal::SIGTERM] {
            let gaps: Vec<_> = (0..3).map(|_| gap(protocol, signal)).collect();
            println!("{protocol}, {signal}: the longest time between two answers was {gaps:?}");
        }
    }
}
