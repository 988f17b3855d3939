//! Keys of the whole cluster: asking every member to install, use, remove or list them, and answering such requests.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use thiserror::Error;

use super::Serf;
use super::message::{decode, encode};
use super::query::{Purpose, QueryError, Question, response_limit};
use crate::core::{Core, KeyOutcome, KeyRequest, Requester};
use crate::event::{KeyAnswer, KeyOperation, KeyReport};
use crate::limits::KEYS_TOLD_MAX;
use crate::msgpack::write::raw_bytes;
use crate::stats::DropReason;
use crate::types::{Name, QueryId};
use crate::wire::hashicorp::serf_bytes;
use crate::wire::serf::{self as wire, KeyResponse, List, Message, QueryResponse};

/// Why an operation on the keys of every member was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A key has 16, 24 or 32 bytes, and this one has not; or keys are to be listed and one is given.
    #[error("a key has 16, 24 or 32 bytes, not {bytes}")]
    Length {
        /// How many it has.
        bytes: usize,
    },
    /// Another operation that changes keys is under way.
    #[error("keys are being changed already")]
    Busy,
    /// The query could not be asked.
    #[error(transparent)]
    Query(QueryError),
}

/// The answers to an operation so far.
#[derive(Clone, Debug)]
pub(super) struct KeyTally {
    operation: KeyOperation,
    answers: Vec<KeyAnswer>,
}

impl KeyTally {
    /// Takes what one member says.
    pub(super) fn note(&mut self, core: &Core, from: Name, payload: &[u8]) {
        self.answers.push(match decode(core, payload) {
            Ok(Message::KeyResponse(response)) => KeyAnswer {
                from,
                done: response.result,
                message: response.message.into(),
                keys: response
                    .keys
                    .iter()
                    .filter(|key| key.len() <= KEY_TEXT_BYTES_MAX)
                    .take(KEYS_TOLD_MAX)
                    .map(Box::from)
                    .collect(),
                primary: (!response.primary_key.is_empty()).then(|| response.primary_key.into()),
                cut_from: cut_from(response.message, response.keys.len()),
            },
            _ => KeyAnswer {
                from,
                done: false,
                message: "the answer cannot be read".into(),
                keys: Vec::new(),
                primary: None,
                cut_from: None,
            },
        });
    }

    pub(super) fn report(self, id: QueryId, silent: Vec<Name>) -> KeyReport {
        KeyReport { id, operation: self.operation, answers: self.answers, silent }
    }
}

impl Serf {
    /// Asks every member to do something with a key (`handleKeyRequest` of serf's key manager).
    pub(crate) fn ask_keys(
        &mut self,
        core: &mut Core,
        operation: KeyOperation,
        key: &[u8],
        relay_factor: u8,
    ) -> Result<QueryId, KeysError> {
        let fits = if operation == KeyOperation::List { key.is_empty() } else { matches!(key.len(), 16 | 24 | 32) };
        if !fits {
            return Err(KeysError::Length { bytes: key.len() });
        }
        let changes =
            |purpose: &Purpose| matches!(purpose, Purpose::Keys(tally) if tally.operation != KeyOperation::List);
        if operation != KeyOperation::List && self.queries.purposes().any(changes) {
            return Err(KeysError::Busy);
        }
        let name = format!("_serf_{operation}");
        let payload = encode(core.codec_for_all(), &Message::KeyRequest(wire::KeyRequest { key }));
        let question = Question::new(&name).with_payload(&*payload).relayed(relay_factor);
        let tally = KeyTally { operation, answers: Vec::new() };
        self.ask(core, &question, Purpose::Keys(tally)).map_err(KeysError::Query)
    }

    /// Passes a request about our keys on to the node, which has the keyring. Only a member may change them, and only a member is sent
    /// the list: a node that has just started knows no member, and its clock does not tell a replayed packet from a new one.
    pub(super) fn request_key(
        &mut self,
        core: &mut Core,
        requester: Requester,
        operation: KeyOperation,
        payload: &[u8],
    ) {
        let is_list = operation == KeyOperation::List;
        // A list changes nothing, and `answer` sends it to members only.
        if !is_list && !self.is_member(core, requester.addr, &requester.node) {
            return core.stats.drop(DropReason::Unexpected);
        }
        let key = match decode(core, payload) {
            // The payload of a list means nothing.
            _ if is_list => Box::default(),
            Ok(Message::KeyRequest(request)) if !request.key.is_empty() => request.key.into(),
            // Refused. serf's nodes crash on an empty key.
            Ok(_) | Err(_) => {
                core.stats.drop(DropReason::Malformed);
                return self.answer_key(core, &requester, &KeyOutcome::default());
            }
        };
        core.key_requests.push(KeyRequest { requester, operation, key });
    }

    /// Answers a member's request with its outcome.
    pub(crate) fn answer_key(&mut self, core: &mut Core, requester: &Requester, outcome: &KeyOutcome) {
        let me = core.roster.name(self.members.me());
        let limit = response_limit(core);
        let keys: Vec<&str> = outcome.keys.iter().map(|key| &**key).collect();
        let primary_key = keys.first().copied().unwrap_or_default();
        let plain = KeyResponse { result: outcome.done, message: "", keys: List::EMPTY, primary_key };
        let fits = |count: usize, message: &str| {
            let response = KeyResponse { message, keys: List::new(&keys[..count]), ..plain };
            let payload = serf_bytes(&Message::KeyResponse(response));
            let head =
                QueryResponse { ltime: requester.id.ltime, id: requester.id.id, from: &me, flags: 0, payload: &[] };
            serf_bytes(&Message::QueryResponse(head)) - raw_bytes(0) + raw_bytes(payload) <= limit
        };
        let (count, message) = shorten(keys.len(), &outcome.message, limit, fits);
        let response = KeyResponse { message: &message, keys: List::new(&keys[..count]), ..plain };
        let payload = encode(core.codec_for_all(), &Message::KeyResponse(response));
        self.answer(core, requester, &payload);
    }
}

/// How many of the keys can be told, and with what message (`keyListResponseWithCorrectSize` in serf).
fn shorten(total: usize, message: &str, limit: usize, fits: impl Fn(usize, &str) -> bool) -> (usize, Box<str>) {
    if fits(total, message) {
        return (total, message.into());
    }
    let most = total.min(limit / KEY_BYTES_LEAST);
    let cut = |count| format!("{CUT}, showing first {count} of {total} keys").into_boxed_str();
    (0..=most)
        .rev()
        .map(|count| (count, cut(count)))
        .find(|(count, text)| fits(*count, text))
        .unwrap_or_else(|| (0, cut(0)))
}

/// How many keys a member has that could not tell them all; its message says so.
fn cut_from(message: &str, told: usize) -> Option<u32> {
    let rest = message.strip_prefix(CUT)?;
    let total = rest.rsplit_once(" of ").and_then(|(_, total)| total.strip_suffix(" keys")?.parse().ok());
    Some(total.unwrap_or_else(|| u32::try_from(told).unwrap_or(u32::MAX).saturating_add(1)))
}

/// How a message begins that says that there are more keys.
const CUT: &str = "truncated key list response";

/// The longest key in base64.
const KEY_TEXT_BYTES_MAX: usize = 44;

/// The shortest key in base64 with its length (`minEncodedKeyLength` in serf).
const KEY_BYTES_LEAST: usize = 25;
