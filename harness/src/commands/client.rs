//! `harness get|put|cas|test-and-set`: a client at the command line.

use std::time::Duration;

use anyhow::{Context, Result};
use consensus_core::{
    NodeId,
    history::{Call, Outcome},
};
use replica::client::{Client, ClientOptions, Performed};
use tokio::runtime::Runtime;

use crate::{
    cli::{CasArgs, ClientArgs, GetArgs, PutArgs, TestAndSetArgs},
    usage::usage,
};

/// Reads a key, and prints what it holds.
pub fn get(arguments: &GetArgs) -> Result<bool> {
    let answer = ask_with(&arguments.client, async |client| {
        client.read(&arguments.key, arguments.consistency.into()).await
    })?;
    match &answer.held {
        Some(value) => println!("{value}"),
        None => eprintln!("{} holds nothing", arguments.key),
    }
    Ok(answer.held.is_some())
}

/// Writes a key.
pub fn put(arguments: &PutArgs) -> Result<bool> {
    let call = Call::Put(arguments.value.clone());
    let answer = ask(&arguments.client, &arguments.key, &call)?;
    eprintln!("written at {}{}", answer.revision, before(&answer));
    Ok(true)
}

/// Writes a key if it holds what is expected; fails if it does not.
pub fn cas(arguments: &CasArgs) -> Result<bool> {
    let expected = arguments.expected.clone().filter(|_| !arguments.absent);
    let call = Call::CompareAndSwap { expected, value: arguments.value.clone() };
    let answer = ask(&arguments.client, &arguments.key, &call)?;
    match answer.changed {
        true => eprintln!("swapped at {}", answer.revision),
        false => eprintln!("not swapped{}", before(&answer)),
    }
    Ok(answer.changed)
}

/// Writes a key if it holds nothing; fails, and prints what it holds, if somebody was first.
pub fn test_and_set(arguments: &TestAndSetArgs) -> Result<bool> {
    let call = Call::TestAndSet(arguments.value.clone());
    let answer = ask(&arguments.client, &arguments.key, &call)?;
    match &answer.held {
        None => eprintln!("set at {}", answer.revision),
        Some(held) => println!("{held}"),
    }
    Ok(answer.changed)
}

struct Answer {
    changed: bool,
    held: Option<String>,
    revision: u64,
}

fn before(answer: &Answer) -> String {
    match &answer.held {
        Some(held) => format!("; it held {held}"),
        None => "; it held nothing".to_owned(),
    }
}

fn ask(arguments: &ClientArgs, key: &str, call: &Call) -> Result<Answer> {
    ask_with(arguments, async |client| client.perform(key, call).await)
}

fn ask_with(
    arguments: &ClientArgs,
    request: impl AsyncFnOnce(&Client) -> Performed,
) -> Result<Answer> {
    let client = servers(&arguments.servers, arguments.timeout)?;
    let performed = runtime()?.block_on(request(&client));
    let asked = arguments.servers.join(", ");
    match performed.outcome {
        Outcome::Ok { changed, held, revision } => Ok(Answer { changed, held, revision }),
        Outcome::Failed(why) => Err(usage(format!("certainly not done by {asked}: {why}"))),
        Outcome::Unknown(why) => {
            Err(anyhow::anyhow!("perhaps done by {asked}, perhaps not: {why}"))
        }
    }
}

/// What a client at the command line runs on.
pub(super) fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")
}

/// A client of these servers.
pub(super) fn servers(servers: &[String], timeout: Duration) -> Result<Client> {
    // Which node is behind which address does not matter: an answer that names the leader's node
    // makes the client try the others in turn.
    let servers = (1..).map(|n| NodeId(u64::MAX - n)).zip(servers);
    let servers = servers.map(|(node, address)| (node, address.clone()));
    let options = ClientOptions { deadline: timeout, ..ClientOptions::default() };
    Client::new(servers, options).context("cannot make a client")
}
