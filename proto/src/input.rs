//! All inputs of a node as one type, for recording, replay and fuzzing.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::conceal::Concealer;
use crate::event::KeyOperation;
use crate::node::{Coalescing, Node, OldEvents, SocketFailure, Tombstone};
use crate::outbox::Outbox;
use crate::serf::Question;
use crate::stats::DropReason;
use crate::stream::StreamInput;
use crate::time::Instant;
use crate::types::{JoinId, Key, KeyringChange, QueryId, StreamId, Tags};

/// An owned input. Only [`Node::apply`] matches on it within this crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Input {
    /// [`Node::handle_datagram`].
    Datagram {
        /// The sender.
        from: SocketAddr,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// A datagram of which only the opened content is known: what [`Tap`](crate::Tap) reports for
    /// [`Node::handle_datagram`]. It is replayed without the key that opened it.
    Opened {
        /// The sender.
        from: SocketAddr,
        /// Size of the datagram, in bytes.
        wire_bytes: u32,
        /// Whether this node has no key and the datagram may need one. Only the log depends on it.
        looks_encrypted: bool,
        /// One frame or a compound of frames, or why the datagram was dropped.
        opened: Result<Vec<u8>, DropReason>,
    },
    /// [`Node::handle_timeout`].
    Timeout,
    /// [`Node::accept`].
    Accept {
        /// The peer.
        from: SocketAddr,
    },
    /// A stream was opened.
    StreamOpened(StreamId),
    /// Data arrived on a stream.
    StreamData(StreamId, Vec<u8>),
    /// A chunk of a stream of which only the opened message is known: what [`Tap`](crate::Tap) reports for
    /// [`StreamInput::Data`].
    StreamRead {
        /// The stream.
        stream: StreamId,
        /// Size of the chunk, in bytes.
        wire_bytes: u32,
        /// The message that the chunk completed; `Ok(None)` if more bytes are needed or the stream is closed.
        opened: Result<Option<Vec<u8>>, DropReason>,
    },
    /// The peer closed a stream.
    StreamClosed(StreamId),
    /// A stream failed.
    StreamFailed(StreamId),
    /// [`Node::join`].
    Join {
        /// Addresses of the seeds.
        seeds: Vec<SocketAddr>,
        /// Whether old events are delivered.
        old: OldEvents,
    },
    /// [`Node::rejoin`].
    Rejoin {
        /// Whether old events are delivered.
        old: OldEvents,
    },
    /// [`Node::user_event`].
    UserEvent {
        /// The event's name.
        name: String,
        /// Its payload.
        payload: Vec<u8>,
        /// Whether it may be coalesced.
        coalescing: Coalescing,
    },
    /// [`Node::cancel_join`].
    CancelJoin(JoinId),
    /// [`Node::query`].
    Query {
        /// The query's name.
        name: String,
        /// Its payload.
        payload: Vec<u8>,
        /// Names of the members to ask; empty: all.
        nodes: Vec<String>,
        /// Tags, and the expressions that they must match.
        tags: Vec<(String, String)>,
        /// Whether acks are requested.
        acks: bool,
        /// Number of members that relay each response.
        relay_factor: u8,
        /// Timeout; zero: the default.
        timeout: Duration,
    },
    /// [`Node::respond`].
    Respond {
        /// The query.
        to: QueryId,
        /// The response.
        payload: Vec<u8>,
    },
    /// [`Node::change_all_keys`].
    ChangeAllKeys {
        /// The operation.
        operation: KeyOperation,
        /// The key.
        key: Vec<u8>,
        /// Number of members that relay each response.
        relay_factor: u8,
    },
    /// [`Node::set_tags`].
    SetTags(BTreeMap<String, String>),
    /// [`Node::force_leave`].
    ForceLeave {
        /// The member.
        name: String,
        /// What remains of it.
        tombstone: Tombstone,
    },
    /// [`Node::leave`].
    Leave,
    /// [`Node::install_key`], [`Node::use_key`] or [`Node::remove_key`]. A recording with this input contains the key.
    ChangeKey {
        /// The operation. A list changes nothing.
        operation: KeyOperation,
        /// The key.
        key: Vec<u8>,
    },
    /// [`Node::keyring_written`].
    KeyringWritten {
        /// Number of the change.
        change: KeyringChange,
        /// The error text; `None`: success.
        failure: Option<String>,
    },
    /// [`Node::end_query`].
    EndQuery(QueryId),
    /// [`Node::socket_failed`].
    SocketFailed {
        /// The operation.
        failure: SocketFailure,
        /// The operating system's error text.
        words: String,
    },
    /// [`Node::stream_failing`].
    StreamFailing {
        /// The operating system's error text.
        words: String,
    },
    /// [`Node::hold_answers`].
    HoldAnswers {
        /// The query.
        query: QueryId,
        /// Whether its large answers are held.
        is_held: bool,
    },
}

