//! Name conflicts: when another node claims our name, the other members vote, and the majority decides.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Serf;
use super::message::{decode, encode};
use super::query::{QueryPurpose, Question};
use crate::core::{Body, Core, Origin, Requester, Unicast};
use crate::event::{Event, NameVerdict, NameVote, Status};
use crate::fingerprint::Fingerprint;
use crate::roster::{MemberIdx, canonical};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::serf::{List, MemberRecord, Message};

/// State of a conflict over our name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Conflict {
    /// Whether a vote is running. At most one runs, however often the name is claimed.
    voting: bool,
    /// Whether a vote was lost. That is final.
    lost: bool,
    /// Number of completed votes.
    votes: u32,
    /// No vote starts before this time.
    quiet_until: Instant,
    /// The members alive when the conflict began, one per address. Members that join later may have joined to vote.
    electorate: Vec<MemberIdx>,
    /// When the name was last claimed.
    claimed_at: Instant,
}

impl Conflict {
    /// Removes a reaped member: its index may be reused.
    pub(super) fn forget(&mut self, idx: MemberIdx) {
        self.electorate.retain(|&voter| voter != idx);
    }

    pub(super) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        let Self { voting, lost, votes, quiet_until, electorate, claimed_at } = self;
        to.put((voting, lost, votes, electorate));
        to.deadline(*quiet_until);
        if !electorate.is_empty() {
            to.age_up_to(*claimed_at, CONFLICT_FORGOTTEN);
        }
    }
}

/// A running vote: a query for the holder of our name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Vote {
    us: SocketAddr,
    /// The eligible voters, sorted by index, without duplicates.
    voters: Vec<MemberIdx>,
    for_us: u32,
    against: u32,
}

impl Vote {
    /// Whether a response counts as a vote: it must come from an eligible voter, directly from its own address. A
    /// relayed response does not count, because anyone can forge one.
    pub(super) fn admits(&self, core: &Core, origin: Origin, from: Option<MemberIdx>) -> bool {
        let Origin::Packet(addr) = origin else { return false };
        let voter = from.filter(|idx| self.voters.binary_search(idx).is_ok());
        voter.and_then(|idx| core.roster.peer(idx)).is_some_and(|peer| peer.addr() == canonical(addr))
    }

    /// Counts one vote. A member that does not know the name abstains. HashiCorp's counts it against us.
    pub(super) fn note(&mut self, core: &Core, payload: &[u8]) {
        let Ok(Message::ConflictResponse(Some(record))) = decode(core, payload) else { return };
        let Some(addr) = record.addr else { return };
        if canonical(addr) == self.us {
            self.for_us += 1;
        } else {
            self.against += 1;
        }
    }

    /// Decides the vote. The name is lost only to a majority of all eligible voters, whether they voted or not.
    /// HashiCorp's: a node that lacks a majority of the responses shuts down, so that two claimants that no member
    /// knows both do, and a few strangers can shut down any node.
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
    /// Handles a claim of our name by another node (`resolveNodeConflict` in serf.go).
    pub(crate) fn name_conflict(&mut self, core: &mut Core) {
        // Frozen at the first claim: the claimant cannot add voters afterwards.
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
        // `Vote::admits` searches them by index.
        voters.sort_unstable();
        let name = core.roster.name(self.members.me());
        let question = Question::new("_serf_conflict").with_payload(name.as_bytes());
        let vote = Vote { us, voters: voters.clone(), for_us: 0, against: 0 };
        let Ok((_, frame)) = self.ask_in_frame(core, &question, QueryPurpose::Conflict(vote)) else { return };
        self.conflict.voting = true;
        // Gossip spreads the query, but a member that knows the querying node at another address answers only a query
        // that arrives directly from it.
        for voter in voters {
            let Some(to) = core.roster.peer(voter).map(|peer| peer.addr()) else { continue };
            let Ok(question) = decode(core, &frame) else { continue };
            let body = Body::User(encode(core.codec(Some(voter), None), &question));
            core.unicasts.push(Unicast { to, peer: Some(voter), answers: None, body });
        }
    }

    /// The live members, one per address, in index order.
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

    /// Answers which node we know by a name (`handleConflict` in serf's internal_query.go). We do not vote on our own
    /// name.
    pub(super) fn answer_conflict(&mut self, core: &mut Core, origin: Origin, requester: &Requester, name: &[u8]) {
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
                // Tags are informational only, and would amplify traffic to a stranger.
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
            // A second node with a member's name is not a member, but must learn that the name is taken.
            self.answer_stranger(core, origin, requester, &payload);
        }
    }

    /// Ends the vote, at the deadline of its query.
    pub(super) fn vote_over(&mut self, core: &mut Core, vote: &Vote) {
        let verdict = vote.verdict();
        let conflict = &mut self.conflict;
        conflict.voting = false;
        conflict.lost = verdict == NameVerdict::Lost;
        // Exponential backoff: a claimant that persists must not cause a vote per packet.
        let pause = PAUSE_FIRST.saturating_mul(1 << conflict.votes.min(PAUSE_DOUBLINGS_MAX));
        conflict.votes += 1;
        conflict.quiet_until = core.now + pause;
        let Vote { for_us, against, .. } = *vote;
        tracing::warn!(for_us, against, voters = vote.voters.len(), ?verdict, "a vote on our name has ended");
        core.events.push(Event::NameVote(NameVote { for_us, against, verdict }));
    }
}

/// The maximum number of voters; drawn at random if there are more. Ours: each is sent a packet of its own.
const VOTERS_MAX: usize = 64;

/// The time without a claim after which the next claim starts a new conflict, with a new electorate.
const CONFLICT_FORGOTTEN: Duration = Duration::from_secs(3600);

/// The pause after the first vote of a conflict; doubles with each. Ours: serf votes again at every packet of the other
/// claimant.
const PAUSE_FIRST: Duration = Duration::from_secs(10);

/// Caps the pause at about ten minutes.
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
