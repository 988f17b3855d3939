//! Limits under hostile streams.

use super::*;
use crate::limits::{EVENT_RING_BYTES_MAX, STREAM_MESSAGE_BYTES_MAX, USER_EVENT_BYTES_MAX};
use crate::wire::hashicorp;
use crate::wire::hashicorp::PUSH_PULL;
use crate::wire::serf::{Clocks as Times, UserEvent};

impl Cluster {
    /// Sends `bytes` on a new stream and closes it. Returns the reply.
    fn stranger_says(&mut self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut out = Outbox::new();
        let now = self.now;
        let node = self.nodes[at].as_mut().unwrap();
        let stream = node.accept(now, addr(50), &mut out);
        node.handle_stream(now, stream, StreamInput::Opened, &mut out);
        node.handle_stream(now, stream, StreamInput::Data(bytes), &mut out);
        node.handle_stream(now, stream, StreamInput::Closed, &mut out);
        let mut answer = Vec::new();
        while let Some(output) = out.pop() {
            match output {
                Output::Write { bytes, .. } => answer.extend_from_slice(&bytes),
                Output::Event(event) => self.events[at].push(event),
                _ => {}
            }
        }
        answer
    }
}

/// A push/pull without members, with these user events.
fn push_pull(events: &[UserEvent<'_>]) -> Vec<u8> {
    let mut user = Vec::new();
    let last = events.last().map_or(1, |event| event.ltime + 1);
    let times = Times { member: 1, event: last, query: 1 };
    hashicorp::push_serf_state(&mut user, times, events, core::iter::empty());
    let mut message = Vec::new();
    hashicorp::begin_push_pull(&mut message, false, 0, u32::try_from(user.len()).unwrap());
    message.extend_from_slice(&user);
    message
}

#[test]
fn a_push_pull_is_answered_and_short_however_much_strangers_have_sent() {
    let mut cluster = Cluster::joined(2);
    let payload = vec![0; USER_EVENT_BYTES_MAX - 1];
    for round in 0..3_u64 {
        let event = |n| UserEvent { ltime: 500 * round + n, name: "e", payload: &payload, coalesce: false };
        let events: Vec<_> = (1..=500).map(event).collect();
        cluster.stranger_says(0, &push_pull(&events));
    }
    let long = vec![0; 15 << 20];
    cluster.stranger_says(0, &push_pull(&[UserEvent { ltime: 1600, name: "e", payload: &long, coalesce: false }]));
    let ring = cluster.nodes[0].as_ref().unwrap().usage().into_iter().find(|of| of.name == "event_ring_bytes").unwrap();
    assert_eq!(ring.limit, EVENT_RING_BYTES_MAX as u64);
    assert!(ring.used <= ring.limit && ring.used > ring.limit / 2, "{ring:?}");
    let answer = cluster.stranger_says(0, &push_pull(&[]));
    assert_eq!(answer[0], PUSH_PULL);
    assert!(answer.len() < 300 * 1024 && answer.len() > 200 * 1024, "{} bytes", answer.len());
    assert!(answer.len() < STREAM_MESSAGE_BYTES_MAX);
    cluster.start(1, Options::lan());
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    assert_eq!(cluster.alive(1), 2, "others can join through it");
}