impl Input {
    /// Replaces the secrets in this input.
    pub fn conceal(&mut self, concealer: &mut Concealer<'_>) {
        match self {
            Self::Opened { opened: Ok(packet), .. } => concealer.packet(packet),
            Self::StreamRead { opened: Ok(Some(message)), .. } => concealer.stream_message(message),
            // Also without a key: the answers to a list have keys.
            Self::ChangeKey { key, .. } | Self::ChangeAllKeys { key, .. } => concealer.key(key),
            Self::UserEvent { payload, .. } | Self::Query { payload, .. } | Self::Respond { payload, .. } => {
                concealer.payload(payload);
            }
            // As sent: what they contain is not known before a node opens it, and no tap reports them.
            Self::Datagram { .. } | Self::StreamData(..) => {}
            _ => {}
        }
    }
}

impl Node {
    /// Applies a recorded input. A command that the node rejects has no effect, as when it was recorded.
    pub fn apply(&mut self, now: Instant, input: &Input, out: &mut Outbox) {
        match input {
            Input::Datagram { from, bytes } => self.handle_datagram(now, *from, bytes, out),
            Input::Opened { from, wire_bytes, looks_encrypted, opened } => {
                let opened = opened.as_deref().map_err(|reason| *reason);
                self.handle_opened(now, *from, *wire_bytes as usize, *looks_encrypted, opened, out);
            }
            Input::Timeout => self.handle_timeout(now, out),
            Input::Accept { from } => {
                let _stream = self.accept(now, *from, out);
            }
            Input::StreamOpened(id) => self.handle_stream(now, *id, StreamInput::Opened, out),
            Input::StreamData(id, bytes) => self.handle_stream(now, *id, StreamInput::Data(bytes), out),
            Input::StreamRead { stream, wire_bytes, opened } => {
                let opened = opened.as_ref().map(Option::as_deref).map_err(|reason| *reason);
                self.handle_stream_opened(now, *stream, *wire_bytes as usize, opened, out);
            }
            Input::StreamClosed(id) => self.handle_stream(now, *id, StreamInput::Closed, out),
            Input::StreamFailed(id) => self.handle_stream(now, *id, StreamInput::Failed, out),
            Input::Join { seeds, old } => _ = self.join(now, seeds, *old, out),
            Input::Rejoin { old } => _ = self.rejoin(now, *old, out),
            Input::UserEvent { name, payload, coalescing } => {
                _ = self.user_event(now, name, payload, *coalescing, out);
            }
            Input::CancelJoin(id) => _ = self.cancel_join(now, *id, out),
            Input::Query { name, payload, nodes, tags, acks, relay_factor, timeout } => {
                let question = nodes.iter().fold(Question::new(name).with_payload(payload), Question::with_node);
                let question = tags.iter().fold(question, |question, (tag, expr)| question.with_tag(tag, expr));
                let question = question.relayed(*relay_factor).for_at_most(*timeout);
                _ = self.query(now, &if *acks { question.with_acks() } else { question }, out);
            }
            Input::Respond { to, payload } => _ = self.respond(now, *to, payload, out),
            Input::ChangeAllKeys { operation, key, relay_factor } => {
                _ = self.change_all_keys(now, *operation, key, *relay_factor, out);
            }
            Input::KeyringWritten { change, failure } => {
                self.keyring_written(now, *change, failure.as_deref().map_or(Ok(()), Err), out);
            }
            Input::EndQuery(id) => _ = self.end_query(now, *id, out),
            Input::HoldAnswers { query, is_held } => _ = self.hold_answers(now, *query, *is_held, out),
            Input::ChangeKey { operation, key } => self.change_key(*operation, key),
            Input::SetTags(tags) => _ = self.set_tags(now, &tags.clone().into_iter().collect::<Tags>(), out),
            Input::ForceLeave { name, tombstone } => _ = self.force_leave(now, name, *tombstone, out),
            Input::Leave => _ = self.leave(now, out),
            Input::SocketFailed { failure, words } => self.socket_failed(now, *failure, words),
            Input::StreamFailing { words } => self.stream_failing(words),
        }
    }

    fn change_key(&mut self, operation: KeyOperation, key: &[u8]) {
        let Ok(key) = Key::new(key) else { return };
        _ = match operation {
            KeyOperation::Install => self.install_key(&key),
            KeyOperation::Use => self.use_key(&key),
            KeyOperation::Remove => self.remove_key(&key),
            KeyOperation::List => Ok(()),
        };
    }
}
