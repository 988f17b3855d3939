use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::CodecChoice;
use crate::types::Key;

/// The settings of packets and streams: how messages are written, and what goes around them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TransportOptions {
    /// Which codecs we write and read. Default [`CodecChoice::Auto`].
    pub codec: CodecChoice,
    /// How long an exchange on a stream may take in all. Long enough for the state of the whole cluster over the slowest path.
    /// Above zero; default 10 s.
    pub stream_timeout: Duration,
    /// Packets are filled up to this size. Choose what the path carries in one piece: a datagram that IP fragments is lost with any
    /// of its fragments. 1200 and the room that label and encryption take, to 65 507; default 1400 bytes.
    pub packet_bytes: u32,
    /// The cluster's name. Packets and streams with another, or with none, are dropped; it keeps clusters apart that
    /// share addresses, or that get each other's addresses as time passes: without a label or a key only the names of members
    /// that are looked for at an old address do, and an address that is given for a join is asked whichever node is there. At most 255 bytes; default none. HashiCorp's nodes know labels since memberlist 0.3.
    pub label: String,
    /// Something outside takes the label off what comes in, and puts it on what goes out of others: what still has one
    /// is dropped. Default false.
    pub skip_inbound_label_check: bool,
    /// The keys, the first one to encrypt with, each of them to decrypt with. None: no encryption. At most 32; default
    /// none. They are not serialized with the rest.
    #[serde(skip)]
    pub encrypt_keys: Vec<Key>,
    /// With keys: drop what comes in unencrypted. Off only while encryption is introduced to a running cluster.
    /// Default true.
    pub encrypt_verify_incoming: bool,
    /// With keys: encrypt what goes out. Off only while encryption is introduced to a running cluster. Default true.
    pub encrypt_verify_outgoing: bool,
    /// Whether the keys are kept, so that changes survive the node: each that members make is then given as
    /// [`Output::Keyring`](crate::Output::Keyring), and confirmed only when it was written. Default false.
    pub keyring_kept: bool,
    /// Compress packets and streams where that makes them shorter. It costs more time than all else that is done
    /// to a packet. Compressed ones are understood in any case, unless the program is
    /// built without the feature `compression`: they are then dropped and counted. Default false.
    pub compression: bool,
}
