//! CRC-32 over everything after it (`hasCrcMsg` in memberlist's net.go): type byte 12, then the sum, big-endian.

/// Length of the header.
pub(super) const BYTES: usize = 5;

const TYPE: u8 = 12;

/// The header for the bytes of `parts`, one after the other.
pub(super) fn compute(parts: &[&[u8]]) -> [u8; BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let [a, b, c, d] = hasher.finalize().to_be_bytes();
    [TYPE, a, b, c, d]
}

/// Takes a checksum off, if there is one; `None` when it does not match.
///
/// A checksum is never required: HashiCorp's nodes leave it out of pings and acks.
pub(super) fn open(datagram: &[u8]) -> Option<&[u8]> {
    let Some((header, rest)) = datagram.split_first_chunk::<BYTES>() else { return Some(datagram) };
    if header[0] != TYPE {
        return Some(datagram);
    }
    (*header == compute(&[rest])).then_some(rest)
}
