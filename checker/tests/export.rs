//! What is written for other people's checkers is read again: it has the form that they ask for, and
//! leads to the same verdict.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use checker::{export, jsonl};
use common::*;
use consensus_core::{
    Consistency, Draw, Time,
    history::{Call, Operation, Outcome},
};

/// A value in EDN, as far as a history needs it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Edn {
    Nil,
    Number(u64),
    Keyword(String),
    Text(String),
    Vector(Vec<Edn>),
    Map(BTreeMap<Edn, Edn>),
}

/// Reads EDN as its specification says (github.com/edn-format/edn): commas are space.
struct Reader<'a>(std::iter::Peekable<std::str::Chars<'a>>);

impl Reader<'_> {
    fn read(line: &str) -> Edn {
        let mut reader = Reader(line.chars().peekable());
        let value = reader.value();
        reader.skip_space();
        assert_eq!(reader.0.next(), None, "more than one value in {line}");
        value
    }

    fn skip_space(&mut self) {
        while self.0.next_if(|&c| c == ',' || c.is_whitespace()).is_some() {}
    }

    fn value(&mut self) -> Edn {
        self.skip_space();
        match self.0.next().expect("a value") {
            '[' => Edn::Vector(self.until(']')),
            '{' => {
                let flat = self.until('}');
                let pairs = flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
                Edn::Map(pairs.collect())
            }
            '"' => self.text(),
            ':' => Edn::Keyword(self.symbol(String::new())),
            c => match self.symbol(c.to_string()).as_str() {
                "nil" => Edn::Nil,
                number => Edn::Number(number.parse().unwrap()),
            },
        }
    }

    fn until(&mut self, end: char) -> Vec<Edn> {
        let mut values = Vec::new();
        loop {
            self.skip_space();
            if self.0.next_if_eq(&end).is_some() {
                return values;
            }
            values.push(self.value());
        }
    }

    fn symbol(&mut self, mut symbol: String) -> String {
        while let Some(c) = self.0.next_if(|&c| c.is_alphanumeric() || "-_".contains(c)) {
            symbol.push(c);
        }
        symbol
    }

    fn text(&mut self) -> Edn {
        let mut text = String::new();
        loop {
            match self.0.next().expect("a string ends") {
                '"' => return Edn::Text(text),
                '\\' => text.push(match self.0.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let digits: String = (0..4).map(|_| self.0.next().unwrap()).collect();
                        char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                    }
                    plain => plain,
                }),
                c => text.push(c),
            }
        }
    }
}

/// One line of Jepsen's history.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    time: u64,
    process: u64,
    kind: String,
    f: String,
    key: String,
    value: Edn,
    error: Option<Edn>,
}

/// A value of the register that Knossos knows: `nil` is one like any other, and can be written.
fn text(value: &Edn) -> String {
    match value {
        Edn::Nil => "nil".to_owned(),
        Edn::Text(text) => text.clone(),
        other => panic!("{other:?} is no value"),
    }
}

