//! Records on disk, good, torn and damaged.

mod common;

use std::io::{BufRead, BufReader, Cursor, Read};

use checker::jsonl::{self, JsonlError, MAX_LINE_BYTES};
use common::*;
use consensus_core::{
    Draw, Epoch,
    history::{Applied, Observed, Operation},
};

fn history() -> Vec<Operation> {
    let shape =
        Shape { operations: 200, clients: 5, keys: 3, values: None, unknown: 0.1, telling: true };
    execution(shape, Draw::new(3))
}

fn lines(operations: &[Operation]) -> Vec<u8> {
    let mut bytes = Vec::new();
    jsonl::write(&mut bytes, operations).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Operation>, JsonlError> {
    jsonl::read(&mut Cursor::new(bytes))
}

#[test]
fn what_is_written_reads_back() {
    let history = history();
    let bytes = lines(&history);
    assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), history.len());
    assert_eq!(read(&bytes).unwrap(), history);
    assert_eq!(read(b"").unwrap(), []);

    let (mut bytes, mut seen) = (Vec::new(), Vec::new());
    let entry = commanded(Applied { digest: u64::MAX, ..applied(1, 2, 0) }, 4, 5);
    let election = elected(1, 2, Epoch::term(3));
    jsonl::write_one(&mut bytes, &entry).unwrap();
    jsonl::write_one(&mut seen, &election).unwrap();
    assert_eq!(jsonl::read::<Applied>(&mut &bytes[..]).unwrap(), [entry]);
    assert_eq!(jsonl::read::<Observed>(&mut &seen[..]).unwrap(), [election]);
}

#[test]
fn a_torn_last_line_is_told_apart_at_every_byte() {
    let history = history();
    let bytes = lines(&history[..3]);
    let two = lines(&history[..2]).len();
    for cut in two + 1..bytes.len() - 1 {
        let error = read(&bytes[..cut]).unwrap_err();
        assert!(matches!(error, JsonlError::Torn { line: 3 }), "{cut}: {error}");
        let whole: Vec<Operation> = jsonl::read_untorn(&mut &bytes[..cut]).unwrap();
        assert_eq!(whole, history[..2]);
    }
    // Nothing but the line's end is missing.
    assert_eq!(read(&bytes[..bytes.len() - 1]).unwrap(), history[..3]);
}

#[test]
fn damage_is_named_by_its_line() {
    let history = history();
    let mut bytes = lines(&history[..2]);
    bytes.extend(b"{\"client\":1,\"colour\":2}\n");
    bytes.extend(lines(&history[2..4]));
    let error = read(&bytes).unwrap_err();
    assert!(matches!(error, JsonlError::Malformed { line: 3, .. }));
    assert!(error.to_string().starts_with("line 3: unknown field `colour`"), "{error}");
    let error = jsonl::read_untorn::<Operation>(&mut &bytes[..]).unwrap_err();
    assert!(matches!(error, JsonlError::Malformed { line: 3, .. }));

    // A torn line in the middle is damage: whoever wrote on after it did not know.
    let mut bytes = lines(&history[..2]);
    bytes.truncate(bytes.len() - 5);
    bytes.push(b'\n');
    bytes.extend(lines(&history[2..3]));
    assert!(matches!(read(&bytes).unwrap_err(), JsonlError::Malformed { line: 2, .. }));
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let mut endless = BufReader::new(std::io::repeat(b'x'));
    let error = jsonl::read::<Operation>(&mut endless).unwrap_err();
    assert!(matches!(error, JsonlError::TooLong { line: 1 }));
    let mut almost = std::io::repeat(b' ').take(MAX_LINE_BYTES as u64).chain(&b"\n"[..]);
    let mut almost: BufReader<&mut dyn Read> = BufReader::new(&mut almost);
    let almost: &mut dyn BufRead = &mut almost;
    assert!(matches!(
        jsonl::read::<Operation>(almost).unwrap_err(),
        JsonlError::Malformed { line: 1, .. }
    ));
}
