//! Encrypts like HashiCorp's nodes, so that a target reaches the code behind the encryption. An independent
//! implementation, because the protocol's API cannot encrypt messages that it would never send.

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};

/// The only key of the cluster, that of the recorded packets.
pub const KEY: [u8; 16] = *b"0123456789abcdef";
/// The cluster's label, that of the recorded packets.
pub const LABEL: &str = "dc1";
/// Fixed nonce, so that inputs are reproducible.
pub const NONCE: [u8; 12] = *b"\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab";

const LABEL_TYPE: u8 = 244;
const ENCRYPTED_TYPE: u8 = 10;
const TAG_BYTES: usize = 16;

/// Encodes the label prefix of a datagram or a request.
pub(crate) fn label_header() -> Vec<u8> {
    let len = u8::try_from(LABEL.len()).expect("a label has at most 255 bytes");
    [&[LABEL_TYPE, len], LABEL.as_bytes()].concat()
}

/// Encrypts a plaintext as a datagram. In version 0 the plaintext ends with padding, which is up to the caller.
pub(crate) fn datagram(version: u8, text: &[u8]) -> Vec<u8> {
    [label_header(), sealed(version, LABEL.as_bytes(), text)].concat()
}

/// Encrypts a plaintext as a stream record, without the label prefix of a request.
pub(crate) fn record(version: u8, text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(1 + NONCE.len() + text.len() + TAG_BYTES).expect("no input has 4 GiB");
    let header = [&[ENCRYPTED_TYPE][..], &len.to_be_bytes()].concat();
    let associated = [&header[..], LABEL.as_bytes()].concat();
    [header, sealed(version, &associated, text)].concat()
}

fn sealed(version: u8, associated: &[u8], text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    let aes = Aes128Gcm::new_from_slice(&KEY).expect("the key has 16 bytes");
    let tag = aes.encrypt_inout_detached((&NONCE).into(), associated, InOutBuf::from(&mut text[..]));
    let tag: [u8; TAG_BYTES] = tag.expect("no input has 64 GiB").into();
    [&[version][..], &NONCE, &text, &tag].concat()
}
