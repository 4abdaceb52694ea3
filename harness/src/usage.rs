//! The difference between a run that failed and a request that made no sense.

use clap::{
    CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::cli::Cli;

/// A request that makes no sense, or a target that cannot be reached: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

/// An error that ends with exit status 2 and this one sentence.
pub fn usage(sentence: impl Into<String>) -> anyhow::Error {
    Usage(sentence.into()).into()
}

/// Whether an error is the caller's.
pub fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Usage>())
}

/// Says in one sentence what is wrong with the arguments, and what exists instead. `None` if nothing
/// is: help or the version was asked for.
pub fn explain(error: &clap::Error, command: Option<&str>) -> Option<String> {
    let told = |kind| told(error, kind);
    let first = |kind| told(kind).into_iter().next().unwrap_or_default();
    Some(match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::InvalidSubcommand => {
            let names: Vec<_> =
                Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
            let wanted = first(ContextKind::InvalidSubcommand);
            format!("there is no command '{wanted}'; there are: {}", names.join(", "))
        }
        ErrorKind::InvalidValue => {
            let (flag, value) = (flag(error), first(ContextKind::InvalidValue));
            match told(ContextKind::ValidValue).as_slice() {
                [] => format!("{flag} needs a value"),
                known => {
                    format!("there is no '{value}' for {flag}; there are: {}", known.join(", "))
                }
            }
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            format!("'{}' cannot be {}: {why}", first(ContextKind::InvalidValue), flag(error))
        }
        ErrorKind::UnknownArgument => {
            let wanted = first(ContextKind::InvalidArg);
            let options = options(command);
            format!("there is no option '{wanted}'; there are: {}", options.join(", "))
        }
        ErrorKind::MissingRequiredArgument => {
            format!("something is missing: {}", told(ContextKind::InvalidArg).join(", "))
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    })
}

/// What the parser says of one aspect of an error.
fn told(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// The argument that an error is about, without the name of its value.
fn flag(error: &clap::Error) -> String {
    let argument = told(error, ContextKind::InvalidArg).into_iter().next().unwrap_or_default();
    argument.split(' ').next().unwrap_or_default().to_owned()
}

/// The options of a command.
fn options(command: Option<&str>) -> Vec<String> {
    let cli = Cli::command();
    let command = command.and_then(|name| cli.find_subcommand(name)).unwrap_or(&cli);
    let long = command.get_arguments().filter_map(|argument| argument.get_long());
    long.chain(["help"]).map(|name| format!("--{name}")).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn said(line: &str) -> Option<String> {
        let error = Cli::try_parse_from(line.split(' ')).expect_err("the line makes no sense");
        explain(&error, line.split(' ').nth(1))
    }

    #[test]
    fn a_sentence_names_what_is_wrong_and_what_exists() {
        let cases = [
            ("harness walk", "there is no command 'walk'; there are: run, compare,"),
            (
                "harness run --protocol raft --target moon",
                "there is no 'moon' for --target; there are: sim, local",
            ),
            (
                "harness run --protocl raft",
                "there is no option '--protocl'; there are: --protocol,",
            ),
            ("harness run", "something is missing: --protocol"),
            (
                "harness sweep --protocol raft --seeds 5",
                "'5' cannot be --seeds: seeds are given as",
            ),
            ("harness get key --server here", "'here' cannot be --server: a server is given as"),
        ];
        for (line, beginning) in cases {
            let said = said(line).expect("this is no question for help");
            assert!(said.starts_with(beginning), "{line}: {said}");
            assert!(!said.contains('\n'), "{line}: {said}");
        }
        assert_eq!(said("harness run --help"), None);
    }
}
