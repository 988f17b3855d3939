//! Secrets in recorded bytes: finds keys and payloads in messages, so that a capture can replace them in place.
//!
//! A replacement has the length of what it replaces, so that every message keeps its size and its form.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::envelope;
use crate::types::Key;
use crate::wire::hashicorp::{self, PUSH_PULL, SERF_USER_EVENT, USER};
use crate::wire::native::{self, NATIVE, STREAM_HEADER_BYTES};
use crate::wire::serf::{INTERNAL_PREFIX, KeyResponse, Message as SerfMessage};
use crate::wire::swim::Message;
use crate::wire::{Codec, PushPull};

/// Overwrites a secret.
type Overwrite<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Replaces secrets in place.
pub struct Concealer<'a> {
    key: Overwrite<'a>,
    payload: Option<Overwrite<'a>>,
    concealed: Concealed,
}

/// What was replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Concealed {
    /// A key was.
    pub keys: bool,
    /// A payload of a user event, a query or an answer was.
    pub payloads: bool,
}

impl<'a> Concealer<'a> {
    /// Replaces keys: `key` overwrites the 16, 24 or 32 bytes of one. Equal keys must get equal replacements.
    pub fn keys(key: &'a mut dyn FnMut(&mut [u8])) -> Self {
        Self { key, payload: None, concealed: Concealed::default() }
    }

    /// Also replaces payloads of user events, queries and their answers.
    #[must_use]
    pub fn and_payloads(self, payload: &'a mut dyn FnMut(&mut [u8])) -> Self {
        Self { payload: Some(payload), ..self }
    }

    /// What was replaced so far.
    pub const fn concealed(&self) -> Concealed {
        self.concealed
    }

    /// Replaces a key of the node's own keyring, which is in no message.
    pub(crate) fn own_key(&mut self, key: &mut [u8]) {
        (self.key)(key);
    }

    /// Replaces the bytes of a key. Bytes of another length are no key; they are blanked.
    pub(crate) fn key(&mut self, key: &mut [u8]) {
        self.concealed.keys = true;
        if Key::new(key).is_ok() { (self.key)(key) } else { key.fill(BLANK) }
    }

    /// Replaces the text of a key, in base64. Any other text is blanked.
    pub(crate) fn key_text(&mut self, text: &mut [u8]) {
        let key = core::str::from_utf8(text).ok().and_then(|text| Key::from_base64(text).ok());
        let replaced = key.and_then(|key| {
            let mut bytes = Vec::from(key.as_bytes());
            self.key(&mut bytes);
            Key::new(&bytes).ok().map(|key| key.to_base64())
        });
        self.concealed.keys = true;
        match replaced.filter(|replaced| replaced.len() == text.len()) {
            Some(replaced) => text.copy_from_slice(replaced.as_bytes()),
            None => text.fill(BLANK_LETTER),
        }
    }

    /// Replaces a payload, if payloads are replaced.
    pub(crate) fn payload(&mut self, payload: &mut [u8]) {
        if let Some(replace) = &mut self.payload
            && !payload.is_empty()
        {
            replace(payload);
            self.concealed.payloads = true;
        }
    }

    /// Replaces the secrets in an opened packet: a frame, or a compound of frames.
    pub(crate) fn packet(&mut self, packet: &mut [u8]) {
        let mut found = Vec::new();
        // The end of what a node reads.
        let mut end = packet.len().min(1);
        if let Ok(parts) = envelope::split(packet) {
            let is_compound = parts.is_compound();
            for frame in parts {
                end = end.max(span(packet, frame).end);
                if is_compound && envelope::is_compound(frame) {
                    // Refused on arrival, and not searched: whatever it contains is removed.
                    found.push((span(packet, &frame[1..]), What::Anything));
                } else if is_user(frame)
                    && let Ok(Message::User(body)) = Codec::decode(frame)
                {
                    self.find_in_serf(packet, body, &mut found);
                }
            }
        }
        found.push((end..packet.len(), What::Anything));
        self.replace(packet, found);
    }

    /// Replaces the secrets in a message of a stream.
    pub(crate) fn stream_message(&mut self, message: &mut [u8]) {
        let mut found = Vec::new();
        let Some(&kind) = message.first() else { return };
        let codec = Codec::of(kind);
        let body = match codec {
            Codec::Native => message.get(STREAM_HEADER_BYTES..),
            Codec::HashiCorp => message.get(1..),
        };
        let body = body.unwrap_or_default();
        if kind & !NATIVE == USER {
            let user = match codec {
                Codec::Native => Some(body),
                Codec::HashiCorp => hashicorp::decode_user(body).ok(),
            };
            if let Some(user) = user {
                self.find_in_serf(message, user, &mut found);
            }
        } else if kind & !NATIVE == PUSH_PULL && self.payload.is_some() {
            find_events(message, codec, body, &mut found);
        } else if kind == native::STREAM_ANSWER {
            let payload = native::decode_answer(body).unwrap_or(body);
            found.push((span(message, payload), What::Payload));
        }
        self.replace(message, found);
    }

