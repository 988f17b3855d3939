//! Stream layers (`rawSendMsgStream`, `readStream` in memberlist's net.go). The side that opened the stream sends its
//! label first; then each side sends one unit. An encrypted unit is type byte 10, a length of four bytes, and the
//! format of an encrypted packet. These five bytes and the label are its associated data.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Envelope, compress, crypt};
use crate::limits::{
    LABEL_BYTES_MAX, STREAM_INFLATED_BYTES_MAX, STREAM_INFLATED_FREE_BYTES, STREAM_INFLATION_MAX,
    STREAM_MESSAGE_BYTES_MAX,
};
use crate::msgpack::Walk;
use crate::stats::DropReason;

/// Direction of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the side that opened the stream; starts with the label.
    Request,
    /// To the side that opened the stream.
    Reply,
}

/// Parse state of a partial unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Start of the unit, once the label is complete.
    start: Option<usize>,
    /// Position within a compressed message.
    walk: Option<Walk>,
}

/// The start of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A plain message starts here; its codec determines the end.
    Message(usize),
    /// A complete encrypted or compressed record; see [`Envelope::open_record`].
    Layered {
        /// Index of its type byte.
        start: usize,
        /// Index after its last byte.
        end: usize,
    },
}

impl Envelope {
    /// Parses the start of `bytes`, which are all bytes received so far; `Ok(None)` if more are needed. `progress`
    /// keeps the position between calls, so that each byte is examined once.
    pub(crate) fn record(
        &self,
        progress: &mut Progress,
        bytes: &[u8],
        direction: Direction,
    ) -> Result<Option<Record>, DropReason> {
        let start = match (progress.start, direction) {
            (Some(start), _) => start,
            (None, Direction::Reply) => 0,
            (None, Direction::Request) => {
                let label = self.config.label.stream(bytes, self.config.skip_inbound_label_check);
                let Some(start) = label.map_err(|()| DropReason::Label)? else { return Ok(None) };
                start
            }
        };
        progress.start = Some(start);
        let unit = &bytes[start..];
        match unit.first() {
            None => Ok(None),
            Some(&ENCRYPTED) => {
                // The whole record is buffered before it is decrypted: nothing in it is trusted before the tag is
                // checked.
                let end = encrypted_end(unit)?.filter(|end| unit.len() >= *end);
                Ok(end.map(|end| Record::Layered { start, end: start + end }))
            }
            // Before compression is looked at: plaintext must not cost any work while encryption is required.
            Some(_) if !self.config.keyring.is_empty() && self.config.verify_incoming => Err(DropReason::Unencrypted),
            Some(&compress::TYPE) => {
                let end = compress::end(&mut progress.walk, bytes, start, STREAM_MESSAGE_BYTES_MAX);
                let end = end.map_err(|_| DropReason::Inflate)?;
                Ok(end.map(|end| Record::Layered { start, end }))
            }
            Some(_) => Ok(Some(Record::Message(start))),
        }
    }

    /// Removes the layers of a complete record. At most one layer of each kind is accepted.
    pub(crate) fn open_record(&self, record: &[u8]) -> Result<Vec<u8>, DropReason> {
        let mut message = Cow::Borrowed(record);
        if let Some((header, sealed)) = record.split_first_chunk::<HEADER_BYTES>()
            && header[0] == ENCRYPTED
        {
            // The same reason as with wrong keys; the complaint about it distinguishes them by the empty keyring.
            if self.config.keyring.is_empty() {
                return Err(DropReason::Key);
            }
            let mut text = Vec::new();
            let (associated, len) = associated(*header, self.config.label.name());
            if !crypt::open(&self.config.keyring, &associated[..len], sealed, &mut text) {
                return Err(DropReason::Key);
            }
            message = Cow::Owned(text);
        }
        if message.first() == Some(&compress::TYPE) {
            let mut inflated = Vec::new();
            compress::unpack(&message, inflated_bytes_max(message.len()), &mut Vec::new(), &mut inflated)
                .map_err(|_| DropReason::Inflate)?;
            message = Cow::Owned(inflated);
        }
        // Layers inside the layers are refused: no node sends them, and each would multiply the work.
        match message.first() {
            None | Some(&(ENCRYPTED | compress::TYPE)) => Err(DropReason::Malformed),
            Some(_) => Ok(message.into_owned()),
        }
    }

