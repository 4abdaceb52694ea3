//! Simpler values for one field of a schedule.

use std::time::Duration;

use toml::Value;

use crate::duration;

/// What says how much happens. It becomes less and is never left out: what is as usual may be more.
const AMOUNTS: [&str; 7] = ["nodes", "warmup", "settle", "patience", "rate", "keys", "value_bytes"];

/// What stays as it is: the names of things, and the table of which the fields are amounts.
const NAMES: [&str; 4] = ["name", "description", "id", "load"];

/// What a field is to the search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// It says how much happens.
    Amount,
    /// It names something.
    Name,
    /// Anything else: it may be left out.
    Detail,
}

/// What the field of this name is to the search.
pub(super) fn role(field: &str) -> Role {
    if AMOUNTS.contains(&field) {
        Role::Amount
    } else if NAMES.contains(&field) {
        Role::Name
    } else {
        Role::Detail
    }
}

/// Simpler values in the place of this one, the simplest first: each is smaller, so that no chain of
/// them goes on for ever.
pub(super) fn simpler(value: &Value) -> Vec<Value> {
    let mut simpler: Vec<Value> = match value {
        Value::Integer(number) => integers(*number).into_iter().map(Value::from).collect(),
        Value::Float(number) => floats(*number).into_iter().map(Value::from).collect(),
        Value::Boolean(true) => vec![Value::from(false)],
        Value::String(text) => strings(text).into_iter().map(Value::from).collect(),
        Value::Array(items) => lists(items).into_iter().map(Value::from).collect(),
        _ => Vec::new(),
    };
    simpler.dedup();
    simpler
}

fn integers(number: i64) -> Vec<i64> {
    if number < 0 {
        return integers(number.saturating_neg()).into_iter().map(|less| -less).collect();
    }
    let some = [0, 1, number / 4, number / 2, number - number / 4];
    let one_less = (number <= 10).then_some(number - 1);
    let mut all: Vec<_> =
        some.into_iter().chain(one_less).filter(|less| (0..number).contains(less)).collect();
    all.sort_unstable();
    all
}

fn floats(number: f64) -> Vec<f64> {
    let whole = if number > 2.0 { (number / 2.0).floor() } else { number / 2.0 };
    let some = [0.0, 1.0, number / 8.0, whole, round(number)];
    // Nobody reads a number below a hundredth, and where zero will not do there are many of them.
    let says_something = |less: &f64| *less <= 0.0 || *less >= 0.01;
    some.into_iter().filter(|less| (0.0..number).contains(less) && says_something(less)).collect()
}

/// The number in hundredths, the rest cut off.
fn round(number: f64) -> f64 {
    (number * 100.0).floor() / 100.0
}

fn strings(text: &str) -> Vec<String> {
    if let Some((middle, _)) = text.split_once('~') {
        // A delay with a spread.
        return strings(middle).into_iter().chain([middle.to_owned()]).collect();
    }
    if let Some(back) = text.strip_prefix('-') {
        return strings(back).into_iter().map(|less| format!("-{less}")).collect();
    }
    let Ok(time) = duration::parse(text) else { return Vec::new() };
    let some = [Duration::ZERO, time / 8, time / 2, time - time / 4, time];
    let shorter = some.into_iter().map(digits).filter(|&less| less < time);
    shorter.map(duration::format).collect()
}

/// The duration with two digits, the rest cut off.
fn digits(time: Duration) -> Duration {
    let nanos = time.as_nanos() as u64;
    let scale = 10u64.pow(nanos.checked_ilog10().unwrap_or(0).saturating_sub(1));
    Duration::from_nanos(nanos / scale * scale)
}

/// Shorter lists: one item alone, or all but one. An empty list is a field that is left out.
fn lists(items: &[Value]) -> Vec<Vec<Value>> {
    if items.len() < 2 {
        return Vec::new();
    }
    let alone = items.iter().map(|item| vec![item.clone()]);
    let without = |left_out: usize| {
        let others = items.iter().enumerate().filter(move |(place, _)| *place != left_out);
        others.map(|(_, item)| item.clone()).collect()
    };
    alone.chain((0..items.len()).map(without)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simpler_values_are_smaller_and_the_simplest_comes_first() {
        let of = |value: Value| simpler(&value).iter().map(Value::to_string).collect::<Vec<_>>();
        assert_eq!(of(7.into()), ["0", "1", "3", "6"]);
        assert_eq!(of(200.into()), ["0", "1", "50", "100", "150"]);
        assert_eq!(of(0.25.into()), ["0.0", "0.03125", "0.125"]);
        assert_eq!(
            of("1437ms".into()),
            [r#""0s""#, r#""170ms""#, r#""710ms""#, r#""1s""#, r#""1400ms""#]
        );
        assert_eq!(of("50ms~10ms".into()).last().unwrap(), r#""50ms""#);
        assert_eq!(of((-4).into()), ["0", "-1", "-2", "-3"]);
        assert_eq!(of("-2ms".into())[..2], [r#""-0s""#, r#""-250us""#]);
        assert_eq!(of(true.into()), ["false"]);
        let list = Value::from(vec!["actor", "majority"]);
        assert_eq!(of(list)[..2], [r#"["actor"]"#, r#"["majority"]"#]);
        for smallest in [Value::from(0), Value::from("0s"), Value::from("leader"), Value::from(0.0)]
        {
            assert_eq!(simpler(&smallest), []);
        }
    }
}
