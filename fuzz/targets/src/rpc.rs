//! Messages between clients and agents over RPC.

use core::fmt::Debug;

use serf_agent::rpc::{
    DecodeError, Decoder, Encoder, EventRecord, FrameError, Framer, KeyReport, QueryRecord, ReplyHeader, Request,
    RequestHeader, decode_coordinate, decode_join_count, decode_log, decode_members, decode_stats, encode_coordinate,
    encode_join_count, encode_log, encode_members, encode_stats,
};

/// Limit of an object's length, far below an agent's, so that inputs reach it.
const OBJECT_BYTES_MAX: usize = 4096;

/// Decodes a client's bytes. The first byte is the chunk size.
pub fn rpc_requests(data: &[u8]) {
    let mut objects = objects(data).into_iter();
    while let Some(header) = objects.next() {
        let Ok(header) = RequestHeader::decode(&mut Decoder::new(header)) else { return };
        let command = header.command.trim();
        let Some(has_body) = Request::has_body(command) else { return };
        let body = if has_body { objects.next() } else { Some(&[][..]) };
        let Some(body) = body else { return };
        let Ok(request) = Request::decode(command, &mut Decoder::new(body)) else { return };
        assert_eq!(request.command(), command);
        let mut again = Vec::new();
        request.encode(header.seq, &mut again);
        let mut from = Decoder::new(&again);
        let sent = RequestHeader { command: command.into(), seq: header.seq };
        assert_eq!(RequestHeader::decode(&mut from), Ok(sent));
        assert_eq!(Request::decode(command, &mut from), Ok(request));
    }
}

/// Decodes an agent's bytes. The first byte is the chunk size.
pub fn rpc_replies(data: &[u8]) {
    for object in objects(data) {
        reads_what_it_wrote(object, ReplyHeader::decode, ReplyHeader::encode);
        reads_what_it_wrote(object, decode_members, |members, to| encode_members(members.iter(), to));
        reads_what_it_wrote(object, decode_join_count, |count, to| encode_join_count(*count, to));
        reads_what_it_wrote(object, decode_stats, encode_stats);
        reads_what_it_wrote(object, decode_coordinate, |at, to| encode_coordinate(at.as_ref(), to));
        reads_what_it_wrote(object, decode_log, |log, to| encode_log(log, to));
        reads_what_it_wrote(object, KeyReport::decode, KeyReport::encode);
        reads_what_it_wrote(object, QueryRecord::decode, |record, to| some(record.as_ref(), to, QueryRecord::encode));
        reads_what_it_wrote(object, EventRecord::decode, |record, to| some(record.as_ref(), to, EventRecord::encode));
    }
}

/// Skips a record of unknown type.
fn some<T>(record: Option<&T>, to: &mut Encoder<'_>, encode: impl Fn(&T, &mut Encoder<'_>)) {
    match record {
        Some(record) => encode(record, to),
        None => _ = to.map(0),
    }
}

/// Compares bytes: a coordinate may contain NaN, which does not equal itself.
fn reads_what_it_wrote<T: Debug>(
    object: &[u8],
    decode: impl Fn(&mut Decoder<'_>) -> Result<T, DecodeError>,
    encode: impl Fn(&T, &mut Encoder<'_>),
) {
    let Ok(read) = decode(&mut Decoder::new(object)) else { return };
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    encode(&read, &mut Encoder::new(&mut once));
    let again = decode(&mut Decoder::new(&once)).unwrap_or_else(|error| panic!("{read:?} was written: {error}"));
    encode(&again, &mut Encoder::new(&mut twice));
    assert_eq!(once, twice, "{read:?} became {again:?}");
}

/// Splits a stream into objects; the result must not depend on the chunking.
fn objects(data: &[u8]) -> Vec<&[u8]> {
    let Some((piece, stream)) = data.split_first() else { return Vec::new() };
    let (whole, whole_end) = framed(stream, stream.len().max(1));
    let (pieces, pieces_end) = framed(stream, usize::from(*piece).max(1));
    assert_eq!((&whole, whole_end), (&pieces, pieces_end));
    pieces
}

fn framed(stream: &[u8], piece: usize) -> (Vec<&[u8]>, Option<FrameError>) {
    let mut framer = Framer::new(OBJECT_BYTES_MAX);
    let (mut objects, mut start) = (Vec::new(), 0);
    for end in (piece..stream.len()).step_by(piece).chain([stream.len()]) {
        loop {
            match framer.next(&stream[start..end]) {
                Ok(Some(length)) => {
                    objects.push(&stream[start..start + length]);
                    start += length;
                }
                Ok(None) => break,
                Err(error) => return (objects, Some(error)),
            }
        }
    }
    (objects, None)
}
