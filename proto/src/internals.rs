//! Codecs, packet layers and msgpack, for the programs of this repository: fuzz targets, benches, recorded vectors, the
//! simulator's hostile member, the agent's RPC.
//!
//! **Exempt from semantic versioning**: any release may change or remove what is here. What other programs need is at the
//! crate's root and in [`diagnostics`](crate::diagnostics).

/// The layers around the frames of a packet.
pub mod envelope {
    pub use crate::envelope::{Caps, Envelope, Packed, Packer, PacketBuffers, Parts, open, seal, split};
}

pub use crate::core::Sometimes;

/// msgpack, as HashiCorp's programs write it.
pub mod msgpack {
    pub use crate::msgpack::{
        BadByte, Fields, Full, Head, Kind, Reader, Sink, Walk, WalkError, float, signed, unsigned, write,
    };
}

/// Bytes to messages and back.
pub mod wire {
    pub use crate::wire::{
        Codec, Common, DecodeError, Full, Incompatible, MessageKind, Versions, Writer, hashicorp, native, serf, swim,
    };
}

/// The state of a node, for programs that explore all states of small clusters.
pub mod state {
    use core::hash::Hasher;

    pub use crate::node::{KnownMember, View};
    use crate::{Node, Seed};

    /// Feeds everything that decides how the node behaves from now on, with times relative to its clock. Not the RNG: see
    /// [`reseed`].
    pub fn fingerprint(node: &Node, hasher: &mut dyn Hasher) {
        node.fingerprint(hasher);
    }

    /// The numbers of the node's last ping and of its last stream. Fingerprints hold such numbers relative to these;
    /// messages in transit hold them as they are.
    pub fn numbers(node: &Node) -> (u32, u64) {
        node.numbers()
    }

    /// Replaces the RNG of the node, so that the next call makes the choices of `seed`.
    pub fn reseed(node: &mut Node, seed: &Seed) {
        node.reseed(seed);
    }

    /// Whether the node has drawn anything since [`reseed`] with this seed. If not, other seeds give the same result.
    pub fn has_drawn(node: &Node, seed: &Seed) -> bool {
        node.has_drawn(seed)
    }

    /// The members that membership knows, in any state, this node included.
    pub fn known_members(node: &Node) -> impl Iterator<Item = KnownMember> + '_ {
        node.known_members()
    }

    /// What [`Node::digest`] hashes, in full.
    pub fn view(node: &Node) -> View {
        node.view()
    }
}
