//! Queries: told to everybody like user events, and answered by each member that meets the filters, straight to the requester.

mod answer;
mod ask;
mod collect;
mod receive;
mod ring;

use alloc::collections::BTreeMap;
use alloc::vec;
use core::net::SocketAddr;

use bytes::Bytes;

pub use self::answer::RespondError;
pub(super) use self::answer::response_limit;
pub use self::ask::{QueryError, Question};
pub(super) use self::collect::{Asked, Purpose};
use self::receive::Open;
use self::ring::Ring;
use crate::broadcast::{TransmitQueue, Turn};
use crate::core::Core;
use crate::limits::PACKET_BYTES_MAX;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::types::QueryId;
use crate::wire::serf::Message;
use crate::wire::{Codec, Writer};

/// The queries that a node has to do with.
#[derive(Clone, Debug)]
pub(super) struct Queries {
    /// To know one that comes again.
    ring: Ring,
    /// Those of others, and of ourselves, that can be answered here.
    pub(super) open: BTreeMap<QueryId, Open>,
    /// Those of our own that are under way.
    pub(super) asked: BTreeMap<QueryId, Asked>,
    /// Those that others are to be told of, as they came.
    pub(super) queue: TransmitQueue<Bytes>,
    /// When a requester without a name was last looked for among all members, where, and whether it is one.
    pub(super) searched: Option<(Instant, SocketAddr, bool)>,
    /// Queries before this time are not taken.
    pub(super) time_min: u64,
    /// The greatest time of a query taken, for the snapshot; 0 when none.
    pub(super) newest: u64,
}

impl Queries {
    pub(super) const fn new() -> Self {
        Self {
            ring: Ring::new(),
            open: BTreeMap::new(),
            asked: BTreeMap::new(),
            queue: TransmitQueue::new(Turn::Oldest),
            searched: None,
            time_min: 0,
            newest: 0,
        }
    }
}

/// Reads a message, wherever it lies: in a packet, on a stream, or inside another message. Each of these has a codec of its own,
/// and one that we do not read may stand in none of them.
pub(super) fn decode<'a>(core: &Core, frame: &'a [u8]) -> Result<Message<'a>, DropReason> {
    match frame.first() {
        Some(&kind) if !core.cfg.codec.reads(Codec::of(kind)) => Err(DropReason::Codec),
        _ => Codec::decode_serf(frame).map_err(|_| DropReason::Malformed),
    }
}

/// A message as it goes over the network.
pub(super) fn encode(codec: Codec, message: &Message<'_>) -> Bytes {
    let mut small = [0; ENCODED_BYTES_SMALL];
    let mut writer = Writer::new(&mut small);
    if codec.encode_serf(message, &mut writer).is_ok() {
        let len = writer.len();
        return Bytes::copy_from_slice(&small[..len]);
    }
    let mut large = vec![0; PACKET_BYTES_MAX];
    let mut writer = Writer::new(&mut large);
    let encoded = codec.encode_serf(message, &mut writer);
    debug_assert!(encoded.is_ok(), "whoever encodes has checked the size");
    let len = writer.len();
    Bytes::copy_from_slice(&large[..len])
}

/// Names of queries that members ask of each other and that the application never sees begin so (`InternalQueryPrefix`).
pub(super) const INTERNAL_PREFIX: &str = "_serf_";

/// Room for nearly every message.
const ENCODED_BYTES_SMALL: usize = 1536;
