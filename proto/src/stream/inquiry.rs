//! One-shot exchange with a node, by a program that is not a member.

use alloc::vec::Vec;

use super::reader::Reader;
use crate::envelope::{Direction, Envelope};
use crate::stats::DropReason;
use crate::wire::Codec;

/// One exchange on a stream, for tools that inspect a cluster from outside. It announces no member, so it leaves no
/// trace in the cluster. Sans-IO, like the rest of the crate.
///
/// ```
/// use serf_proto::diagnostics::{Envelope, Inquiry, hashicorp};
/// use serf_proto::{EnvelopeConfig, Seed};
///
/// let mut inquiry = Inquiry::new(Envelope::new(EnvelopeConfig::default(), &Seed::from_bytes([7; 32])));
/// let mut message = Vec::new();
/// hashicorp::begin_push_pull(&mut message, false, 0, 0); // a request without members of our own
/// let request = inquiry.request(message).expect("it is short");
/// // Write `request` to a stream to the node, and give what is read from it to `inquiry.receive`.
/// # assert_eq!(request[0], 6);
/// ```
#[derive(Debug)]
pub struct Inquiry {
    envelope: Envelope,
    reader: Reader,
}

/// A node's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Type byte of the message.
    pub kind: u8,
    /// The message without its type byte.
    pub body: Vec<u8>,
}

impl Reply {
    /// Codec of the message.
    pub const fn codec(&self) -> Codec {
        Codec::of(self.kind)
    }
}

impl Inquiry {
    /// An exchange with these stream layers.
    pub fn new(envelope: Envelope) -> Self {
        Self { envelope, reader: Reader::default() }
    }

    /// Seals a message (type byte first) into the bytes to write to the stream; `None` if it exceeds what any node
    /// accepts.
    pub fn request(&mut self, message: Vec<u8>) -> Option<Vec<u8>> {
        self.envelope.seal_record(message, Direction::Request)
    }

    /// Consumes the next bytes of the stream. Returns the reply once it is complete.
    ///
    /// # Errors
    ///
    /// If the data is not a reply, or has other layers than ours: [`DropReason::Key`] if no key decrypts it,
    /// [`DropReason::Unencrypted`] if it is plaintext and must not be.
    pub fn receive(&mut self, data: &[u8]) -> Result<Option<Reply>, DropReason> {
        let unit = self.reader.push(data, Direction::Reply, &self.envelope)?;
        Ok(unit.map(|unit| Reply { kind: unit.kind, body: unit.body().to_vec() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{EnvelopeConfig, Keyring};
    use crate::rng::Seed;
    use crate::types::Key;
    use crate::wire::hashicorp;

    fn inquiry(key: Option<u8>) -> Inquiry {
        let keyring = Keyring::new(key.map(|byte| Key::new(&[byte; 16]).unwrap())).unwrap();
        Inquiry::new(Envelope::new(EnvelopeConfig { keyring, ..EnvelopeConfig::default() }, &Seed::from_u64(1)))
    }

    /// A reply encoded by a node with this key. Requests and replies differ only in the label, which is empty here.
    fn answer(key: Option<u8>) -> Vec<u8> {
        let mut message = Vec::new();
        hashicorp::begin_push_pull(&mut message, false, 0, 0);
        inquiry(key).request(message).unwrap()
    }

    #[test]
    fn a_reply_in_pieces_is_read_when_its_last_byte_has_come() {
        for key in [None, Some(1)] {
            let (answer, mut asking) = (answer(key), inquiry(key));
            let (last, rest) = answer.split_last().unwrap();
            for byte in rest {
                assert_eq!(asking.receive(&[*byte]), Ok(None));
            }
            let reply = asking.receive(&[*last]).unwrap().unwrap();
            assert_eq!((reply.kind, reply.codec()), (hashicorp::PUSH_PULL, Codec::HashiCorp));
        }
    }

    #[test]
    fn a_reply_under_another_key_and_one_without_encryption_are_distinguished() {
        assert_eq!(inquiry(Some(1)).receive(&answer(Some(2))), Err(DropReason::Key));
        assert_eq!(inquiry(None).receive(&answer(Some(2))), Err(DropReason::Key));
        assert_eq!(inquiry(Some(1)).receive(&answer(None)), Err(DropReason::Unencrypted));
    }
}
