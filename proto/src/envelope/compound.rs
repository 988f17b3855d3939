//! Compound packets: several frames in one (`makeCompoundMessage` in memberlist's util.go). Type byte 7, the number of
//! frames, their lengths, then the frames.

/// Size of type byte and count.
pub(super) const HEADER_BYTES: usize = 2;
/// Size of a length field.
pub(super) const LENGTH_BYTES: usize = 2;

/// Size of the largest compound header, in bytes.
pub(super) const TABLE_BYTES_MAX: usize = HEADER_BYTES + LENGTH_BYTES * crate::limits::COMPOUND_PARTS_MAX;

const TYPE: u8 = 7;

/// Writes the compound header for frames of these lengths, and returns its size. A single frame has no header.
pub(super) fn header(lengths: &[u16], out: &mut [u8]) -> usize {
    if lengths.len() == 1 {
        return 0;
    }
    out[0] = TYPE;
    out[1] = u8::try_from(lengths.len()).expect("a packer takes no more than 255 frames");
    let mut used = HEADER_BYTES;
    for length in lengths {
        out[used..used + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        used += LENGTH_BYTES;
    }
    used
}

/// Iterator over the frames of a message. Skips empty frames and stops at a truncated one; both set [`Parts::damaged`].
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    lengths: &'a [[u8; LENGTH_BYTES]],
    rest: &'a [u8],
    single: bool,
    damaged: bool,
}

impl<'a> Parts<'a> {
    /// Whether the message is a compound.
    pub const fn is_compound(&self) -> bool {
        !self.single
    }

    /// Whether a frame was empty or truncated. The other frames are valid, as in memberlist.
    pub const fn damaged(&self) -> bool {
        self.damaged
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.single {
            let frame = core::mem::take(&mut self.rest);
            return (!frame.is_empty()).then_some(frame);
        }
        loop {
            let (length, lengths) = self.lengths.split_first()?;
            self.lengths = lengths;
            match self.rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) {
                Some((frame, rest)) if !frame.is_empty() => {
                    self.rest = rest;
                    return Some(frame);
                }
                Some(_) => self.damaged = true,
                None => {
                    self.damaged = true;
                    // The offsets of all later frames are unknown.
                    self.lengths = &[];
                }
            }
        }
    }
}

/// Whether a frame is a compound; not allowed within a compound.
pub(super) fn is_compound(frame: &[u8]) -> bool {
    frame.first() == Some(&TYPE)
}

/// Splits a message into frames; `None` if it is empty, or a compound with a truncated table.
pub(super) fn split(message: &[u8]) -> Option<Parts<'_>> {
    let (&kind, body) = message.split_first()?;
    if kind != TYPE {
        return Some(Parts { lengths: &[], rest: message, single: true, damaged: false });
    }
    let (&count, body) = body.split_first()?;
    let (table, rest) = body.split_at_checked(usize::from(count) * LENGTH_BYTES)?;
    Some(Parts { lengths: table.as_chunks().0, rest, single: false, damaged: false })
}
