//! Label layer: the cluster's name before every packet and every opened stream (`AddLabelHeaderToPacket` and
//! `RemoveLabelHeaderFromStream` in memberlist's label.go). Type byte 244, length, name. Separates clusters that share
//! addresses; not a secret.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::limits::LABEL_BYTES_MAX;

/// A cluster's label. Empty by default; an empty label adds no header.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// The label with its header, as sent.
    bytes: Arc<[u8]>,
}

impl Label {
    /// A label of at most [`LABEL_BYTES_MAX`] bytes; `None` if it is longer.
    pub fn parse(name: &str) -> Option<Self> {
        if name.is_empty() {
            return Some(Self::default());
        }
        let len = u8::try_from(name.len()).ok()?;
        debug_assert!(name.len() <= LABEL_BYTES_MAX, "the length is one byte");
        let bytes: Vec<u8> = [TYPE, len].into_iter().chain(name.bytes()).collect();
        Some(Self { bytes: bytes.into() })
    }

    /// The label without header. It is the associated data of the encryption.
    pub fn name(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// The header to send.
    pub(super) fn header(&self) -> &[u8] {
        &self.bytes
    }

    /// Removes the label of a packet; `None` if it is not this one.
    ///
    /// With `skip` a proxy has removed the label, so a label that is present is an error.
    pub(super) fn open<'a>(&self, datagram: &'a [u8], skip: bool) -> Option<&'a [u8]> {
        if datagram.first() != Some(&TYPE) {
            return (skip || self.bytes.is_empty()).then_some(datagram);
        }
        let is_ours = !skip && !self.bytes.is_empty() && datagram.starts_with(&self.bytes);
        is_ours.then(|| &datagram[self.bytes.len()..])
    }

    /// The length of the label at the start of a stream; `Ok(None)` if more bytes are needed, `Err` as soon as it
    /// cannot be this one.
    pub(super) fn stream(&self, bytes: &[u8], skip: bool) -> Result<Option<usize>, ()> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first != TYPE {
            return if skip || self.bytes.is_empty() { Ok(Some(0)) } else { Err(()) };
        }
        // Compares the prefix received so far, so that a wrong label fails without waiting for the rest.
        let came = bytes.len().min(self.bytes.len());
        if skip || self.bytes.is_empty() || bytes[..came] != self.bytes[..came] {
            return Err(());
        }
        Ok((came == self.bytes.len()).then_some(came))
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({:?})", core::str::from_utf8(self.name()).unwrap_or_default())
    }
}

/// Size of type byte and length.
const HEADER_BYTES: usize = 2;

pub(super) const TYPE: u8 = 244;

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str) -> Label {
        Label::parse(name).expect("it is short enough")
    }

    #[test]
    fn a_label_of_255_bytes_is_the_longest() {
        assert!(Label::parse(&"x".repeat(255)).is_some());
        assert!(Label::parse(&"x".repeat(256)).is_none());
    }

    #[test]
    fn only_the_very_label_is_taken_off_a_packet() {
        let ours = label("dc1");
        assert_eq!(ours.open(b"\xf4\x03dc1abc", false), Some(&b"abc"[..]));
        for wrong in [&b"abc"[..], b"", b"\xf4", b"\xf4\x00abc", b"\xf4\x02dcabc", b"\xf4\x03dc2abc", b"\xf4\x05dc1ab"]
        {
            assert_eq!(ours.open(wrong, false), None, "{wrong:?}");
        }
    }

    #[test]
    fn without_a_label_a_labelled_packet_is_refused_and_a_plain_one_is_not() {
        let none = label("");
        assert_eq!(none.open(b"abc", false), Some(&b"abc"[..]));
        assert_eq!(none.open(b"\xf4\x03dc1abc", false), None);
        assert_eq!(none.open(b"\xf4\x00abc", false), None, "an empty label is none");
    }

    #[test]
    fn when_the_label_was_taken_off_outside_one_that_is_still_there_is_refused() {
        let ours = label("dc1");
        assert_eq!(ours.open(b"abc", true), Some(&b"abc"[..]));
        assert_eq!(ours.open(b"\xf4\x03dc1abc", true), None);
        assert_eq!(ours.stream(b"abc", true), Ok(Some(0)));
        assert_eq!(ours.stream(b"\xf4\x03dc1abc", true), Err(()));
    }

    #[test]
    fn on_a_stream_the_label_is_awaited_and_refused_at_the_first_wrong_byte() {
        let ours = label("dc1");
        for came in 0..5 {
            assert_eq!(ours.stream(&b"\xf4\x03dc1"[..came], false), Ok(None));
        }
        assert_eq!(ours.stream(b"\xf4\x03dc1rest", false), Ok(Some(5)));
        assert_eq!(ours.stream(b"\xf4\x04", false), Err(()));
        assert_eq!(ours.stream(b"\xf4\x03d2", false), Err(()));
        assert_eq!(ours.stream(b"\x46", false), Err(()));
        assert_eq!(label("").stream(b"\x46", false), Ok(Some(0)));
    }
}
