//! Several frames in one (`makeCompoundMessage` in memberlist's util.go): type byte 7, their number, their lengths, and then
//! the frames.

/// Type byte and number.
pub(super) const HEADER_BYTES: usize = 2;
/// One length.
pub(super) const LENGTH_BYTES: usize = 2;

/// Room for the header of the largest compound.
pub(super) const TABLE_BYTES_MAX: usize = HEADER_BYTES + LENGTH_BYTES * crate::limits::COMPOUND_PARTS_MAX;

const TYPE: u8 = 7;

/// Writes what goes before the frames of these lengths, and returns how long that is. One frame goes bare.
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

/// The frames of a message. Empty frames are left out and a truncated one is the end; either sets [`Parts::damaged`].
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    lengths: &'a [[u8; LENGTH_BYTES]],
    rest: &'a [u8],
    single: bool,
    damaged: bool,
}

impl<'a> Parts<'a> {
    /// Whether the message was a compound.
    pub const fn is_compound(&self) -> bool {
        !self.single
    }

    /// Whether a frame was empty or cut short. The other frames are good, as memberlist has it.
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
                    self.lengths = &[];
                }
            }
        }
    }
}

/// Whether a frame is a compound, which none within a compound is.
pub(super) fn is_compound(frame: &[u8]) -> bool {
    frame.first() == Some(&TYPE)
}

/// The frames in `message`; `None` when it is empty, or a compound whose table is cut short.
pub(super) fn split(message: &[u8]) -> Option<Parts<'_>> {
    let (&kind, body) = message.split_first()?;
    if kind != TYPE {
        return Some(Parts { lengths: &[], rest: message, single: true, damaged: false });
    }
    let (&count, body) = body.split_first()?;
    let (table, rest) = body.split_at_checked(usize::from(count) * LENGTH_BYTES)?;
    Some(Parts { lengths: table.as_chunks().0, rest, single: false, damaged: false })
}
