//! Pings and state exchanges with a node, for programs that are not members of its cluster. `serf doctor` uses it.
//!
//! A packet is packed with [`Envelope::packer`] and [`Envelope::seal`], and read with [`Envelope::open`], [`split`] and
//! [`Codec::decode`](crate::Codec::decode). On a stream, an [`Inquiry`] asks one question and collects the [`Reply`].

pub use crate::envelope::{Caps, Envelope, Packed, Packer, PacketBuffers, Parts, split};
pub use crate::stream::{Inquiry, Reply};
pub use crate::wire::serf::Clocks;
pub use crate::wire::swim::{Accusation, Ack, Alive, IndirectPing, Message, PeerRef, Ping, Source, State};
pub use crate::wire::{DecodeError, Full, Writer};

/// A state exchange in HashiCorp's codec.
pub mod hashicorp {
    pub use crate::wire::hashicorp::{
        Announcement, ERROR, PUSH_PULL, PushPull, SerfState, begin_push_pull, decode_error,
    };
}
