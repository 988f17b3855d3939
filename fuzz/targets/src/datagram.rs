//! One datagram for a node that knows other members.

use std::time::Duration;

use serf_proto::{CodecChoice, Input};

use crate::sealed;
use crate::subject::{Kind, Subject, addr};

/// Sends a datagram to a node that reads HashiCorp's codec only.
pub fn datagram_hashicorp(data: &[u8]) {
    receive(Kind { codec: CodecChoice::HashiCorp, is_sealed: false }, data.to_vec());
}

/// Sends a datagram to a node that reads the native codec only.
pub fn datagram_native(data: &[u8]) {
    receive(Kind { codec: CodecChoice::Native, is_sealed: false }, data.to_vec());
}

/// Sends a datagram to a node that reads both codecs and has a label and a key. The first byte selects how the rest is
/// sent: 0 and 1 encrypted in that version, 2 behind the label, 3 unchanged.
pub fn datagram_sealed(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let bytes = match how % 4 {
        version @ 0..=1 => sealed::datagram(version, data),
        2 => [&sealed::label_header()[..], data].concat(),
        _ => data.to_vec(),
    };
    receive(Kind { codec: CodecChoice::Auto, is_sealed: true }, bytes);
}

/// Delivers the datagram twice, as a network may, and lets time pass.
fn receive(kind: Kind, bytes: Vec<u8>) {
    let mut subject = Subject::new(kind);
    let before = subject.node.stats().datagrams_in;
    let input = Input::Datagram { from: addr(2), bytes };
    subject.give(input.clone());
    subject.give(input);
    assert_eq!(subject.node.stats().datagrams_in, before + 2);
    subject.pass(Duration::from_secs(2));
    subject.check_replay();
}