/// The history as Jepsen reads it, and a check of everything that it asks of one.
fn jepsen(operations: &[Operation]) -> Vec<Entry> {
    let mut bytes = Vec::new();
    export::jepsen::write(&mut bytes, operations).unwrap();
    let lines = String::from_utf8(bytes).unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    for (line, index) in lines.lines().zip(0..) {
        let Edn::Map(map) = Reader::read(line) else { panic!("{line} is no map") };
        let of = |name: &str| map.get(&Edn::Keyword(name.to_owned())).cloned();
        let number = |name| match of(name) {
            Some(Edn::Number(number)) => number,
            other => panic!("{name} is {other:?}"),
        };
        let keyword = |name| match of(name) {
            Some(Edn::Keyword(keyword)) => keyword,
            other => panic!("{name} is {other:?}"),
        };
        assert_eq!(number("index"), index, "indices count the lines");
        let Some(Edn::Vector(pair)) = of("value") else { panic!("{line}") };
        let [Edn::Text(key), value] = &pair[..] else { panic!("{line}") };
        entries.push(Entry {
            time: number("time"),
            process: number("process"),
            kind: keyword("type"),
            f: keyword("f"),
            key: key.clone(),
            value: value.clone(),
            error: of("error"),
        });
    }
    assert!(entries.is_sorted_by_key(|entry| entry.time), "lines are in the order of time");
    let mut under_way: BTreeMap<u64, Entry> = BTreeMap::new();
    let mut crashed = BTreeSet::new();
    for entry in &entries {
        assert!(!crashed.contains(&entry.process), "process {} is used again", entry.process);
        if entry.kind == "invoke" {
            let before = under_way.insert(entry.process, entry.clone());
            assert_eq!(before, None, "a process does one thing at a time");
            continue;
        }
        let invocation = under_way.remove(&entry.process).expect("what ends has begun");
        assert_eq!((&invocation.f, &invocation.key), (&entry.f, &entry.key));
        if entry.f != "read" {
            assert_eq!(invocation.value, entry.value, "only reads learn a value");
        }
        match entry.kind.as_str() {
            "ok" => assert_eq!(entry.error, None),
            "fail" => assert!(entry.error.is_some()),
            "info" => assert!(entry.error.is_some() && crashed.insert(entry.process)),
            other => panic!("{other} is no type"),
        }
    }
    assert!(under_way.is_empty(), "everything is completed: {under_way:?}");
    entries
}

/// The operations that another checker sees in Jepsen's history: it goes by the order of the lines,
/// and every register holds `nil` before the first.
fn seen_by_jepsen(entries: &[Entry]) -> Vec<Operation> {
    let mut under_way: BTreeMap<u64, u64> = BTreeMap::new();
    let keys: BTreeSet<&String> = entries.iter().map(|entry| &entry.key).collect();
    let initial = |key: &String| Operation { key: key.clone(), ..put(u64::MAX, (0, 1), "nil") };
    let mut seen: Vec<Operation> = keys.into_iter().map(initial).collect();
    for (entry, at) in entries.iter().zip(2..) {
        if entry.kind == "invoke" {
            under_way.insert(entry.process, at);
            continue;
        }
        let span = (under_way[&entry.process], at);
        let call = match (entry.f.as_str(), &entry.value) {
            ("read", _) => Call::Get,
            ("write", value) => Call::Put(text(value)),
            ("cas", Edn::Vector(pair)) => {
                Call::CompareAndSwap { expected: Some(text(&pair[0])), value: text(&pair[1]) }
            }
            other => panic!("{other:?}"),
        };
        let is_read = call == Call::Get;
        let held = is_read.then(|| text(&entry.value));
        let answered = Outcome::Ok { changed: !is_read, held, revision: 0 };
        let mut operation = operation(entry.process, call, span, answered);
        operation.key.clone_from(&entry.key);
        seen.push(match entry.kind.as_str() {
            "ok" => operation,
            "fail" => failed(operation),
            _ => unknown(operation),
        });
    }
    seen
}

fn porcupine(operations: &[Operation]) -> Vec<export::porcupine::Line> {
    let mut bytes = Vec::new();
    export::porcupine::write(&mut bytes, operations).unwrap();
    jsonl::read(&mut &bytes[..]).unwrap()
}

/// The operations that another checker sees in Porcupine's lines.
fn seen_by_porcupine(lines: &[export::porcupine::Line]) -> Vec<Operation> {
    let see = |line: &export::porcupine::Line| {
        let export::porcupine::Line { client_id, input, output, call, returned } = line.clone();
        let value = input.value.unwrap_or_default();
        let asked = match input.op.as_str() {
            "get" => Call::Get,
            "put" => Call::Put(value),
            "delete" => Call::Delete,
            "compare-and-swap" => Call::CompareAndSwap { expected: input.expected, value },
            "test-and-set" => Call::TestAndSet(value),
            other => panic!("{other}"),
        };
        assert!(output.told || output.held.is_none());
        let answer = Outcome::Ok { changed: output.changed, held: output.held, revision: 0 };
        let mut operation = operation(client_id, asked, (call, returned), answer);
        operation.key = input.key;
        if output.unknown { unknown(operation) } else { operation }
    };
    lines.iter().map(see).collect()
}

