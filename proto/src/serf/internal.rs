//! Queries that members ask of each other and that the application never sees.

use alloc::vec::Vec;

use super::Serf;
use super::query::{decode, encode};
use crate::core::{Core, KeyOutcome, KeyRequest, Origin, Requester};
use crate::event::KeyOperation;
use crate::stats::DropReason;
use crate::wire::serf::{List, MemberRecord, Message};

impl Serf {
    /// Takes a query by the rest of its name.
    pub(super) fn internal_query(
        &mut self,
        core: &mut Core,
        origin: Origin,
        requester: Requester,
        name: &str,
        payload: &[u8],
    ) {
        match name {
            // The acknowledgement is the answer.
            "ping" => {}
            "conflict" => self.say_who(core, origin, &requester, payload),
            "install-key" => self.request_key(core, requester, KeyOperation::Install, payload),
            "use-key" => self.request_key(core, requester, KeyOperation::Use, payload),
            "remove-key" => self.request_key(core, requester, KeyOperation::Remove, payload),
            "list-keys" => {
                core.key_requests.push(KeyRequest { requester, operation: KeyOperation::List, key: [].into() })
            }
            _ => core.stats.drop(DropReason::Unexpected),
        }
    }

    /// Tells whom we know under a name (`handleConflict` in serf). Of our own name we are not to judge.
    fn say_who(&mut self, core: &mut Core, origin: Origin, requester: &Requester, name: &[u8]) {
        let Ok(name) = core::str::from_utf8(name) else { return core.stats.drop(DropReason::Malformed) };
        let known = core.roster.find(name);
        if known == Some(self.me) {
            return;
        }
        let is_member = self.is_member(core, requester.addr, &requester.node);
        let payload = match known.and_then(|idx| self.member(core, idx)) {
            None => encode(core.codec_for_all(), &Message::ConflictResponse(None)),
            Some(member) => {
                let tags = member.tags();
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

    /// Has something done with a key, for a member. A request that cannot be read is refused; serf's nodes crash on an empty one.
    ///
    /// A node that has just started knows no member, and its clock does not tell an old packet that is sent again from a new one.
    fn request_key(&mut self, core: &mut Core, requester: Requester, operation: KeyOperation, payload: &[u8]) {
        if !self.is_member(core, requester.addr, &requester.node) {
            return core.stats.drop(DropReason::Unexpected);
        }
        match decode(core, payload) {
            Ok(Message::KeyRequest(request)) if !request.key.is_empty() => {
                core.key_requests.push(KeyRequest { requester, operation, key: request.key.into() });
            }
            _ => {
                core.stats.drop(DropReason::Malformed);
                self.answer_key(core, &requester, &KeyOutcome::default());
            }
        }
    }
}
