//! What the attacker composes, and its streams that are not accepted yet.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use bytes::Bytes;

/// Something that the attacker sends.
#[derive(Clone, Debug)]
pub(crate) enum Shot {
    /// A datagram that claims to come from `from`.
    Datagram { from: SocketAddr, to: u32, bytes: Bytes },
    /// A stream with `bytes` on it. TCP's handshake does not let it lie about its source.
    Stream { to: u32, bytes: Bytes, closes: bool },
}

/// Streams that are not accepted yet, by their port.
#[derive(Debug, Default)]
pub(super) struct Dials(pub(super) BTreeMap<u32, Dial>);

#[derive(Debug)]
pub(super) struct Dial {
    pub(super) to: u32,
    pub(super) bytes: Bytes,
    pub(super) closes: bool,
}
