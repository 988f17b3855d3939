//! Precedence of claims: the rules of SWIM §4.2 as a pure function of row and claim, without clock or queues.
//!
//! Follows `aliveNode`, `suspectNode` and `deadNode` in memberlist's state.go. Ours: a claim that changes nothing else
//! still raises the incarnation, so that an older message cannot undo it.

use super::members::Row;
use crate::wire::swim::State;

/// What a message claims about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The member claims to be alive at its known address. `unchanged`: at most the incarnation differs. `direct`: the
    /// message came from that address.
    Alive { unchanged: bool, direct: bool },
    /// Another member suspects it.
    Suspect,
    /// Another member declares it dead, or it declares itself left.
    Dead,
}

/// The subject of the claim, relative to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Another,
    Me,
    /// This node, after its own leave.
    MeLeaving,
}

/// The action to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Ignore,
    /// Mark it alive.
    Adopt,
    /// Start a suspicion.
    Suspect,
    /// Count another accuser.
    Confirm,
    /// Mark it dead or left.
    DeclareDead,
    /// Only raise the incarnation.
    Raise,
    /// Refute it: a false claim about this node.
    Refute,
}

/// Decides on a claim at `incarnation`.
pub(super) fn judge(row: Row, claim: Claim, incarnation: u32, about: About) -> Verdict {
    let Some(state) = row.state else {
        // Incarnation 0 is never announced; accusations of unknown nodes are meaningless.
        let is_new = matches!(claim, Claim::Alive { .. }) && incarnation > 0;
        return if is_new { Verdict::Adopt } else { Verdict::Ignore };
    };
    match claim {
        Claim::Alive { unchanged, direct } => match about {
            About::MeLeaving => Verdict::Ignore,
            About::Me if incarnation < row.incarnation => Verdict::Ignore,
            About::Me if incarnation == row.incarnation && unchanged => Verdict::Ignore,
            // Higher, or equal with other data: stale state of an earlier run, or another node under our name.
            About::Me => Verdict::Refute,
            About::Another if incarnation > row.incarnation => Verdict::Adopt,
            About::Another if direct && counts_at_the_end(state, row.incarnation, incarnation, unchanged) => {
                Verdict::Adopt
            }
            About::Another => Verdict::Ignore,
        },
        // Equal is enough for an accusation, while alive needs a higher one: that is SWIM's order of precedence.
        _ if incarnation < row.incarnation => Verdict::Ignore,
        Claim::Suspect => match (state, about) {
            (State::Suspect, _) => Verdict::Confirm,
            (State::Dead | State::Left, _) => Verdict::Raise,
            (State::Alive, About::Another) => Verdict::Suspect,
            (State::Alive, _) => Verdict::Refute,
        },
        // A leave of our own is the only dead claim about us that is applied.
        Claim::Dead => match (state, about) {
            (State::Dead | State::Left, _) => Verdict::Raise,
            (_, About::Me) => Verdict::Refute,
            (_, About::Another | About::MeLeaving) => Verdict::DeclareDead,
        },
    }
}

