//! A sequence of node inputs with pauses between them.

use std::time::Duration;

use serf_proto::{CodecChoice, Input};

use crate::subject::{Kind, Subject, asked};

/// A pause in milliseconds, then an input.
pub type Step = (u16, Input);

/// Maximum number of steps.
const STEPS_MAX: usize = 64;

/// Runs a sequence of steps, encoded with postcard, on a node with a label and a key, or without if the first byte is
/// even.
pub fn node_inputs(data: &[u8]) {
    let Some((how, mut rest)) = data.split_first() else { return };
    let kind = Kind { codec: CodecChoice::Auto, is_sealed: how & 1 != 0 };
    let (mut subject, asked) = (Subject::new(kind), asked(kind));
    for _ in 0..STEPS_MAX {
        let Ok(((pause, input), tail)) = postcard::take_from_bytes::<Step>(rest) else { break };
        rest = tail;
        subject.pass(Duration::from_millis(pause.into()));
        // Query IDs are random, so zero stands for the node's own running query.
        let input = match input {
            Input::EndQuery(id) if id.number() == 0 => Input::EndQuery(asked),
            Input::HoldAnswers { query, is_held } if query.number() == 0 => {
                Input::HoldAnswers { query: asked, is_held }
            }
            input => input,
        };
        subject.give(input);
    }
    subject.pass(Duration::from_secs(5));
    subject.check_replay();
}

/// Encodes steps as an input of [`node_inputs`].
///
/// # Panics
///
/// Never: a vector has room.
pub fn encode_steps(has_key: bool, steps: &[Step]) -> Vec<u8> {
    let mut data = vec![u8::from(has_key)];
    for step in steps {
        data.extend(postcard::to_allocvec(step).expect("a vector has room"));
    }
    data
}
