//! Messages that the attacker composed, and its streams before their acceptance.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use bytes::Bytes;

/// One message of the attacker.
#[derive(Clone, Debug)]
pub(crate) enum AttackMessage {
    /// A datagram that claims to come from `from`.
    Datagram { from: SocketAddr, to: u32, bytes: Bytes },
    /// A stream with `bytes` on it. Its source is genuine, because of TCP's handshake.
    Stream { to: u32, bytes: Bytes, closes: bool },
}

/// Streams before their acceptance, by port.
#[derive(Debug, Default)]
pub(super) struct Dials(pub(super) BTreeMap<u32, Dial>);

#[derive(Debug)]
pub(super) struct Dial {
    pub(super) to: u32,
    pub(super) bytes: Bytes,
    pub(super) closes: bool,
}
