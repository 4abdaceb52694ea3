//! Who is healed at the end.

use serde::{Deserialize, Serialize};

/// Who is healed once all steps are over, for the cluster to live again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heal {
    /// Everybody.
    #[default]
    All,
    /// A majority of the members, drawn with the seed: whatever else has no `for` goes on for ever at
    /// the others. A quorum that is whole is all that a protocol may ask for, so the core must elect
    /// and agree, whatever the others do or suffer.
    ///
    /// Where a link between the core and an outsider is at fault, all links of the core with that
    /// outsider are from then on, in that direction and for both channels: no protocol promises to
    /// serve those whose leader is heard by a part of them alone.
    Core,
}

impl Heal {
    /// Whether it is what happens if nothing is said.
    pub fn is_usual(&self) -> bool {
        *self == Self::All
    }
}
