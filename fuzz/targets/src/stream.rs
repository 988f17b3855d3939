//! A stream, in one chunk and in several.

use std::time::Duration;

use serf_proto::{CodecChoice, Input};

use crate::sealed;
use crate::subject::{Kind, Subject, addr};

/// Length of the header that selects how the rest is sent.
const HEADER_BYTES: usize = 4;

/// Delivers bytes on a stream. In the first byte, the lowest bit selects the side that opened the stream, the next one
/// a label and a key for both, the next two how the rest is then sent: 0 and 1 encrypted in that version, 2 behind the
/// label, 3 unchanged. The next three bytes are the chunk lengths minus one, repeated. The result must not depend on
/// the chunking.
pub fn stream(data: &[u8]) {
    let Some((&[how, ref pieces @ ..], data)) = data.split_first_chunk::<HEADER_BYTES>() else { return };
    let (is_request, is_sealed) = (how & 1 == 0, how & 2 != 0);
    let kind = Kind { codec: CodecChoice::Auto, is_sealed };
    let bytes = if is_sealed { in_layers(how >> 2 & 3, is_request, data) } else { data.to_vec() };
    let whole = exchange(kind, is_request, &mut std::iter::once(&bytes[..]));
    let cut = exchange(kind, is_request, &mut cut(&bytes, pieces));
    assert_eq!(whole.node.stats(), cut.node.stats(), "the cuts decide what is counted");
    assert_eq!(whole.outputs, cut.outputs, "the cuts decide what comes of it");
    assert!(whole.node.members().eq(cut.node.members()), "the cuts decide who is a member");
}

fn in_layers(how: u8, is_request: bool, data: &[u8]) -> Vec<u8> {
    let label = if is_request && how != 3 { sealed::label_header() } else { vec![] };
    let unit = if how < 2 { sealed::record(how, data) } else { data.to_vec() };
    [label, unit].concat()
}

fn cut<'a>(mut bytes: &'a [u8], lengths: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let len = usize::from(*lengths.next()?) + 1;
        let (piece, rest) = bytes.split_at(len.min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn exchange(kind: Kind, is_request: bool, pieces: &mut dyn Iterator<Item = &[u8]>) -> Subject {
    let mut subject = Subject::new(kind);
    let stream = if is_request { subject.accept(addr(2)) } else { subject.ask() };
    for piece in pieces {
        subject.give(Input::StreamData(stream, piece.to_vec()));
    }
    subject.give(Input::StreamClosed(stream));
    subject.pass(Duration::from_millis(700));
    subject.check_replay();
    subject
}
