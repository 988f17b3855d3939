//! Checksum layer: CRC-32 of everything after it (`hasCrcMsg` in memberlist's net.go). Type byte 12, then the sum,
//! big-endian.

/// Length of the header, in bytes.
pub(super) const BYTES: usize = 5;

const TYPE: u8 = 12;

/// Computes the header for the concatenation of `parts`.
pub(super) fn compute(parts: &[&[u8]]) -> [u8; BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let [a, b, c, d] = hasher.finalize().to_be_bytes();
    [TYPE, a, b, c, d]
}

/// Removes the checksum, if present; `None` if it does not match.
///
/// Never required: HashiCorp's nodes omit it from pings and acks.
pub(super) fn open(datagram: &[u8]) -> Option<&[u8]> {
    let Some((header, rest)) = datagram.split_first_chunk::<BYTES>() else { return Some(datagram) };
    if header[0] != TYPE {
        return Some(datagram);
    }
    (*header == compute(&[rest])).then_some(rest)
}
