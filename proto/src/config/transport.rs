use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::CodecChoice;
use crate::types::Key;
use crate::wire::Versions;

/// Settings of packets and streams: codec, size, label, encryption and compression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TransportOptions {
    /// Codecs that the node writes and reads. Default [`CodecChoice::Auto`].
    pub codec: CodecChoice,
    /// Whether this node takes part in anti-entropy by digests with members that read the native codec. Without it, the
    /// node behaves and announces itself as a native node without digests: it exchanges whole states periodically.
    /// Default true.
    pub digests: bool,
    /// Time limit of an exchange on a stream. It must suffice for the state of the whole cluster over the slowest path.
    /// Above zero; default 10 s.
    pub stream_timeout: Duration,
    /// Size up to which datagrams are filled. Choose what the path carries without fragmentation, because a
    /// fragmented datagram is lost with any of its fragments. From 1200 plus the room for label and encryption to 65
    /// 507; default 1400 bytes.
    pub packet_bytes: u32,
    /// Label of the cluster. Packets and streams with another label, or without one, are dropped. A label separates
    /// clusters that share addresses or take over each other's addresses. Without a label or a key only names separate
    /// them, and only at addresses that are remembered: a join contacts any node at a given address. At most 255 bytes;
    /// default none. HashiCorp's nodes know labels since memberlist 0.3.
    pub label: String,
    /// Whether a proxy outside adds and removes the labels. An inbound packet or stream that still has a label is
    /// dropped. Default false.
    pub skip_inbound_label_check: bool,
    /// Networks that other nodes may be in, as memberlist's `CIDRsAllowed`; empty: any. A datagram or stream from
    /// another address is dropped unread, and a member that announces such an address is not admitted. The list must
    /// have the addresses that members announce and, behind NAT, also those that their packets come from. An
    /// IPv4-mapped IPv6 address counts as IPv4. It is a fence against mistakes and strangers, not a proof of origin: a
    /// datagram's source address can be forged. HashiCorp's nodes drop only alive messages from elsewhere. Default none.
    pub cidrs_allowed: Vec<IpNet>,
    /// Encryption keys. The first one encrypts, each of them decrypts. Empty: no encryption. At most 32; default none.
    /// The keys are not serialized with the other settings.
    #[serde(skip)]
    pub encrypt_keys: Vec<Key>,
    /// Whether unencrypted input is dropped when there are keys. Disable it only while encryption is introduced into a
    /// running cluster. Default true.
    pub encrypt_verify_incoming: bool,
    /// Whether output is encrypted when there are keys. Disable it only while encryption is introduced into a running
    /// cluster. Default true.
    pub encrypt_verify_outgoing: bool,
    /// Whether the driver stores the keyring. Each key change is then emitted as
    /// [`Output::Keyring`](crate::Output::Keyring), and the requester is answered only after the driver has reported
    /// the write. Default false.
    pub keyring_kept: bool,
    /// Whether packets and streams are compressed if that makes them shorter. Compression takes more time than all
    /// other processing of a packet. Compressed input is accepted in any case, unless the program is built without
    /// the feature `compression`: it is then dropped and counted. Default false.
    pub compression: bool,
}

impl TransportOptions {
    /// What a node with these settings announces.
    pub const fn versions(&self) -> Versions {
        match self.codec {
            CodecChoice::Auto | CodecChoice::Native if !self.digests => Versions::NATIVE_ONLY,
            choice => choice.versions(),
        }
    }
}