/// Whether a member's own alive message counts at `u32::MAX`, which no incarnation exceeds. New tags are taken; and a
/// member that is not alive returns at any incarnation above 0.
const fn counts_at_the_end(state: State, known: u32, said: u32, unchanged: bool) -> bool {
    let news = match state {
        State::Alive => said == known && !unchanged,
        State::Suspect | State::Dead | State::Left => said > 0,
    };
    known == u32::MAX && news
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(state: Option<State>, incarnation: u32) -> Row {
        Row { state, incarnation, ..Row::UNKNOWN }
    }

    const ALIVE: Claim = Claim::Alive { unchanged: false, direct: false };

    #[test]
    fn at_the_greatest_incarnation_a_live_member_is_news_with_new_tags_only() {
        assert!(counts_at_the_end(State::Alive, u32::MAX, u32::MAX, false));
        assert!(!counts_at_the_end(State::Alive, u32::MAX, u32::MAX, true));
        assert!(!counts_at_the_end(State::Alive, u32::MAX, u32::MAX - 1, false));
        assert!(!counts_at_the_end(State::Alive, u32::MAX - 1, u32::MAX - 1, false));
        assert!(
            counts_at_the_end(State::Left, u32::MAX, 1, true) && !counts_at_the_end(State::Left, u32::MAX, 0, true)
        );
    }

    /// All states against all claims about another member, with a lower, an equal and a higher incarnation.
    #[test]
    fn the_table_for_another_member() {
        use State::{Alive, Dead, Left, Suspect};
        use Verdict::{Adopt, Confirm, DeclareDead, Ignore, Raise};
        for (state, claim, expected) in [
            (None, ALIVE, [Adopt, Adopt, Adopt]),
            (None, Claim::Suspect, [Ignore, Ignore, Ignore]),
            (None, Claim::Dead, [Ignore, Ignore, Ignore]),
            (Some(Alive), ALIVE, [Ignore, Ignore, Adopt]),
            (Some(Alive), Claim::Suspect, [Ignore, Verdict::Suspect, Verdict::Suspect]),
            (Some(Alive), Claim::Dead, [Ignore, DeclareDead, DeclareDead]),
            (Some(Suspect), ALIVE, [Ignore, Ignore, Adopt]),
            (Some(Suspect), Claim::Suspect, [Ignore, Confirm, Confirm]),
            (Some(Suspect), Claim::Dead, [Ignore, DeclareDead, DeclareDead]),
            (Some(Dead), ALIVE, [Ignore, Ignore, Adopt]),
            (Some(Dead), Claim::Suspect, [Ignore, Raise, Raise]),
            (Some(Dead), Claim::Dead, [Ignore, Raise, Raise]),
            (Some(Left), ALIVE, [Ignore, Ignore, Adopt]),
            (Some(Left), Claim::Suspect, [Ignore, Raise, Raise]),
            (Some(Left), Claim::Dead, [Ignore, Raise, Raise]),
        ] {
            let verdicts = [4, 5, 6].map(|incarnation| judge(row(state, 5), claim, incarnation, About::Another));
            assert_eq!(verdicts, expected, "{state:?} against {claim:?}");
        }
    }

    #[test]
    fn we_refute_what_is_said_of_us_unless_it_is_old_or_we_are_leaving() {
        let me = row(Some(State::Alive), 5);
        for claim in [ALIVE, Claim::Suspect, Claim::Dead] {
            assert_eq!(judge(me, claim, 4, About::Me), Verdict::Ignore);
            assert_eq!(judge(me, claim, 5, About::Me), Verdict::Refute);
            assert_eq!(judge(me, claim, 6, About::Me), Verdict::Refute);
        }
        let echo = Claim::Alive { unchanged: true, direct: false };
        assert_eq!(judge(me, echo, 5, About::Me), Verdict::Ignore, "our own words");
        assert_eq!(judge(me, Claim::Dead, 5, About::MeLeaving), Verdict::DeclareDead);
        assert_eq!(judge(row(Some(State::Left), 5), ALIVE, 9, About::MeLeaving), Verdict::Ignore);
    }

    #[test]
    fn an_unknown_member_with_incarnation_zero_is_ignored() {
        assert_eq!(judge(row(None, 0), ALIVE, 0, About::Another), Verdict::Ignore);
    }

    fn any_state() -> impl Strategy<Value = Option<State>> {
        prop::option::of((0_u8..4).prop_map(|n| State::from_u8(n).unwrap()))
    }

    fn any_claim() -> impl Strategy<Value = Claim> {
        prop_oneof![
            any::<bool>().prop_map(|unchanged| Claim::Alive { unchanged, direct: false }),
            Just(Claim::Suspect),
            Just(Claim::Dead)
        ]
    }

    proptest! {
        #[test]
        fn an_older_claim_never_changes_a_member(state in 0_u8..4, claim in any_claim(), known in 1_u32.., older in any::<u32>()) {
            let row = row(State::from_u8(state), known);
            prop_assert_eq!(judge(row, claim, older % known, About::Another), Verdict::Ignore);
        }

        #[test]
        fn the_gone_come_back_only_with_a_newer_incarnation(gone in 2_u8..4, claim in any_claim(), known: u32, said: u32) {
            let verdict = judge(row(State::from_u8(gone), known), claim, said, About::Another);
            if verdict == Verdict::Adopt {
                prop_assert!(said > known);
            }
            prop_assert!(verdict != Verdict::Suspect && verdict != Verdict::Confirm && verdict != Verdict::DeclareDead);
        }

        #[test]
        fn only_what_is_said_of_us_is_refuted(state in any_state(), claim in any_claim(), known: u32, said: u32) {
            prop_assert_ne!(judge(row(state, known), claim, said, About::Another), Verdict::Refute);
        }
    }
}
