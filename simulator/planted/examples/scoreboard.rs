//! Prints which schedule catches which planted mistake, and how soon: `SCOREBOARD.md`.

use std::{panic, sync::mpsc, thread};

use planted::{Catch, Conditions, Mistake, Plant, hunt::hunt, plants};

/// How many seeds are tried before a schedule is said to miss a mistake.
const SEEDS: u64 = 30;

fn main() {
    // A replica whose invariant breaks panics: that is a catch, not an accident.
    panic::set_hook(Box::new(|_| {}));
    println!("# Scoreboard\n");
    println!(
        "Each mistake, planted in each protocol, under each schedule: by what it was caught first, and \
         under how many seeds\n(from 0 on, at most {SEEDS}). Disks take 2 to 30 ms for a sync. The \
         protocols without the mistakes are clean under all of them.\n\n    \
         cargo run --release -p planted --example scoreboard > simulator/planted/SCOREBOARD.md\n"
    );
    println!("| mistake | protocol | schedule | caught by | seeds |\n|---|---|---|---|---|");
    for mistake in Mistake::ALL {
        for plant in plants(mistake) {
            for (conditions, catch) in catches(plant) {
                println!("{}", row(&plant, conditions, catch.as_ref()));
            }
        }
    }
}

/// What each schedule catches, all at the same time.
fn catches(plant: Plant) -> Vec<(Conditions, Option<Catch>)> {
    let (caught, mut all) = (mpsc::channel(), Vec::new());
    thread::scope(|scope| {
        for conditions in Conditions::ALL {
            let tell = caught.0.clone();
            scope.spawn(move || {
                let catch = hunt(plant.wrong, conditions, 0..SEEDS, |_| true);
                tell.send((conditions, catch)).expect("the list is still being made");
            });
        }
        drop(caught.0);
        all.extend(caught.1);
    });
    all.sort_by_key(|(conditions, _)| *conditions);
    all
}

fn row(plant: &Plant, conditions: Conditions, catch: Option<&Catch>) -> String {
    let Plant { mistake, protocol, .. } = plant;
    match catch {
        Some(Catch { seed, finding }) => {
            format!("| {mistake} | {protocol} | {conditions} | {finding} | {} |", seed + 1)
        }
        None => format!("| {mistake} | {protocol} | {conditions} | not caught | {SEEDS} |"),
    }
}
