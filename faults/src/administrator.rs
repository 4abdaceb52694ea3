//! How persistent an administrator is who asks for other members, or for another leader: after each
//! try, whether the errand is settled or asked for again. The same on every target.
//!
//! A change that may have been made, for all the administrator knows, it asks for again: if it then
//! hears that there is nothing to change any more, the change is done.

use consensus_core::{ChangeError, NodeId, Refusal};

use crate::director::Answer;

/// What came of one try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It is done.
    Done,
    /// Certainly not done.
    Refused {
        /// What follows from the refusal.
        ground: Ground,
        /// Why, for people.
        why: String,
    },
    /// Perhaps done, perhaps not; why nobody knows.
    Unknown(String),
}

/// What follows from a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ground {
    /// Somebody else may do it: this one, if a name is given.
    Elsewhere(Option<NodeId>),
    /// The same replica may do it later.
    Later,
    /// There is nothing to change.
    Nothing,
    /// Whoever was to be added did not catch up.
    NotCaughtUp,
    /// Leadership stays where it is.
    NotTransferred,
    /// It will never be done.
    Never,
}

impl Heard {
    /// A protocol's refusal.
    pub fn refused(refusal: &Refusal) -> Self {
        let ground = match refusal {
            Refusal::NotLeader { leader } => Ground::Elsewhere(*leader),
            Refusal::Transferring(next) => Ground::Elsewhere(Some(*next)),
            Refusal::Overloaded | Refusal::ChangeUnderWay(_) => Ground::Later,
            Refusal::BadChange(ChangeError::Nothing | ChangeError::NoMember(_)) => Ground::Nothing,
            Refusal::NotCaughtUp(_) => Ground::NotCaughtUp,
            Refusal::NotTransferred(_) => Ground::NotTransferred,
            Refusal::TooLarge | Refusal::Unsupported(_) | Refusal::BadChange(_) => Ground::Never,
        };
        Self::Refused { ground, why: refusal.to_string() }
    }
}

/// What to do after a try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Tell what came of the errand.
    Settle(Answer),
    /// Ask again after a while.
    Again(Whom),
}

/// Whom to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    /// The same replica.
    Same,
    /// Any other.
    Another,
    /// This one.
    Node(NodeId),
}

/// An administrator's memory of one errand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Persistence {
    /// Whether it asks until it is done, whatever is refused meanwhile.
    endless: bool,
    /// Whether it may have been done already, for all it knows.
    ambiguous: bool,
    /// Why it is not done so far.
    trouble: String,
}

impl Persistence {
    /// One who asks until a deadline.
    pub fn bounded() -> Self {
        let trouble = "there was no time to ask".to_owned();
        Self { endless: false, ambiguous: false, trouble }
    }

    /// One who asks until it is done.
    pub fn endless() -> Self {
        Self { endless: true, ..Self::bounded() }
    }

    /// Somebody else asks for the same, and may be heard first.
    #[must_use]
    pub fn beside_others(self) -> Self {
        Self { ambiguous: true, ..self }
    }

    /// Takes what a try came to, and says what is next.
    pub fn hear(&mut self, heard: Heard) -> Next {
        let (ground, why) = match heard {
            Heard::Done => return Next::Settle(Answer::Done),
            Heard::Unknown(why) => {
                self.ambiguous = true;
                (Ground::Elsewhere(None), why)
            }
            Heard::Refused { ground, why } => (ground, why),
        };
        let whom = match ground {
            Ground::Elsewhere(Some(node)) => Whom::Node(node),
            Ground::Elsewhere(None) => Whom::Another,
            Ground::Later => Whom::Same,
            Ground::NotCaughtUp if self.endless => Whom::Same,
            // What a try whose answer was lost has done cannot be done again.
            Ground::Nothing if self.ambiguous => return Next::Settle(Answer::Done),
            Ground::NotTransferred if self.ambiguous => return Next::Settle(Answer::Unknown(why)),
            Ground::Nothing | Ground::NotCaughtUp | Ground::NotTransferred | Ground::Never => {
                return Next::Settle(Answer::Refused(why));
            }
        };
        self.trouble = why;
        Next::Again(whom)
    }

    /// What came of the errand if there is no more time.
    pub fn out_of_time(&self) -> Answer {
        match self.ambiguous {
            true => Answer::Unknown(self.trouble.clone()),
            false => Answer::Refused(self.trouble.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: Refusal) -> Heard {
        Heard::refused(&refusal)
    }

    #[test]
    fn a_refusal_that_passes_is_asked_about_again_where_it_may_be_done() {
        let mut bounded = Persistence::bounded();
        let elsewhere = refused(Refusal::NotLeader { leader: Some(NodeId(2)) });
        assert_eq!(bounded.hear(elsewhere), Next::Again(Whom::Node(NodeId(2))));
        let busy = refused(Refusal::ChangeUnderWay("add 4".into()));
        assert_eq!(bounded.hear(busy), Next::Again(Whom::Same));
        let Answer::Refused(why) = bounded.out_of_time() else { panic!("nothing was done") };
        assert!(why.contains("add 4"), "{why}");
    }

    #[test]
    fn nothing_to_change_is_done_only_after_doubt() {
        let nothing = || refused(Refusal::BadChange(ChangeError::Nothing));
        assert!(matches!(Persistence::bounded().hear(nothing()), Next::Settle(Answer::Refused(_))));
        let mut doubting = Persistence::bounded();
        let again = doubting.hear(Heard::Unknown("the connection broke".into()));
        assert_eq!(again, Next::Again(Whom::Another));
        assert!(matches!(doubting.out_of_time(), Answer::Unknown(_)));
        assert_eq!(doubting.hear(nothing()), Next::Settle(Answer::Done));
        let mut second = Persistence::endless().beside_others();
        assert_eq!(second.hear(nothing()), Next::Settle(Answer::Done));
    }

    #[test]
    fn only_the_endless_wait_for_who_does_not_catch_up() {
        let late = || refused(Refusal::NotCaughtUp(NodeId(103)));
        assert_eq!(Persistence::endless().hear(late()), Next::Again(Whom::Same));
        assert!(matches!(Persistence::bounded().hear(late()), Next::Settle(Answer::Refused(_))));
    }
}