    /// Replaces the secrets in an encoded message of the Serf layer.
    pub(crate) fn serf_message(&mut self, message: &mut [u8]) {
        let mut found = Vec::new();
        self.find_in_serf(message, message, &mut found);
        self.replace(message, found);
    }

    fn find_in_serf(&self, whole: &[u8], message: &[u8], found: &mut Vec<(Range<usize>, What)>) {
        // The messages up to this kind, intents and user events, have no key.
        let is_event_or_intent = message.first().is_some_and(|kind| kind & !NATIVE <= SERF_USER_EVENT);
        if is_event_or_intent && self.payload.is_none() {
            return;
        }
        let mut find = |part: &[u8], what| found.push((span(whole, part), what));
        match Codec::decode_serf(message) {
            Ok(SerfMessage::Query(query)) if query.name.starts_with(INTERNAL_PREFIX) => {
                match Codec::decode_serf(query.payload) {
                    Ok(SerfMessage::KeyRequest(request)) => find(request.key, What::Key),
                    _ if query.name.ends_with("-key") => find(query.payload, What::Anything),
                    // It has no key, but the answer to it has all.
                    _ if query.name.ends_with("list-keys") => find(&[], What::Key),
                    // The name of a conflict, or nothing.
                    _ => {}
                }
            }
            Ok(SerfMessage::Query(query)) => find(query.payload, What::Payload),
            Ok(SerfMessage::UserEvent(event)) => find(event.payload, What::Payload),
            Ok(SerfMessage::QueryResponse(response)) => match Codec::decode_serf(response.payload) {
                Ok(SerfMessage::KeyResponse(KeyResponse { keys, primary_key, .. })) => {
                    keys.iter().for_each(|key| find(key.as_bytes(), What::KeyText));
                    find(primary_key.as_bytes(), What::KeyText);
                }
                Ok(SerfMessage::ConflictResponse(_)) => {}
                _ => find(response.payload, What::Payload),
            },
            // One level: nodes forward responses only.
            Ok(SerfMessage::Relay(relay)) if !matches!(Codec::decode_serf(relay.inner), Ok(SerfMessage::Relay(_))) => {
                self.find_in_serf(whole, relay.inner, found);
            }
            Ok(SerfMessage::KeyRequest(request)) => find(request.key, What::Key),
            Ok(SerfMessage::KeyResponse(_) | SerfMessage::Relay(_)) => find(&message[1..], What::Anything),
            Ok(SerfMessage::Join(_) | SerfMessage::Leave(_) | SerfMessage::ConflictResponse(_)) => {}
            // Dropped on arrival; a damaged copy of a key request may still contain the key.
            Err(_) => find(message.get(1..).unwrap_or_default(), What::Anything),
        }
    }

    fn replace(&mut self, whole: &mut [u8], found: Vec<(Range<usize>, What)>) {
        for (range, what) in found {
            let Some(part) = whole.get_mut(range) else { continue };
            match what {
                What::Key => self.key(part),
                _ if part.is_empty() => {}
                What::KeyText => self.key_text(part),
                What::Payload => self.payload(part),
                What::Anything => {
                    part.fill(BLANK);
                    self.concealed.keys = true;
                }
            }
        }
    }
}

impl fmt::Debug for Concealer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Concealer").field("payloads", &self.payload.is_some()).finish_non_exhaustive()
    }
}

/// A kind of secret in a message.
#[derive(Clone, Copy)]
enum What {
    Key,
    /// A key in base64.
    KeyText,
    Payload,
    /// Bytes that no node interprets, but that may contain a key.
    Anything,
}

/// Whether a frame of a packet may contain a secret. Most frames are decided by their first byte.
fn is_user(frame: &[u8]) -> bool {
    frame.first().is_some_and(|kind| kind & !NATIVE == USER)
}

fn find_events(whole: &[u8], codec: Codec, body: &[u8], found: &mut Vec<(Range<usize>, What)>) {
    let mut find = |payload: &[u8]| found.push((span(whole, payload), What::Payload));
    // What cannot be parsed may contain payloads anywhere.
    let Ok(remote) = PushPull::parse(codec, body) else { return find(body) };
    match codec {
        Codec::Native => match native::SerfState::parse(remote.user()) {
            Ok(state) => state.events().for_each(|event| find(event.payload)),
            Err(_) => find(remote.user()),
        },
        Codec::HashiCorp => match hashicorp::SerfState::parse(remote.user()) {
            Ok(state) => state.events().for_each(|event| find(event.payload)),
            Err(_) => find(remote.user()),
        },
    }
}

/// The position of `part`, which is borrowed from `whole`.
fn span(whole: &[u8], part: &[u8]) -> Range<usize> {
    // An empty slice may point anywhere.
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    debug_assert!(start + part.len() <= whole.len(), "decoders borrow");
    start..start.saturating_add(part.len())
}

/// Replaces bytes that are not replaced by an equal number of meaningful ones. Neither codec begins a message or a number
/// with it, so that what was malformed stays malformed.
const BLANK: u8 = 0xff;

/// Replaces the letters of a text.
const BLANK_LETTER: u8 = b'x';
