//! Those who ask a real cluster for other members and other leaders, and do not give up at the first
//! refusal. What they make of each answer is the same on every target ([`Persistence`]); whom to ask,
//! the client finds out by itself.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use consensus_core::{Change, NodeId};
use faults::{
    Answer,
    administrator::{Ground, Heard, Next, Persistence},
    director::TrialKey,
};
use replica::{
    client::{Client, ClientOptions},
    http::api::{Reason, Reply},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// How long an administrator waits for an answer: newcomers take their time to catch up.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause before it asks again.
const PAUSE: Duration = Duration::from_millis(100);

/// What an administrator asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Other members.
    Reconfigure(Change),
    /// Another leader: this one, or whichever is best.
    Transfer(Option<NodeId>),
}

/// All of them, each a task with one errand. They are gone when this is dropped.
#[derive(Debug)]
pub struct Administrators {
    client: Arc<Client>,
    at_work: JoinSet<(TrialKey, Answer)>,
}

impl Administrators {
    /// Those who know these replicas. More may be [located](Self::locate) later.
    pub fn new(servers: &BTreeMap<NodeId, SocketAddr>) -> Result<Self> {
        let servers = servers.iter().map(|(&node, at)| (node, at.to_string()));
        let client = Client::new(servers, ClientOptions::default());
        let client = Arc::new(client.context("cannot make the administrators")?);
        Ok(Self { client, at_work: JoinSet::new() })
    }

    /// Learns where a replica listens now.
    pub fn locate(&self, node: NodeId, address: SocketAddr) {
        self.client.locate(node, &address.to_string());
    }

    /// Sends somebody, who asks for so long; `None`: until it is done.
    pub fn send(&mut self, errand: TrialKey, wish: Wish, within: Option<Duration>) {
        let client = Arc::clone(&self.client);
        self.at_work.spawn(async move { (errand, carry_out(&client, &wish, within).await) });
    }

    /// What came of the next errand that is settled; `None` if nobody is at work.
    pub async fn settled(&mut self) -> Option<(TrialKey, Answer)> {
        let settled = self.at_work.join_next().await?;
        Some(settled.expect("an administrator neither panics nor is called back"))
    }

    /// Whether all errands are settled, and were told of.
    pub fn are_idle(&self) -> bool {
        self.at_work.is_empty()
    }
}

async fn carry_out(client: &Client, wish: &Wish, within: Option<Duration>) -> Answer {
    let until = within.map(|within| Instant::now() + within);
    let mut persistence = match within {
        Some(_) => Persistence::bounded(),
        // A replica that lost its disk asks for its old place itself.
        None => Persistence::endless().beside_others(),
    };
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return persistence.out_of_time();
        }
        let patience = left.map_or(PATIENCE, |left| left.min(PATIENCE));
        let reply = match wish {
            Wish::Reconfigure(change) => client.reconfigure(change.clone(), patience).await,
            Wish::Transfer(to) => client.transfer(*to, patience).await,
        };
        if let Next::Settle(answer) = persistence.hear(heard(reply)) {
            return answer;
        }
        sleep(PAUSE).await;
    }
}

/// What a reply says.
fn heard(reply: Reply) -> Heard {
    let refused = match reply {
        Reply::Done(_) | Reply::Opened(_) => return Heard::Done,
        Reply::Unknown(why) => return Heard::Unknown(why),
        Reply::Refused(refused) => refused,
    };
    let ground = match refused.reason {
        Reason::NotLeader | Reason::Unavailable | Reason::TooLate => {
            Ground::Elsewhere(refused.leader)
        }
        Reason::Overloaded | Reason::ChangeUnderWay => Ground::Later,
        Reason::NothingToChange => Ground::Nothing,
        Reason::NotCaughtUp => Ground::NotCaughtUp,
        Reason::NotTransferred => Ground::NotTransferred,
        Reason::Malformed
        | Reason::TooLarge
        | Reason::UnknownSession
        | Reason::AlreadyAcknowledged
        | Reason::TooManyUnacknowledged
        | Reason::NotFound
        | Reason::Unsupported => Ground::Never,
    };
    Heard::Refused { ground, why: refused.error }
}
