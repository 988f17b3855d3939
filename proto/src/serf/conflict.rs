//! Whose is our name, when another node claims it too? The others are asked, and the majority decides.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Serf;
use super::message::{decode, encode};
use super::query::{Purpose, Question};
use crate::core::{Body, Core, Origin, Requester, Unicast};
use crate::event::{Event, NameVerdict, NameVote, Status};
use crate::roster::{MemberIdx, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::serf::{List, MemberRecord, Message};

/// What has been done about a conflict over our name.
#[derive(Clone, Debug, Default)]
pub(super) struct Conflict {
    /// Whether a vote is under way. There is one at a time, however often the other claims the name.
    voting: bool,
    /// Whether a vote has gone against us; then there is nothing more to ask.
    lost: bool,
    /// How many votes there were.
    votes: u32,
    /// No vote before this.
    quiet_until: Instant,
    /// The members alive when the conflict began, one per address. A member that appears later may have joined to vote.
    electorate: Vec<MemberIdx>,
    /// When the name was last claimed.
    claimed_at: Instant,
}

impl Conflict {
    /// A member is forgotten, and another may get its number.
    pub(super) fn forget(&mut self, idx: MemberIdx) {
        self.electorate.retain(|&voter| voter != idx);
    }
}

/// A vote, and the answers so far.
#[derive(Clone, Debug)]
pub(super) struct Vote {
    us: SocketAddr,
    /// Who may vote, by number, each once.
    voters: Vec<MemberIdx>,
    for_us: u32,
    against: u32,
}

impl Vote {
    /// Whether an answer of this member, that came in this way, is a vote: the member's own word, from its own address. What others
    /// relay is not.
    pub(super) fn admits(&self, core: &Core, origin: Origin, from: Option<MemberIdx>) -> bool {
        let Origin::Packet(addr) = origin else { return false };
        let voter = from.filter(|idx| self.voters.binary_search(idx).is_ok());
        voter.and_then(|idx| core.roster.peer(idx)).is_some_and(|peer| peer.addr() == canonical(addr))
    }

    /// Takes one vote. A member that does not know the name has none; HashiCorp's counts it against us.
    pub(super) fn note(&mut self, core: &Core, payload: &[u8]) {
        let Ok(Message::ConflictResponse(Some(record))) = decode(core, payload) else { return };
        let Some(addr) = record.addr else { return };
        if canonical(addr) == self.us {
            self.for_us += 1;
        } else {
            self.against += 1;
        }
    }

    /// The name is lost only to a majority of all who may vote, whether they have voted or not. HashiCorp's: a node without a majority
    /// of the answers stops, so that two claimants that no member knows both do, and a few strangers can stop any node.
    fn verdict(&self) -> NameVerdict {
        if self.against as usize > self.voters.len() / 2 {
            NameVerdict::Lost
        } else if self.for_us > self.against {
            NameVerdict::Kept
        } else {
            NameVerdict::Undecided
        }
    }
}

impl Serf {
    /// Another node claims our name (`resolveNodeConflict` in serf).
    pub(crate) fn name_conflict(&mut self, core: &mut Core) {
        if self.conflict.electorate.is_empty() || core.now - self.conflict.claimed_at > CONFLICT_FORGOTTEN {
            self.conflict.electorate = self.electorate(core);
        }
        self.conflict.claimed_at = core.now;
        let Conflict { voting, lost, quiet_until, .. } = self.conflict;
        if !core.cfg.serf().name_conflict_resolution
            || self.intents.is_leaving()
            || voting
            || lost
            || core.now < quiet_until
        {
            return;
        }
        let Some(us) = core.roster.peer(self.members.me()).map(|me| me.addr()) else { return };
        let mut voters = self.conflict.electorate.clone();
        core.rng.query.shuffle(&mut voters);
        voters.truncate(VOTERS_MAX);
        voters.sort_unstable();
        let name = core.roster.name(self.members.me());
        let question = Question::new("_serf_conflict").with_payload(name.as_bytes());
        let vote = Vote { us, voters: voters.clone(), for_us: 0, against: 0 };
        let Ok((_, frame)) = self.ask_in_frame(core, &question, Purpose::Conflict(vote)) else { return };
        self.conflict.voting = true;
        // Gossip brings the question round, but a member answers a node that it knows at another address only when that node
        // itself asks.
        for voter in voters {
            let Some(to) = core.roster.peer(voter).map(|peer| peer.addr()) else { continue };
            let Ok(question) = decode(core, &frame) else { continue };
            let body = Body::User(encode(core.codec(Some(voter), None), &question));
            core.unicasts.push(Unicast { to, peer: Some(voter), answers: None, body });
        }
    }

    /// The members that are alive, one for each address, by number.
    fn electorate(&self, core: &Core) -> Vec<MemberIdx> {
        let mut seen = BTreeSet::new();
        let alive = self.members.rows().filter(|(_, row)| row.status() == Some(Status::Alive));
        alive
            .map(|(idx, _)| idx)
            .filter(|&idx| {
                idx != self.members.me() && core.roster.peer(idx).is_some_and(|peer| seen.insert(peer.addr()))
            })
            .collect()
    }

    /// Answers which node we know under a name (`handleConflict` in serf). About our own name we have no say.
    pub(super) fn say_who(&mut self, core: &mut Core, origin: Origin, requester: &Requester, name: &[u8]) {
        let Ok(name) = core::str::from_utf8(name) else { return core.stats.drop(DropReason::Malformed) };
        let known = core.roster.find(name);
        if known == Some(self.members.me()) {
            return;
        }
        let is_member = self.is_member(core, requester.addr, &requester.node);
        let payload = match known.and_then(|idx| self.member(core, idx)) {
            None => encode(core.codec_for_all(), &Message::ConflictResponse(None)),
            Some(member) => {
                let tags = member.to_tags();
                // Of use to people only, and too much for a stranger.
                let tags: Vec<(&str, &str)> = tags.iter().filter(|_| is_member).collect();
                encode(
                    core.codec_for_all(),
                    &Message::ConflictResponse(Some(MemberRecord {
                        name: member.name(),
                        addr: Some(member.peer().announced_addr()),
                        tags: List::new(&tags),
                        status: member.status() as u8,
                        versions: member.peer().versions(),
                    })),
                )
            }
        };
        if is_member {
            self.answer(core, requester, &payload);
        } else {
            // Another node under a member's name is no member, and has to learn that the name is taken.
            self.answer_stranger(core, origin, requester, &payload);
        }
    }

    /// All have answered, or the time is up.
    pub(super) fn vote_over(&mut self, core: &mut Core, vote: &Vote) {
        let verdict = vote.verdict();
        let conflict = &mut self.conflict;
        conflict.voting = false;
        conflict.lost = verdict == NameVerdict::Lost;
        let pause = PAUSE_FIRST.saturating_mul(1 << conflict.votes.min(PAUSE_DOUBLINGS_MAX));
        conflict.votes += 1;
        conflict.quiet_until = core.now + pause;
        let Vote { for_us, against, .. } = *vote;
        tracing::warn!(for_us, against, voters = vote.voters.len(), ?verdict, "the others have voted on our name");
        core.events.push(Event::NameVote(NameVote { for_us, against, verdict }));
    }
}

/// How many members vote, at the most; of more they are drawn. Ours: each is asked in a packet of its own.
const VOTERS_MAX: usize = 64;

/// After so long without a claim the next one is a conflict of its own.
const CONFLICT_FORGOTTEN: Duration = Duration::from_secs(3600);

/// How long after the first vote the next may begin, if the conflict goes on; doubled each time. Ours: serf votes anew at every
/// packet from the other claimant.
const PAUSE_FIRST: Duration = Duration::from_secs(10);

/// The pause grows to about ten minutes.
const PAUSE_DOUBLINGS_MAX: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_majority_of_all_who_may_vote_takes_the_name_from_us() {
        let us = "10.0.0.1:7946".parse().unwrap();
        let verdict = |voters: u32, for_us, against| {
            Vote { us, voters: (1..=voters).map(MemberIdx).collect(), for_us, against }.verdict()
        };
        assert_eq!(verdict(0, 0, 0), NameVerdict::Undecided, "nobody else is there");
        assert_eq!(verdict(2, 1, 1), NameVerdict::Undecided);
        assert_eq!(verdict(1, 1, 0), NameVerdict::Kept);
        assert_eq!(verdict(5, 2, 1), NameVerdict::Kept);
        assert_eq!(verdict(3, 1, 2), NameVerdict::Lost);
        assert_eq!(verdict(1, 0, 1), NameVerdict::Lost);
        assert_eq!(verdict(4, 0, 2), NameVerdict::Undecided, "two of four have not voted");
        assert_eq!(verdict(4, 0, 3), NameVerdict::Lost);
    }
}
