//! Prints which schedule catches which planted mistake, how soon and how often: `SCOREBOARD.md`.

use std::{panic, sync::Mutex, thread};

use planted::{
    Catch, Conditions, Mistake, Plant,
    hunt::{Hunted, catches, hunt},
    plants,
};

/// How many seeds each cell of the scoreboard is tried under.
const SEEDS: u64 = 40;

/// Threads that hunt.
const HUNTERS: usize = 2;

fn main() {
    // A replica whose invariant breaks panics: that is a catch, not an accident.
    panic::set_hook(Box::new(|_| {}));
    println!("# Scoreboard\n");
    println!(
        "Each mistake, planted in each protocol, under each schedule, {SEEDS} seeds (0 to {}). \
         Disks take 2 to 30 ms for a sync.\nA run is *caught* if any verdict of the checker is \
         broken, or a replica's own invariant. The tests hunt under the\nschedule in bold. Printed by\n\n    \
         cargo run -p planted --example scoreboard > simulator/planted/SCOREBOARD.md",
        SEEDS - 1
    );
    for mistake in Mistake::ALL {
        println!("\n## {mistake}\n");
        let verdict = mistake.verdict();
        println!(
            "| protocol | schedule | first caught by | after seeds | caught in | {verdict} broken in |"
        );
        println!("|---|---|---|---:|---:|---:|");
        for plant in plants(mistake) {
            let hunted = each(|conditions| hunt(plant.wrong, conditions, 0..SEEDS, verdict));
            for (conditions, hunted) in hunted {
                println!("{}", row(&plant, conditions, &hunted));
            }
        }
    }
    println!("\n## Without a mistake\n\n| protocol | schedule | caught in |\n|---|---|---:|");
    for Plant { protocol, right, .. } in plants(Mistake::VoteNotPersisted) {
        for (conditions, caught) in each(|at| catches(right, at, 0..SEEDS).count()) {
            println!("| {protocol} | {conditions} | {caught} |");
        }
    }
}

/// Does this under all conditions, and puts what came of it in their order.
fn each<T: Send>(what: impl Fn(Conditions) -> T + Sync) -> Vec<(Conditions, T)> {
    let waiting = Mutex::new(Conditions::ALL.to_vec());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = waiting.lock().expect("no hunter panics").pop();
            let Some(conditions) = next else { return };
            let result = what(conditions);
            done.lock().expect("no hunter panics").push((conditions, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..HUNTERS {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().expect("no hunter panics");
    done.sort_by_key(|(conditions, _)| *conditions);
    done
}

fn row(plant: &Plant, conditions: Conditions, hunted: &Hunted) -> String {
    let aimed = if conditions == plant.aimed { "**" } else { "" };
    let (by, after) = match &hunted.first {
        Some(Catch { seed, finding }) => (finding.to_string(), (seed + 1).to_string()),
        None => ("not caught".to_owned(), String::new()),
    };
    let Hunted { caught, told, .. } = hunted;
    let protocol = plant.protocol;
    format!("| {protocol} | {aimed}{conditions}{aimed} | {by} | {after} | {caught} | {told} |")
}
