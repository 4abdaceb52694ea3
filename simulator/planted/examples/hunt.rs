//! Hunts for planted mistakes, and tells which seeds of which conditions show them.
//!
//! `cargo run --release -p planted --example hunt -- SEEDS [MISTAKE [CONDITIONS...]]` takes the mistakes
//! whose names contain a word (`-` for all; with their protocol: `raft: a read`), under the conditions
//! that are aimed at each, or under the named ones; `right` hunts where no mistake is. Conditions that
//! are a file, `schedules/bridge.toml`, are those of its name with the text that stands there now. What
//! `patched` was built with is there: `PLANTED=all` in the environment for every copy.

use std::{env, fs, panic, path::Path, process::ExitCode};

use planted::{Conditions, Plant, Subject, conditions::ALL, examine, plants};

fn main() -> ExitCode {
    // A replica whose invariant breaks panics: that is a catch, not an accident.
    panic::set_hook(Box::new(|_| {}));
    match hunt(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn hunt(words: &[String]) -> Result<(), String> {
    let [seeds, rest @ ..] = words else { return Err("how many seeds?".into()) };
    let seeds = seeds.parse().map_err(|_| format!("`{seeds}` is no number of seeds"))?;
    let (mistake, names) = rest.split_first().map_or(("-", rest), |(word, names)| (word, names));
    let named = names.iter().map(|name| conditions(name)).collect::<Result<Vec<_>, _>>()?;
    for plant in asked(mistake) {
        let conditions = if named.is_empty() { vec![*plant.aimed] } else { named.clone() };
        conditions.iter().for_each(|conditions| tell(&plant, conditions, seeds));
    }
    Ok(())
}

fn conditions(name: &str) -> Result<Conditions, String> {
    let path = Path::new(name);
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    let known: Vec<_> = ALL.iter().map(|known| known.name).collect();
    let unknown = || format!("there are no conditions {stem}; there are {}", known.join(", "));
    let conditions = *Conditions::named(stem).ok_or_else(unknown)?;
    if path.extension().is_none() {
        return Ok(conditions);
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    Ok(conditions.with_text(text.leak()))
}

/// The mistakes asked for; or each protocol without one.
fn asked(word: &str) -> Vec<Plant> {
    let plants = plants();
    if word == "right" {
        let right = |subject: Subject| {
            let any = plants.iter().find(|plant| plant.subject == subject).copied()?;
            Some(Plant { mistake: "nothing", tells: None, wrong: subject.simulate(), ..any })
        };
        return Subject::ALL.into_iter().filter_map(right).collect();
    }
    let called = |plant: &Plant| format!("{}: {}", plant.subject.name(), plant.mistake);
    plants.into_iter().filter(|plant| word == "-" || called(plant).contains(word)).collect()
}

fn tell(plant: &Plant, conditions: &Conditions, seeds: u64) {
    let mut caught = Vec::new();
    for seed in 0..seeds {
        let found = examine(plant.wrong, conditions, conditions.schedule(seed), seed);
        caught.extend(found.filter(|found| plant.is_shown_by(found)).map(|found| (seed, found)));
    }
    let Some((first, finding)) = caught.first() else {
        return println!("{plant}, {conditions}: not in {seeds} seeds");
    };
    println!("{plant}, {conditions}: {} of {seeds} seeds, first {first}: {finding}", caught.len());
}