/// A history of a real register of which some operations are left out, so that many are bad.
fn some_history(draw: Draw, share: f64) -> Vec<Operation> {
    let shape = Shape {
        operations: 30,
        clients: 4,
        keys: 2,
        values: Some(4),
        unknown: 0.15,
        telling: draw.of("telling").chance(0.5),
    };
    let mut number = 0;
    let mut history = execution(shape, draw.of("execution"));
    history.retain(|_| {
        number += 1;
        !draw.of("left out").at(number).chance(share)
    });
    for operation in &mut history {
        if let Outcome::Ok { revision, .. } = &mut operation.outcome {
            *revision = 0;
        }
        if draw.of("refused").at(operation.invoked.0).chance(0.05) {
            operation.outcome = Outcome::Failed("overloaded".into());
        }
    }
    history
}

#[test]
fn porcupine_judges_as_we_do() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..2_000 {
        let history = some_history(Draw::new(seed), 0.1);
        let expected = linearizable(&history).is_ok();
        let seen = seen_by_porcupine(&porcupine(&history));
        assert_eq!(linearizable(&seen).is_ok(), expected, "seed {seed}");
        if expected { good += 1 } else { bad += 1 }
    }
    assert!(good >= 400 && bad >= 400, "{good} good, {bad} bad");
}

/// Registers with reads, writes and compare-and-swaps say all that there is to say in Jepsen's words;
/// of the others it hears a part, so that it may miss something, but accuses nobody wrongly.
#[test]
fn jepsen_judges_registers_as_we_do_and_nobody_wrongly() {
    let (mut good, mut bad, mut missed) = (0, 0, 0);
    for seed in 0..4_000 {
        let mut history = some_history(Draw::new(seed), 0.1);
        let is_plain = seed % 2 == 0;
        if is_plain {
            history.retain(|operation| match (&operation.call, &operation.outcome) {
                (Call::Get, _) => true,
                (Call::Put(_) | Call::CompareAndSwap { .. }, Outcome::Ok { changed, held, .. }) => {
                    *changed && held.is_none()
                }
                (Call::Put(_) | Call::CompareAndSwap { .. }, _) => true,
                _ => false,
            });
        }
        let expected = linearizable(&history).is_ok();
        let found = linearizable(&seen_by_jepsen(&jepsen(&history))).is_ok();
        match (is_plain, expected, found) {
            (true, true, true) => good += 1,
            (true, false, false) => bad += 1,
            (false, true, true) | (false, false, false) => {}
            (false, false, true) => missed += 1,
            _ => panic!("seed {seed}: {expected} here, {found} there"),
        }
    }
    assert!(good >= 200 && bad >= 200, "{good} good, {bad} bad");
    assert!(missed > 0, "the other histories say no more than the plain ones");
}

