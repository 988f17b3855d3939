//! Message kinds, determined from the first bytes of a frame.

use serde::{Deserialize, Serialize};

use super::{hashicorp, native};
use crate::named::named;

named! {
    /// Kind of a message in a packet, independent of its codec.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[repr(u8)]
    #[non_exhaustive]
    pub enum MessageKind {
        /// A ping, direct or indirect, with a digest or without.
        Ping = "ping",
        /// An ack or a nack.
        Ack = "ack",
        /// An alive message.
        Alive = "alive",
        /// A suspect message.
        Suspect = "suspect",
        /// A dead message, or a leave.
        Dead = "dead",
        /// A join intent.
        Join = "join",
        /// A leave intent.
        Leave = "leave",
        /// A user event.
        UserEvent = "user_event",
        /// A query.
        Query = "query",
        /// A response or ack of a query, also if it is relayed.
        QueryResponse = "query_response",
        /// A message of a reconciliation.
        Reconciliation = "reconciliation",
        /// Anything else.
        Other = "other",
    }
}

impl MessageKind {
    /// The kind of a frame. The type bytes of the two codecs differ in one bit.
    #[inline]
    pub const fn of(frame: &[u8]) -> Self {
        const NUMBER: u8 = !native::NATIVE;
        match *frame {
            [kind, ..] if kind & NUMBER == hashicorp::ALIVE => Self::Alive,
            [kind, message, ..] if kind & NUMBER == hashicorp::USER => Self::of_serf(message & NUMBER),
            [kind, ..] => match kind & NUMBER {
                hashicorp::PING | hashicorp::INDIRECT_PING | native::PROBE_KIND => Self::Ping,
                hashicorp::ACK | hashicorp::NACK => Self::Ack,
                hashicorp::SUSPECT => Self::Suspect,
                hashicorp::DEAD => Self::Dead,
                native::JOINED_KIND => Self::Alive,
                number
                    if *native::RECONCILIATION_KINDS.start() <= number
                        && number <= *native::RECONCILIATION_KINDS.end() =>
                {
                    Self::Reconciliation
                }
                _ => Self::Other,
            },
            [] => Self::Other,
        }
    }

    const fn of_serf(message: u8) -> Self {
        match message {
            hashicorp::SERF_LEAVE => Self::Leave,
            hashicorp::SERF_JOIN => Self::Join,
            hashicorp::SERF_USER_EVENT => Self::UserEvent,
            hashicorp::SERF_QUERY => Self::Query,
            hashicorp::SERF_QUERY_RESPONSE | hashicorp::SERF_RELAY => Self::QueryResponse,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::swim::{Ack, Message};
    use crate::wire::{Codec, Writer, serf};

    #[test]
    fn both_codecs_tell_the_kind() {
        for codec in [Codec::Native, Codec::HashiCorp] {
            let kind = |message: &Message<'_>| {
                let mut buf = [0; 100];
                codec.encode(message, &mut Writer::new(&mut buf)).unwrap();
                MessageKind::of(&buf)
            };
            let serf_kind = |message: &serf::Message<'_>| {
                let mut buf = [0; 100];
                let mut writer = Writer::new(&mut buf);
                codec.begin_user(&mut writer).unwrap();
                codec.encode_serf(message, &mut writer).unwrap();
                MessageKind::of(&buf)
            };
            assert_eq!(kind(&Message::Ack(Ack { seq: 1, payload: &[] })), MessageKind::Ack);
            assert_eq!(kind(&Message::Nack { seq: 1 }), MessageKind::Ack);
            assert_eq!(serf_kind(&serf::Message::Join(serf::Join { ltime: 1, node: "a" })), MessageKind::Join);
            let leave = serf::Leave { ltime: 1, node: "a", prune: false };
            assert_eq!(serf_kind(&serf::Message::Leave(leave)), MessageKind::Leave);
            let relay = serf::Relay { addr: "10.0.0.1:1".parse().unwrap(), node: "a", inner: &[5] };
            assert_eq!(serf_kind(&serf::Message::Relay(relay)), MessageKind::QueryResponse);
        }
        assert_eq!(MessageKind::of(&[]), MessageKind::Other);
        assert_eq!(MessageKind::of(&[8]), MessageKind::Other);
    }

    #[test]
    fn the_kinds_are_numbered_in_their_order() {
        for (number, kind) in MessageKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}
