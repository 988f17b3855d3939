//! Whose is our name, when another node claims it too? The others are asked, and the majority decides.

use core::net::SocketAddr;
use core::time::Duration;

use super::Serf;
use super::query::{Purpose, Question};
use crate::core::Core;
use crate::event::{Event, NameVerdict, NameVote};
use crate::roster::canonical;
use crate::time::Instant;
use crate::wire::Codec;
use crate::wire::serf::Message;

/// What has been done about a conflict over our name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conflict {
    /// Whether a vote is under way. There is one at a time, however often the other claims the name.
    voting: bool,
    /// Whether a vote has gone against us; then there is nothing more to ask.
    lost: bool,
    /// How many votes there were.
    votes: u32,
    /// No vote before this.
    quiet_until: Instant,
}

/// The answers to a vote so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    us: SocketAddr,
    for_us: u32,
    against: u32,
}

impl Vote {
    /// Takes one answer. Whoever does not know the name has no vote: serf counts it against us.
    pub(super) fn note(&mut self, payload: &[u8]) {
        let Ok(Message::ConflictResponse(Some(record))) = Codec::decode_serf(payload) else { return };
        let Some(addr) = record.addr else { return };
        if canonical(addr) == self.us {
            self.for_us += 1;
        } else {
            self.against += 1;
        }
    }

    /// Only a majority decides, one way or the other. In serf whoever has no majority stops, so that two claimants whom nobody
    /// knows, or of whom as many know the one as the other, both do.
    const fn verdict(self) -> NameVerdict {
        let majority = (self.for_us + self.against) / 2 + 1;
        if self.for_us >= majority {
            NameVerdict::Kept
        } else if self.against >= majority {
            NameVerdict::Lost
        } else {
            NameVerdict::Undecided
        }
    }
}

impl Serf {
    /// Another node claims our name (`resolveNodeConflict` in serf).
    pub(super) fn name_conflict(&mut self, core: &mut Core) {
        let Conflict { voting, lost, quiet_until, .. } = self.conflict;
        if !core.cfg.name_conflict_resolution || self.leaving || voting || lost || core.now < quiet_until {
            return;
        }
        let Some(us) = core.roster.peer(self.me).map(|me| me.addr()) else { return };
        let name = core.roster.name(self.me);
        let question = Question::new("_serf_conflict").with_payload(name.as_bytes());
        let vote = Vote { us, for_us: 0, against: 0 };
        self.conflict.voting = self.ask(core, &question, Purpose::Conflict(vote)).is_ok();
    }

    /// All have answered, or the time is up.
    pub(super) fn vote_over(&mut self, core: &mut Core, vote: Vote) {
        let verdict = vote.verdict();
        let conflict = &mut self.conflict;
        conflict.voting = false;
        conflict.lost = verdict == NameVerdict::Lost;
        let pause = PAUSE_FIRST.saturating_mul(1 << conflict.votes.min(PAUSE_DOUBLINGS_MAX));
        conflict.votes += 1;
        conflict.quiet_until = core.now + pause;
        let Vote { for_us, against, .. } = vote;
        tracing::warn!(for_us, against, ?verdict, "the others have voted on our name");
        core.events.push(Event::NameVote(NameVote { for_us, against, verdict }));
    }
}

/// How long after the first vote the next may begin, if the conflict goes on; doubled each time. Ours: serf votes anew at every
/// packet from the other claimant.
const PAUSE_FIRST: Duration = Duration::from_secs(10);

/// The pause grows to about ten minutes.
const PAUSE_DOUBLINGS_MAX: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_majority_decides() {
        let us = "10.0.0.1:7946".parse().unwrap();
        let verdict = |for_us, against| Vote { us, for_us, against }.verdict();
        assert_eq!(verdict(0, 0), NameVerdict::Undecided, "nobody else is there");
        assert_eq!(verdict(1, 1), NameVerdict::Undecided);
        assert_eq!(verdict(1, 0), NameVerdict::Kept);
        assert_eq!(verdict(2, 1), NameVerdict::Kept);
        assert_eq!(verdict(1, 2), NameVerdict::Lost);
        assert_eq!(verdict(0, 1), NameVerdict::Lost);
    }
}
