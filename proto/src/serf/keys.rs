//! Cluster-wide key management: queries that install, use, remove or list keys on every member, and the responses.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Serf;
use super::message::{decode, encode};
use super::query::{QueryError, QueryPurpose, Question, response_limit};
use crate::conceal::Concealer;
use crate::core::{Core, KeyOutcome, KeyRequest, Requester};
use crate::event::{KeyAnswer, KeyOperation, KeyReport};
use crate::limits::KEYS_LISTED_MAX;
use crate::msgpack::write::raw_bytes;
use crate::stats::DropReason;
use crate::types::{Name, QueryId};
use crate::wire::hashicorp::serf_bytes;
use crate::wire::serf::{self as wire, INTERNAL_PREFIX, KeyResponse, List, Message, QueryResponse};

/// Why a cluster-wide key operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The key is not 16, 24 or 32 bytes long, or a key was given for a list.
    #[error("the key has {bytes} bytes, it must have 16, 24 or 32")]
    Length {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// Another operation that changes keys is running.
    #[error("another key operation is in progress")]
    Busy,
    /// The query was refused.
    #[error(transparent)]
    Query(QueryError),
}

/// The responses to an operation so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeyTally {
    operation: KeyOperation,
    answers: Vec<KeyAnswer>,
}

impl KeyTally {
    /// Records the response of one member.
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
                    .take(KEYS_LISTED_MAX)
                    .map(Box::from)
                    .collect(),
                primary: (!response.primary_key.is_empty()).then(|| response.primary_key.into()),
                cut_from: cut_from(response.message, response.keys.len()),
            },
            _ => KeyAnswer {
                from,
                done: false,
                message: "malformed answer".into(),
                keys: Vec::new(),
                primary: None,
                cut_from: None,
            },
        });
    }

    /// Replaces the listed keys.
    pub(super) fn conceal(&mut self, concealer: &mut Concealer<'_>) {
        for answer in &mut self.answers {
            for key in answer.keys.iter_mut().chain(&mut answer.primary) {
                let mut text = Vec::from(key.as_bytes());
                concealer.key_text(&mut text);
                *key = alloc::string::String::from_utf8_lossy(&text).into();
            }
        }
    }

    pub(super) fn report(self, id: QueryId, silent: Vec<Name>) -> KeyReport {
        KeyReport { id, operation: self.operation, answers: self.answers, silent }
    }
}

impl Serf {
    /// Starts a key operation on every member (`handleKeyRequest` in serf's keymanager.go).
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
        let changes = |purpose: &QueryPurpose| matches!(purpose, QueryPurpose::Keys(tally) if tally.operation != KeyOperation::List);
        // Changes run one at a time: two at once could leave members with different primary keys.
        if operation != KeyOperation::List && self.queries.purposes().any(changes) {
            return Err(KeysError::Busy);
        }
        let name = format!("{INTERNAL_PREFIX}{operation}");
        let payload = encode(core.codec_for_all(), &Message::KeyRequest(wire::KeyRequest { key }));
        let question = Question::new(&name).with_payload(&*payload).relayed(relay_factor);
        let tally = KeyTally { operation, answers: Vec::new() };
        self.ask(core, &question, QueryPurpose::Keys(tally)).map_err(KeysError::Query)
    }

    /// Passes a key request to the node, which owns the keyring. Keys are changed for members only, and listed to
    /// members only. A node that has just started knows no members, and its clock cannot distinguish a replayed packet
    /// from a new one.
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
            // A list has no payload to decode.
            _ if is_list => Box::default(),
            Ok(Message::KeyRequest(request)) if !request.key.is_empty() => request.key.into(),
            // Refused. HashiCorp's nodes crash on an empty key.
            Ok(_) | Err(_) => {
                core.stats.drop(DropReason::Malformed);
                return self.answer_key(core, &requester, &KeyOutcome::default());
            }
        };
        core.key_requests.push(KeyRequest { requester, operation, key });
    }

    /// Sends the outcome of a request to the requesting member.
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
            // The payload is not encoded yet, only its length is known: measure the message with an empty payload, and
            // replace its length.
            serf_bytes(&Message::QueryResponse(head)) - raw_bytes(0) + raw_bytes(payload) <= limit
        };
        let (count, message) = shorten(keys.len(), &outcome.message, limit, fits);
        let response = KeyResponse { message: &message, keys: List::new(&keys[..count]), ..plain };
        let payload = encode(core.codec_for_all(), &Message::KeyResponse(response));
        self.answer(core, requester, &payload);
    }
}

/// How many keys fit into a response, and the message to send with them (`keyListResponseWithCorrectSize` in serf's
/// internal_query.go).
fn shorten(total: usize, message: &str, limit: usize, fits: impl Fn(usize, &str) -> bool) -> (usize, Box<str>) {
    if fits(total, message) {
        return (total, message.into());
    }
    // The longest list that can fit; each step down measures the whole response, as the message's length varies too.
    let most = total.min(limit / KEY_BYTES_LEAST);
    let cut = |count| format!("{CUT}, showing first {count} of {total} keys").into_boxed_str();
    (0..=most)
        .rev()
        .map(|count| (count, cut(count)))
        .find(|(count, text)| fits(*count, text))
        .unwrap_or_else(|| (0, cut(0)))
}

/// The total number of keys of a member whose list was truncated, parsed from its message.
fn cut_from(message: &str, listed: usize) -> Option<u32> {
    let rest = message.strip_prefix(CUT)?;
    let total = rest.rsplit_once(" of ").and_then(|(_, total)| total.strip_suffix(" keys")?.parse().ok());
    // A number that cannot be parsed: at least one more than were sent.
    Some(total.unwrap_or_else(|| u32::try_from(listed).unwrap_or(u32::MAX).saturating_add(1)))
}

/// Prefix of the message of a truncated list.
const CUT: &str = "truncated key list response";

/// The length of the longest key in base64.
const KEY_TEXT_BYTES_MAX: usize = 44;

/// The length of the shortest key in base64, with its length prefix (`minEncodedKeyLength` in serf's
/// internal_query.go).
const KEY_BYTES_LEAST: usize = 25;