#[test]
fn every_kind_of_operation_has_its_words() {
    let history = [
        put(7, (1_000, 1_010), "a \"b\"\n\u{1}é"),
        get(7, (1_020, 1_030), "a"),
        cas(9, (1_020, 1_040), "", "c", false),
        test_and_set(7, (1_040, 1_050), "x", true),
        delete(9, (1_040, 1_050), true),
        failed(put(9, (1_060, 1_070), "e")),
        unknown(get(8, (1_060, 0), "")),
        unknown(put(9, (1_080, 0), "f")),
        get(9, (1_090, 1_100), ""),
        Operation { consistency: Some(Consistency::Stale), ..get(7, (1_060, 1_070), "zz") },
    ];
    let mut bytes = Vec::new();
    export::jepsen::write(&mut bytes, &history).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let expected = r#"{:index 0, :time 0, :process 0, :type :invoke, :f :write, :value ["x" "a \"b\"\n\u0001é"]}
{:index 1, :time 10, :process 0, :type :ok, :f :write, :value ["x" "a \"b\"\n\u0001é"]}
{:index 2, :time 20, :process 0, :type :invoke, :f :read, :value ["x" nil]}
{:index 3, :time 20, :process 2, :type :invoke, :f :cas, :value ["x" [nil "c"]]}
{:index 4, :time 30, :process 0, :type :ok, :f :read, :value ["x" "a"]}
{:index 5, :time 40, :process 0, :type :invoke, :f :cas, :value ["x" [nil "x"]]}
{:index 6, :time 40, :process 2, :type :fail, :f :cas, :value ["x" [nil "c"]], :error :precondition}
{:index 7, :time 40, :process 2, :type :invoke, :f :write, :value ["x" nil]}
{:index 8, :time 50, :process 0, :type :ok, :f :cas, :value ["x" [nil "x"]]}
{:index 9, :time 50, :process 2, :type :ok, :f :write, :value ["x" nil]}
{:index 10, :time 60, :process 2, :type :invoke, :f :write, :value ["x" "e"]}
{:index 11, :time 60, :process 1, :type :invoke, :f :read, :value ["x" nil]}
{:index 12, :time 70, :process 2, :type :fail, :f :write, :value ["x" "e"], :error "overloaded"}
{:index 13, :time 80, :process 2, :type :invoke, :f :write, :value ["x" "f"]}
{:index 14, :time 90, :process 5, :type :invoke, :f :read, :value ["x" nil]}
{:index 15, :time 100, :process 1, :type :info, :f :read, :value ["x" nil], :error "timeout"}
{:index 16, :time 100, :process 2, :type :info, :f :write, :value ["x" "f"], :error "timeout"}
{:index 17, :time 100, :process 5, :type :ok, :f :read, :value ["x" nil]}
"#;
    assert_eq!(text, expected);
    let entries = jepsen(&history);
    assert_eq!(entries[0].value, Edn::Text("a \"b\"\n\u{1}é".to_owned()));

    let lines = porcupine(&history);
    let shown: Vec<_> = lines
        .iter()
        .map(|line| (line.input.op.as_str(), line.client_id, line.call, line.returned))
        .collect();
    let expected = [
        ("put", 0, 0, 10),
        ("get", 0, 20, 30),
        ("compare-and-swap", 2, 20, 40),
        ("test-and-set", 0, 40, 50),
        ("delete", 2, 40, 50),
        ("put", 2, 80, 100),
        ("get", 5, 90, 100),
    ];
    assert_eq!(shown, expected, "what was refused, and reads of unknown outcome, are left out");
    assert!(lines[5].output.unknown && lines[5].output.held.is_none());
    assert!(!lines[2].output.changed && !lines[2].output.told && lines[1].output.told);
    let mut first = Vec::new();
    export::porcupine::write(&mut first, &history[1..2]).unwrap();
    let expected = "{\"ClientId\":0,\"Input\":{\"Op\":\"get\",\"Key\":\"x\",\"Value\":null,\"Expected\":null},\
                    \"Output\":{\"Unknown\":false,\"Changed\":false,\"Told\":true,\"Held\":\"a\"},\
                    \"Call\":0,\"Return\":10}\n";
    assert_eq!(String::from_utf8(first).unwrap(), expected);
}

#[test]
fn an_unknown_outcome_ends_when_its_client_gave_up_and_an_empty_history_is_empty() {
    let gave_up = Operation { completed: Some(Time(40)), ..unknown(put(1, (10, 0), "a")) };
    let history = [gave_up, get(1, (50, 60), ""), get(1, (70, 80), "a")];
    let entries = jepsen(&history);
    assert_eq!((entries[1].time, entries[1].kind.as_str()), (30, "info"));
    assert_eq!(entries.iter().map(|entry| entry.process).collect::<Vec<_>>(), [0, 0, 1, 1, 1, 1]);
    assert_eq!(porcupine(&history)[0].returned, 70, "it may happen until the end");
    assert!(jepsen(&[]).is_empty() && porcupine(&[]).is_empty());
}