    /// Seals a message; `None` if it exceeds what a peer accepts.
    pub(crate) fn seal_record(&mut self, message: Vec<u8>, direction: Direction) -> Option<Vec<u8>> {
        let label = match direction {
            Direction::Request => self.config.label.header(),
            Direction::Reply => &[],
        };
        let cipher = if self.config.verify_outgoing { self.config.keyring.primary() } else { None };
        if label.is_empty() && cipher.is_none() && !self.config.compression {
            return Some(message);
        }
        let mut packed = Vec::new();
        // Compress before encrypting: ciphertext does not compress.
        let parts = [&message[..], &[]];
        let compressed =
            if self.config.compression { compress::pack(parts, &mut Vec::new(), &mut packed) } else { None };
        let text = compressed.map_or(&message[..], |start| &packed[start..]);
        let mut out = Vec::with_capacity(label.len() + HEADER_BYTES + crypt::OVERHEAD_BYTES + text.len());
        out.extend_from_slice(label);
        let Some(cipher) = cipher else {
            out.extend_from_slice(text);
            return Some(out);
        };
        // The length is authenticated, so it must be known before the encryption.
        let sealed_len = crypt::OVERHEAD_BYTES + text.len();
        if sealed_len > STREAM_MESSAGE_BYTES_MAX {
            return None;
        }
        let [a, b, c, d] = u32::try_from(sealed_len).ok()?.to_be_bytes();
        let header = [ENCRYPTED, a, b, c, d];
        let nonce = self.nonces.bytes();
        out.extend_from_slice(&header);
        out.extend_from_slice(&crypt::header(&nonce));
        let start = out.len();
        out.extend_from_slice(text);
        let (associated, len) = associated(header, self.config.label.name());
        let tag = cipher.encrypt(&nonce, &associated[..len], &mut out[start..]);
        out.extend_from_slice(&tag);
        Some(out)
    }
}

/// Maximum inflated size of a compressed message of `compressed` bytes. Proportional to the received size, so that the
/// peer's bandwidth limits our work.
const fn inflated_bytes_max(compressed: usize) -> usize {
    let proportional = STREAM_INFLATED_FREE_BYTES + STREAM_INFLATION_MAX * compressed;
    if proportional < STREAM_INFLATED_BYTES_MAX { proportional } else { STREAM_INFLATED_BYTES_MAX }
}

/// Length of an encrypted record; `Ok(None)` if its header is incomplete.
fn encrypted_end(unit: &[u8]) -> Result<Option<usize>, DropReason> {
    let Some([_, len @ ..]) = unit.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len) as usize;
    // An empty plaintext crashes HashiCorp's nodes; no node sends one.
    let is_possible = (crypt::OVERHEAD_BYTES + 1..=STREAM_MESSAGE_BYTES_MAX).contains(&len);
    if is_possible { Ok(Some(HEADER_BYTES + len)) } else { Err(DropReason::Malformed) }
}

/// Associated data of a record: its header and the label.
fn associated(header: [u8; HEADER_BYTES], label: &[u8]) -> ([u8; HEADER_BYTES + LABEL_BYTES_MAX], usize) {
    let mut bytes = [0; HEADER_BYTES + LABEL_BYTES_MAX];
    let len = HEADER_BYTES + label.len();
    bytes[..HEADER_BYTES].copy_from_slice(&header);
    bytes[HEADER_BYTES..len].copy_from_slice(label);
    (bytes, len)
}

/// Type byte of an encrypted record.
const ENCRYPTED: u8 = 10;

