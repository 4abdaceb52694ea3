//! `harness members` and `harness transfer`: who decides, and who leads.

use anyhow::{Result, anyhow};
use consensus_core::{Change, NodeId};
use replica::{
    client::Client,
    http::{
        api::{Reason, Reply},
        members::{Known, Members},
    },
};

use super::client::{runtime, servers};
use crate::{
    cli::{AtArgs, MembersArgs, MembersCommand, TransferArgs},
    usage::usage,
};

/// Lists the members, or changes them.
pub fn members(arguments: &MembersArgs) -> Result<bool> {
    let nodes = |numbers: &[u64]| numbers.iter().copied().map(NodeId).collect();
    let change = match &arguments.command {
        MembersCommand::List => return list(&arguments.at),
        MembersCommand::Add { nodes: added, learn: false } => {
            Change { add: nodes(added), ..Change::default() }
        }
        MembersCommand::Add { nodes: added, learn: true } => {
            Change { learn: nodes(added), ..Change::default() }
        }
        MembersCommand::Remove { nodes: removed } => {
            Change { remove: nodes(removed), ..Change::default() }
        }
        MembersCommand::Replace { old, new } => Change::replace(NodeId(*old), NodeId(*new)),
    };
    let done = format!("done: {change}");
    ask(&arguments.at, &done, async |client| {
        client.reconfigure(change, arguments.at.timeout).await
    })?;
    list(&arguments.at)
}

/// Hands leadership over.
pub fn transfer(arguments: &TransferArgs) -> Result<bool> {
    let to = arguments.to.map(NodeId);
    ask(&arguments.at, "done: another replica leads", async |client| {
        client.transfer(to, arguments.at.timeout).await
    })
}

fn list(at: &AtArgs) -> Result<bool> {
    let client = servers(&at.servers, at.timeout)?;
    match runtime()?.block_on(client.members()) {
        Some(members) => {
            print!("{}", told(&members));
            Ok(true)
        }
        None => Err(usage(format!("nobody at {} says who the members are", at.servers.join(", ")))),
    }
}

fn ask(at: &AtArgs, done: &str, request: impl AsyncFnOnce(&Client) -> Reply) -> Result<bool> {
    let client = servers(&at.servers, at.timeout)?;
    let reply = runtime()?.block_on(request(&client));
    let asked = at.servers.join(", ");
    match reply {
        Reply::Done(_) | Reply::Opened(_) => {
            eprintln!("{done}");
            Ok(true)
        }
        // The cluster was reached, and stays as it is.
        Reply::Refused(refused)
            if matches!(refused.reason, Reason::NotCaughtUp | Reason::NotTransferred) =>
        {
            Err(anyhow!("not done: {}", refused.error))
        }
        Reply::Refused(refused) => {
            Err(usage(format!("certainly not done by {asked}: {}", refused.error)))
        }
        Reply::Unknown(why) => Err(anyhow!("perhaps done by {asked}, perhaps not: {why}")),
    }
}

/// The members, a line each.
fn told(members: &Members) -> String {
    let mut text =
        format!("{:<6} {:<9} {:<8} {:<22} {}\n", "node", "part", "gossip", "clients", "");
    for Known { node, part, state, client_address, .. } in &members.known {
        let leads = if members.leader == Some(*node) { "leads" } else { "" };
        let address = if client_address.is_empty() { "?" } else { client_address };
        let line = format!("{:<6} {part:<9} {state:<8} {address:<22} {leads}", node.0);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if members.changing {
        text.push_str("a change of the members is under way\n");
    }
    text.push_str(&format!(
        "according to node {}, which knows {} entries committed\n",
        members.according_to, members.commit
    ));
    text
}

#[cfg(test)]
mod tests {
    use consensus_core::Epoch;
    use replica::http::members::Part;

    use super::*;

    #[test]
    fn members_are_told_a_line_each() {
        let known = |node, part, state: &str| Known {
            node: NodeId(node),
            part,
            state: state.to_owned(),
            client_address: format!("127.0.0.1:710{node}"),
            peer_address: String::new(),
        };
        let members = Members {
            according_to: NodeId(1),
            leader: Some(NodeId(2)),
            epoch: Epoch::term(3),
            commit: 9,
            voters: vec![NodeId(1), NodeId(2)],
            learners: vec![],
            changing: true,
            known: vec![known(1, Part::Voter, "alive"), known(2, Part::Voter, "suspect")],
        };
        let text = told(&members);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("1      voter     alive    127.0.0.1:7101"), "{text}");
        assert!(lines[2].ends_with("leads") && lines[2].contains("suspect"), "{text}");
        assert!(text.contains("under way") && text.contains("9 entries"), "{text}");
    }
}
