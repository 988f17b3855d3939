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
