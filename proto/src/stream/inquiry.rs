//! A question to a node by somebody who is no member.

use alloc::vec::Vec;

use super::reader::Reader;
use crate::envelope::{Direction, Envelope};
use crate::stats::DropReason;
use crate::wire::Codec;

/// One exchange on a stream, for a program that looks at a cluster from outside: it has no members, tells nothing of itself,
/// and so leaves nothing behind. Like everything here it moves no bytes itself.
///
/// ```
/// use serf_proto::envelope::{Envelope, EnvelopeConfig};
/// use serf_proto::wire::hashicorp;
/// use serf_proto::{Inquiry, Seed};
///
/// let mut inquiry = Inquiry::new(Envelope::new(EnvelopeConfig::default(), &Seed::from_bytes([7; 32])));
/// let mut message = Vec::new();
/// hashicorp::begin_push_pull(&mut message, false, 0, 0); // what do you know? We know nobody.
/// let request = inquiry.request(message).expect("it is short");
/// // Write `request` to a stream to the node, and give what is read from it to `inquiry.receive`.
/// # assert_eq!(request[0], 6);
/// ```
#[derive(Debug)]
pub struct Inquiry {
    envelope: Envelope,
    reader: Reader,
}

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message's type byte.
    pub kind: u8,
    /// The message without it.
    pub body: Vec<u8>,
}

impl Reply {
    /// The codec that it is in.
    pub const fn codec(&self) -> Codec {
        Codec::of(self.kind)
    }
}

impl Inquiry {
    /// An exchange in this envelope.
    pub fn new(envelope: Envelope) -> Self {
        Self { envelope, reader: Reader::default() }
    }

    /// What to write to the stream to send this message, type byte first; `None` when it is too long for any node.
    pub fn request(&mut self, message: Vec<u8>) -> Option<Vec<u8>> {
        self.envelope.seal_record(message, Direction::Request)
    }

    /// Takes the next bytes that came; the reply when it is whole.
    ///
    /// # Errors
    ///
    /// What came is no reply, or is under other layers than ours: [`DropReason::Key`] when it is encrypted and no key of ours
    /// opens it, [`DropReason::Unencrypted`] when it is not and must be.
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

    /// A reply as a node with this key writes it: requests and replies differ in the label only, and there is none.
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
    fn a_reply_under_another_key_is_told_from_one_without() {
        assert_eq!(inquiry(Some(1)).receive(&answer(Some(2))), Err(DropReason::Key));
        assert_eq!(inquiry(None).receive(&answer(Some(2))), Err(DropReason::Key));
        assert_eq!(inquiry(Some(1)).receive(&answer(None)), Err(DropReason::Unencrypted));
    }
}
