//! Who plays whom when a run is played again.

use consensus_core::NodeId;
use serde::{Deserialize, Serialize};

use super::Trial;

/// Whom the trials of a replayed run hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cast {
    /// The very same replicas, whatever part they play now.
    #[default]
    Literal,
    /// Whoever plays the part: who leads now and who led then change places.
    Roles,
}

impl Cast {
    /// The trial as it strikes now, that this replica leads.
    pub(super) fn of(self, trial: Trial, leads: Option<NodeId>) -> Trial {
        let (Self::Roles, Some(then), Some(now)) = (self, trial.leader, leads) else {
            return trial;
        };
        let now_played_by = |node: NodeId| match node {
            node if node == then => now,
            node if node == now => then,
            node => node,
        };
        let mut nodes: Vec<_> = trial.nodes.iter().copied().map(now_played_by).collect();
        nodes.sort_unstable();
        let links = trial.links.iter();
        let links = links.map(|&(from, to)| (now_played_by(from), now_played_by(to))).collect();
        Trial { nodes, links, ..trial }
    }
}
