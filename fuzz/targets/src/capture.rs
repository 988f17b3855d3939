//! Files of a capture.

use serf_proto::{Concealer, Node};
use serf_tokio::capture::{Reader, Tail};

/// Reads a file of any bytes: what is read before a torn end is also read without that end. Secrets are replaced in every input.
/// The state is decoded only.
pub fn capture(data: &[u8]) {
    let Ok(mut reader) = Reader::new(data) else { return };
    let mut inputs: Vec<_> = reader.by_ref().collect();
    let intact = match reader.tail() {
        Tail::Complete => data.len(),
        Tail::Torn { bytes } => data.len() - bytes,
    };
    let mut again = Reader::new(&data[..intact]).expect("the head is before the torn end");
    assert_eq!(again.by_ref().collect::<Vec<_>>(), inputs, "the torn end changes what is read");
    assert_eq!(again.tail(), Tail::Complete);

    let mut key = |key: &mut [u8]| key.fill(1);
    let mut payload = |payload: &mut [u8]| payload.fill(2);
    let mut concealer = Concealer::keys(&mut key).and_payloads(&mut payload);
    for recorded in &mut inputs {
        recorded.input.conceal(&mut concealer);
    }
    // A state is decoded, and not run: a forged one may break what a node relies on.
    drop(Node::restore(&reader.head().checkpoint, None));
}
