use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::outbox::Output;

fn seal_frames(frames: &[Vec<u8>], checksum: bool) -> Vec<u8> {
    let mut out = Outbox::new();
    let mut packer = Packer::new(&mut out, 1400);
    for frame in frames {
        packer.frame(|w| w.put(frame)).unwrap();
    }
    let packed = packer.finish();
    let to = "10.0.0.1:1".parse().unwrap();
    let len = seal(packed, to, Caps { checksum }, &mut out);
    let Some(Output::Datagram { bytes, .. }) = out.pop() else { panic!("a datagram was queued") };
    assert_eq!(bytes.len(), len);
    bytes.to_vec()
}

#[test]
fn a_single_frame_goes_bare() {
    assert_eq!(seal_frames(&[vec![1, 2, 3]], false), [1, 2, 3]);
}

#[test]
fn a_compound_is_written_as_memberlist_writes_it() {
    let bytes = seal_frames(&[vec![1, 2, 3], vec![9]], false);
    assert_eq!(bytes, [7, 2, 0, 3, 0, 1, 1, 2, 3, 9]);
}

#[test]
fn a_packet_never_exceeds_the_packet_size_and_a_frame_that_does_not_fit_changes_nothing() {
    let mut out = Outbox::new();
    let mut packer = Packer::new(&mut out, 1400);
    let mut frames = 0;
    while packer.frame(|w| w.put(&[1; 100])).is_ok() {
        frames += 1;
    }
    assert_eq!(frames, 13);
    packer.frame(|w| w.put(&[1; 60])).unwrap();
    let packed = packer.finish();
    let to = "10.0.0.1:1".parse().unwrap();
    assert!(seal(packed, to, Caps { checksum: true }, &mut out) <= 1400);
}

#[test]
fn no_more_than_255_frames_go_into_one_packet() {
    let mut out = Outbox::new();
    let mut packer = Packer::new(&mut out, 60_000);
    for _ in 0..255 {
        packer.frame(|w| w.put_u8(1)).unwrap();
    }
    assert_eq!(packer.frame(|w| w.put_u8(1)), Err(Full));
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut bytes = seal_frames(&[vec![1, 2, 3]], true);
    assert_eq!(open(&bytes), Ok(&[1, 2, 3][..]));
    bytes[7] ^= 1;
    assert_eq!(open(&bytes), Err(DropReason::Checksum));
}

#[test]
fn a_short_table_is_refused_and_a_frame_past_the_end_ends_the_packet() {
    assert!(split(&[7]).is_err());
    assert!(split(&[7, 2, 0, 1, 0]).is_err());
    assert!(split(&[]).is_err());
    let mut parts = split(&[7, 2, 0, 1, 0, 9, 5]).unwrap();
    assert_eq!(parts.next(), Some(&[5][..]));
    assert_eq!(parts.next(), None);
    assert!(parts.damaged());
}

#[test]
fn an_empty_frame_is_left_out_and_is_damage() {
    let mut parts = split(&[7, 3, 0, 0, 0, 1, 0, 0, 9]).unwrap();
    assert_eq!(parts.next(), Some(&[9][..]));
    assert_eq!(parts.next(), None);
    assert!(parts.damaged());
}

proptest! {
    #[test]
    fn what_was_sealed_opens_to_the_same_frames(
        frames in prop::collection::vec(prop::collection::vec(0x40_u8..0x50, 1..60), 1..12),
        checksum: bool,
    ) {
        let bytes = seal_frames(&frames, checksum);
        let parts: Vec<Vec<u8>> = split(open(&bytes).unwrap()).unwrap().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(parts, frames);
    }

    #[test]
    fn any_bytes_open_and_split_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = open(&bytes) && let Ok(parts) = split(message) {
            prop_assert!(parts.map(<[u8]>::len).sum::<usize>() <= bytes.len());
        }
    }
}
