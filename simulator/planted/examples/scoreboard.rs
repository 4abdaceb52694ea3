//! How every planted mistake is caught: writes `SCOREBOARD.md`, and each schedule cut down to what it
//! takes into `caught`. All copies must be there: `PLANTED=all cargo run --release -p planted --example
//! scoreboard`.

use std::{
    collections::BTreeMap,
    error::Error,
    fs, panic,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use pitfalls::{PITFALLS, PitfallError};
use planted::{
    Conditions, Plant, Subject,
    board::{self, Clean, Hunt, Row, Small},
    caught::{Caught, Index, file, small},
    conditions::{ALL, SWARM},
    examine,
    finding::{Catch, Finding},
    first_catch, plants, scenarios,
};

/// How many seeds of the conditions aimed at it a mistake has to show itself.
const SEEDS: u64 = 200;

/// How many seeds of random schedules.
const SWARM_SEEDS: u64 = 100;

/// How many seeds the protocols without a mistake are tried under.
const CLEAN_SEEDS: u64 = 40;

/// How many smaller schedules are tried.
const TRIES: usize = 150;

/// Threads that hunt.
const HUNTERS: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    // A replica whose invariant breaks panics: that is a catch, not an accident.
    panic::set_hook(Box::new(|_| {}));
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scenarios = scenarios::seen(&room.join("../.."))?;
    let plants = in_order(plants())?;
    let folder = room.join("caught");
    if folder.is_dir() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let results = each(&plants, |plant| hunt(plant, &scenarios));
    let mut index = Index::default();
    let mut rows = Vec::new();
    for (row, found) in results {
        if let Some((caught, text)) = found {
            fs::write(folder.join(&caught.file), text)?;
            index.caught.push(caught);
        }
        rows.push(row);
    }
    index.write(&folder)?;
    let cells: Vec<_> = ALL
        .iter()
        .flat_map(|conditions| Subject::ALL.map(|subject| (conditions, subject)))
        .collect();
    let clean = each(&cells, |&(conditions, subject)| clean(conditions, subject));
    let text = board::write(&rows, &clean, |mistake| PITFALLS.contains(&mistake));
    fs::write(room.join("SCOREBOARD.md"), text)?;
    Ok(())
}

/// The mistakes in the order of the pitfalls' tables, the others after them.
fn in_order(mut plants: Vec<Plant>) -> Result<Vec<Plant>, PitfallError> {
    for subject in Subject::ALL {
        for pitfall in PITFALLS {
            let is_it = |plant: &Plant| plant.mistake == pitfall && plant.subject == subject;
            if !plants.iter().any(is_it) {
                let why = format!(
                    "there is no copy without `{pitfall}`: set PLANTED=all and build again"
                );
                return Err(PitfallError::Table(why));
            }
        }
    }
    let place = |plant: &Plant| PITFALLS.iter().position(|pitfall| *pitfall == plant.mistake);
    plants.sort_by_key(|plant| {
        (place(plant).unwrap_or(PITFALLS.len()), plant.mistake, plant.subject)
    });
    Ok(plants)
}

/// Hunts for a mistake: its row, and the schedule that shows it, cut down.
fn hunt(
    plant: &Plant,
    scenarios: &BTreeMap<(String, String), String>,
) -> (Row, Option<(Caught, String)>) {
    let under = |conditions: &Conditions, bound| {
        let shows = |finding: &Finding| plant.is_shown_by(finding);
        let catch = first_catch(plant.wrong, conditions, 0..bound, shows);
        Hunt { conditions: conditions.name, bound, catch }
    };
    let (aimed, swarm) = (under(plant.aimed, SEEDS), under(&SWARM, SWARM_SEEDS));
    let caught = aimed.catch.as_ref().map(|catch| (plant.aimed, catch));
    let caught = caught.or_else(|| swarm.catch.as_ref().map(|catch| (&SWARM, catch)));
    let cut = caught.map(|(conditions, catch)| cut_down(plant, conditions, catch));
    let (small, found) = cut.unzip();
    let key = (plant.subject.room().to_owned(), plant.mistake.to_owned());
    let row = Row { plant: *plant, scenario: scenarios.get(&key).cloned(), aimed, swarm, small };
    eprintln!("{plant}: {:?}, {:?}", row.aimed, row.small);
    (row, found)
}

fn cut_down(plant: &Plant, conditions: &Conditions, catch: &Catch) -> (Small, (Caught, String)) {
    let schedule = small(plant, conditions, catch, TRIES);
    let seed = catch.seed;
    let finding = examine(plant.wrong, conditions, schedule.clone(), seed);
    let finding = finding.unwrap_or_else(|| panic!("{plant}: a smaller schedule shows it as well"));
    let run = (plant.right)(&conditions.config_of(schedule.clone(), seed));
    let (file, text) = (file(plant), schedule.to_short_toml());
    let small = Small {
        file: file.display().to_string(),
        steps: schedule.steps.len(),
        nodes: schedule.nodes.get(),
        seconds: run.simulated.as_secs_f64().round() as u64,
        shows: finding.to_string(),
    };
    let caught = Caught {
        mistake: plant.mistake.to_owned(),
        protocol: plant.subject.name().to_owned(),
        file,
        conditions: conditions.name.to_owned(),
        seed,
        breaks: plant.shown_in(&finding).to_owned(),
    };
    (small, (caught, text))
}

/// Hunts where there is no mistake.
fn clean(conditions: &'static Conditions, subject: Subject) -> Clean {
    let found = |seed| {
        let finding = examine(subject.simulate(), conditions, conditions.schedule(seed), seed)?;
        Some(Catch { seed, finding })
    };
    let findings = (0..CLEAN_SEEDS).filter_map(found).collect();
    Clean { subject, conditions: conditions.name, seeds: CLEAN_SEEDS, findings }
}

/// Does this with each, on several threads, and gives what came of it in their order.
fn each<T: Sync, R: Send>(all: &[T], what: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..HUNTERS {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(place) else { return };
                    let result = what(one);
                    done.lock().expect("no hunter panics").push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no hunter panics");
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}
