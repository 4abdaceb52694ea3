//! What must be alike in compared runs, so that a difference is the protocols' own.

use std::collections::{BTreeMap, BTreeSet};

use super::escape;
use crate::{analysis::Group, record::RunRecord};

/// A fact of a run that should be alike in all.
type Fact = fn(&RunRecord) -> String;

const FACTS: [(&str, Fact); 6] = [
    ("schedule", |record| record.metadata.schedule.clone()),
    ("target", |record| record.metadata.target.clone()),
    ("cluster size", |record| record.metadata.nodes.to_string()),
    ("laboratory's commit", |record| record.metadata.commit.clone()),
    ("durability", |record| record.metadata.durability.clone()),
    ("network", |record| record.metadata.network.clone()),
];

/// Banners that say what keeps these runs from being comparable, if anything does.
pub(super) fn warnings(records: &[&RunRecord], groups: &[Group<'_>]) -> String {
    let mut unlike: Vec<String> = Vec::new();
    unlike.extend(FACTS.iter().filter_map(|(name, of)| differing(name, records, |r| Some(of(r)))));
    let hosts = records.iter().flat_map(|record| record.metadata.host.keys());
    unlike.extend(hosts.collect::<BTreeSet<_>>().into_iter().filter_map(|fact| {
        let name = format!("machine's fact '{fact}'");
        differing(&name, records, |record| record.metadata.host.get(fact).cloned())
    }));
    let settings = records.iter().flat_map(|record| &record.settings).map(|setting| &setting.name);
    unlike.extend(settings.collect::<BTreeSet<_>>().into_iter().filter_map(|name| {
        differing(&format!("parameter '{name}'"), records, |record| {
            let setting = record.settings.iter().find(|setting| setting.name == *name);
            setting.map(|setting| setting.value.clone())
        })
    }));
    unlike.extend(seeds(groups));
    unlike.extend(digests(records));

    let mut html = String::new();
    if !unlike.is_empty() {
        let list: String = unlike.iter().map(|it| format!("<li>{}</li>", escape(it))).collect();
        html.push_str(&format!(
            "<div class=\"banner note\"><strong>Not alike in everything but the protocol.</strong>\
             <p>A difference in the numbers need not be the protocols' own.</p><ul>{list}</ul></div>\n"
        ));
    }
    if records.iter().any(|record| record.metadata.partial) {
        html.push_str(
            "<div class=\"banner note\"><strong>At least one run is partial.</strong></div>\n",
        );
    }
    html
}

/// Whether all of these runs met the same schedule, wherever they were.
pub(super) fn schedules(records: &[&RunRecord]) -> String {
    let (class, words) = match digests(records) {
        None => ("ok", "All runs met the same schedule, by its digest.".to_owned()),
        Some(unlike) => ("note", unlike),
    };
    format!("<div class=\"banner {class}\"><strong>{}</strong></div>\n", escape(&words))
}

/// Says what values a fact has, if they are not all one.
fn differing(
    name: &str,
    records: &[&RunRecord],
    of: impl Fn(&RunRecord) -> Option<String>,
) -> Option<String> {
    let mut values: Vec<String> = Vec::new();
    for record in records {
        let value = of(record).unwrap_or_else(|| "not told".to_owned());
        if !values.contains(&value) {
            values.push(value);
        }
    }
    (values.len() > 1).then(|| format!("The {name} differs: {}.", values.join("; ")))
}

/// Says which seeds the sides do not share: different seeds are different schedules.
fn seeds(groups: &[Group<'_>]) -> Option<String> {
    let side = |group: &Group<'_>| {
        let mut seeds: Vec<u64> = group.runs.iter().map(|run| run.record.metadata.seed).collect();
        seeds.sort_unstable();
        (group.label.clone(), seeds)
    };
    let sides: Vec<(String, Vec<u64>)> = groups.iter().map(side).collect();
    if sides.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        return None;
    }
    let of = |(label, seeds): &(String, Vec<u64>)| format!("{label} ran {}", listed(seeds));
    let sides: Vec<String> = sides.iter().map(of).collect();
    Some(format!("The seeds differ: {}.", sides.join("; ")))
}

/// Says under which seeds the runs met different schedules.
fn digests(records: &[&RunRecord]) -> Option<String> {
    let mut digests: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for record in records {
        let of_seed = digests.entry(record.metadata.seed).or_default();
        of_seed.insert(&record.metadata.schedule_digest);
    }
    let unlike: Vec<u64> =
        digests.iter().filter(|(_, found)| found.len() > 1).map(|(&seed, _)| seed).collect();
    let words =
        || format!("The schedules differ, by their digests, under seed {}.", listed(&unlike));
    (!unlike.is_empty()).then(words)
}

/// Numbers with commas between them.
pub(super) fn listed(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