/// Size of type byte and length.
const HEADER_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{EnvelopeConfig, Keyring, Label};
    use crate::rng::Seed;
    use crate::types::Key;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// The message on a stream that a HashiCorp node wrote, for any chunk size.
    fn opened(stream: &str, label: &str) -> Vec<u8> {
        let stream = unhex(stream);
        let is_encrypted = stream[label.len() + if label.is_empty() { 0 } else { 2 }] == ENCRYPTED;
        let keys = is_encrypted.then(|| Key::new(b"0123456789abcdef").unwrap());
        let (keyring, label) = (Keyring::new(keys).unwrap(), Label::parse(label).unwrap());
        let config = EnvelopeConfig { keyring, label, ..EnvelopeConfig::default() };
        let envelope = Envelope::new(config, &Seed::from_u64(1));
        let mut progress = Progress::default();
        for len in 0..stream.len() {
            assert_eq!(envelope.record(&mut progress, &stream[..len], Direction::Request), Ok(None), "{len} bytes");
        }
        let record = envelope.record(&mut progress, &stream, Direction::Request);
        let Ok(Some(Record::Layered { start, end })) = record else { panic!("{record:?}") };
        assert_eq!(end, stream.len());
        envelope.open_record(&stream[start..end]).unwrap()
    }

    #[test]
    fn what_hashicorp_wrote_to_streams_is_opened() {
        for stream in [PING_COMPRESSED, PING_COMPRESSED_ENCRYPTED] {
            assert_eq!(opened(stream, ""), unhex(PING));
        }
        assert_eq!(opened(PING_LABELLED_ENCRYPTED, "dc1"), unhex(PING));
        assert_eq!(opened(PUSH_PULL_COMPRESSED, ""), unhex(PUSH_PULL));
        assert_eq!(opened(PUSH_PULL_ENCRYPTED, ""), unhex(PUSH_PULL));
        assert_eq!(opened(PUSH_PULL_PADDED, ""), unhex(PUSH_PULL));
        assert_eq!(opened(PUSH_PULL_LABELLED_ENCRYPTED, "dc1"), unhex(PUSH_PULL));
    }

    #[test]
    fn a_short_record_inflates_to_the_free_bytes_plus_64_for_each_of_its_own() {
        let envelope = Envelope::new(EnvelopeConfig::default(), &Seed::from_u64(1));
        let zeros = |len: usize| {
            let mut out = Vec::new();
            let start = compress::pack([&alloc::vec![0; len], &[]], &mut Vec::new(), &mut out).unwrap();
            out.split_off(start)
        };
        let honest_ring = zeros(512 * 9 * 1024);
        assert_eq!(envelope.open_record(&honest_ring).map(|message| message.len()), Ok(512 * 9 * 1024));
        let bomb = zeros(STREAM_MESSAGE_BYTES_MAX);
        assert!(bomb.len() < 20_000, "{}", bomb.len());
        assert_eq!(envelope.open_record(&bomb), Err(DropReason::Inflate));
        // Terminates: hundreds of inflated bytes add one compressed byte, so the message soon reaches the bound of its
        // own compressed size.
        let mut last = STREAM_INFLATED_FREE_BYTES;
        while inflated_bytes_max(zeros(last).len()) > last {
            last = inflated_bytes_max(zeros(last).len());
        }
        assert!(envelope.open_record(&zeros(last)).is_ok());
        assert_eq!(envelope.open_record(&zeros(last + 1)), Err(DropReason::Inflate));
    }

    #[test]
    fn the_longest_message_that_a_peer_accepts_is_sealed_and_no_longer_one() {
        let keyring = Keyring::new([Key::new(b"0123456789abcdef").unwrap()]).unwrap();
        let config = EnvelopeConfig { keyring, ..EnvelopeConfig::default() };
        let mut envelope = Envelope::new(config, &Seed::from_u64(1));
        let longest = STREAM_MESSAGE_BYTES_MAX - crypt::OVERHEAD_BYTES;
        let sealed = envelope.seal_record(alloc::vec![7; longest], Direction::Request).unwrap();
        assert_eq!(encrypted_end(&sealed), Ok(Some(sealed.len())));
        assert_eq!(envelope.seal_record(alloc::vec![7; longest + 1], Direction::Request), None);
    }

    #[test]
    fn the_inflated_size_never_exceeds_what_any_message_may_have() {
        assert_eq!(inflated_bytes_max(0), STREAM_INFLATED_FREE_BYTES);
        assert_eq!(inflated_bytes_max(1), STREAM_INFLATED_FREE_BYTES + STREAM_INFLATION_MAX);
        assert_eq!(inflated_bytes_max(STREAM_MESSAGE_BYTES_MAX), STREAM_INFLATED_BYTES_MAX);
    }

    // From `tests/vectors/memberlist.json`, with the names that they have there.
    /// `stream_ping_plain`.
    const PING: &str = "\
        0085a44e6f6465a66e6f64652d62a55365714e6f2aaa536f7572636541646472a40a000001aa536f757263654e6f6465a66e\
        6f64652d61aa536f75726365506f7274cd1f0a";
    /// `stream_ping_compressed`.
    const PING_COMPRESSED: &str = "\
        0982a4416c676f00a3427566da004100011422e5e40d9932a6dc182cd3424ca92965e21454a16aca9b3a72c6940942868c1c\
        520a00000850f162c632050f265cd8224c498c1aa1bc9143a7d907050101";
    /// `stream_ping_compressed_enc_v1`.
    const PING_COMPRESSED_ENCRYPTED: &str = "\
        0a0000006d01a0a1a2a3a4a5a6a7a8a9aaabcc38d3e386bb52e9d4023f20b0c5a9810da270e2de29f627bd4cf9a86cdd8aec\
        99a391e032de32377fff602628cfa37ccc6ccb0f2d381715a6d76ec02bc59f9dbad933bdeb224b5d423eadadc80efc1cfad3\
        3d7a35395d4af7259837393e9d92";
    /// `stream_label_ping_enc_v1`.
    const PING_LABELLED_ENCRYPTED: &str = "\
        f4036463310a0000006201a0a1a2a3a4a5a6a7a8a9aaabc53fd3ec85b8584f192f2e2347a74dd269c71c68108e3c7a6ee282\
        e1fefba23714cc73f467d50b9291b77185f2a9859fe61ef66148157eef04dadd804dafe9ae108fb2eb6d46ef0c5d6c9a69d7\
        813227ff7c781b56";
    /// `pushpull_plain`.
    const PUSH_PULL: &str = "\
        0683a44a6f696ec3a54e6f64657302ac5573657253746174654c656e0a87a441646472a40a000001ab496e6361726e617469\
        6f6e01a44d657461a26d31a44e616d65a66e6f64652d61a4506f7274cd1f0aa5537461746500a356736ea601050200000087\
        a441646472a40a000002ab496e6361726e6174696f6e04a44d657461c0a44e616d65a66e6f64652d62a4506f7274cd1f0aa5\
        537461746503a356736ea6010502000000757365722d7374617465";
    /// `pushpull_compressed`.
    const PUSH_PULL_COMPRESSED: &str = "\
        0982a4416c676f00a3427566da009e000d0c22a5e44d1a37c34a397943a6cc1c01acaacc2923670a9d3074ca3029e346c121\
        5241c89091434a0100000156257133268c1c3718d3bc7113805493321745b58941ca499836654cb96158a645185250dec8a1\
        d3ec8382521631960130caca1c37a60214107012c0c790234b9e14a092a54b987464ba2160136718603d7f061ddab08518a4\
        4a993a857a31e380aa57b36eed5a67a29c1673fa960908";
    /// `pushpull_encrypted_v1`.
    const PUSH_PULL_ENCRYPTED: &str = "\
        0a000000ce01a0a1a2a3a4a5a6a7a8a9aaabc339d3e885b5532ad20e25220fb6ea2d59c5377569500e617edc84eab5186204\
        d4a201506c7f58fc4f8c7c83ddb48f9b3419f66b2c9c522023d40a9f1f6ef7a00f9ed99a085c8fccb2d95a1bbd7f30029694\
        04ba103165f42e30038a946f40bb53b1fc7363cfaee30c4e2f7ade89b6fda0bc56cb43619c7a6e76e45155b934b71f608939\
        c2b21ae88684337f8e0e6a0e34c4947f40623e06020a56020f88c29ded21967b98aaa4155861ee74e8fb7c6a8ad4ffee4087\
        3452d967abc730806528f3";
    /// `pushpull_encrypted_v0`.
    const PUSH_PULL_PADDED: &str = "\
        0a000000dd00a0a1a2a3a4a5a6a7a8a9aaabc339d3e885b5532ad20e25220fb6ea2d59c5377569500e617edc84eab5186204\
        d4a201506c7f58fc4f8c7c83ddb48f9b3419f66b2c9c522023d40a9f1f6ef7a00f9ed99a085c8fccb2d95a1bbd7f30029694\
        04ba103165f42e30038a946f40bb53b1fc7363cfaee30c4e2f7ade89b6fda0bc56cb43619c7a6e76e45155b934b71f608939\
        c2b21ae88684337f8e0e6a0e34c4947f40623e06020a56020f88c29ded21967b98aaa4155861ee74e8fb7c6a8a7404f31738\
        1fae108618007044e712ea8bfed3e573a9de08b97b9fbc2dcb24";
    /// `pushpull_label_encrypted_v1`.
    const PUSH_PULL_LABELLED_ENCRYPTED: &str = "\
        f4036463310a000000ce01a0a1a2a3a4a5a6a7a8a9aaabc339d3e885b5532ad20e25220fb6ea2d59c5377569500e617edc84\
        eab5186204d4a201506c7f58fc4f8c7c83ddb48f9b3419f66b2c9c522023d40a9f1f6ef7a00f9ed99a085c8fccb2d95a1bbd\
        7f3002969404ba103165f42e30038a946f40bb53b1fc7363cfaee30c4e2f7ade89b6fda0bc56cb43619c7a6e76e45155b934\
        b71f608939c2b21ae88684337f8e0e6a0e34c4947f40623e06020a56020f88c29ded21967b98aaa4155861ee74e8fb7c6a8a\
        033c0749689b80f33166fa8005194e3f";
}
