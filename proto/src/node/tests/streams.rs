use super::*;
use crate::limits::{STREAM_SILENT_MAX, STREAMS_INBOUND_MAX, STREAMS_PER_SOURCE_MAX};

/// Streams of one peer that the first node accepted, and those that the node closed.
struct Peer {
    cluster: Cluster,
    closed: Vec<StreamId>,
}

impl Peer {
    fn new(options: Options) -> Self {
        let mut cluster = Cluster::new(3);
        cluster.start(0, options);
        Self { cluster, closed: Vec::new() }
    }

    fn give<T>(&mut self, act: impl FnOnce(&mut Node, Instant, &mut Outbox) -> T) -> T {
        let (mut out, now) = (Outbox::new(), self.cluster.now);
        let given = act(self.cluster.nodes[0].as_mut().unwrap(), now, &mut out);
        self.closed.extend(out.drain().filter_map(|output| match output {
            Output::Close { stream } => Some(stream),
            _ => None,
        }));
        given
    }

    fn open(&mut self) -> StreamId {
        self.open_from(66)
    }

    /// Opens a stream from source number `source`.
    fn open_from(&mut self, source: u16) -> StreamId {
        let [a, b] = source.to_be_bytes();
        self.give(|node, now, out| node.accept(now, ([10, 1, a, b], 1).into(), out))
    }

    fn say(&mut self, stream: StreamId, bytes: &[u8]) {
        self.give(|node, now, out| node.handle_stream(now, stream, StreamInput::Data(bytes), out));
    }

    /// Advances the time of that node only.
    fn wait(&mut self, span: Duration) {
        self.cluster.now = self.cluster.now + span;
        self.give(|node, now, out| node.handle_timeout(now, out));
    }
}

#[test]
fn a_silent_stream_is_closed_after_2_s_and_a_begun_one_after_the_timeout() {
    let mut peer = Peer::new(Options::lan());
    let [silent, slow] = [(); 2].map(|()| peer.open());
    peer.say(slow, &[6]);
    let tick = Duration::from_nanos(1);
    peer.wait(STREAM_SILENT_MAX - tick);
    assert_eq!(peer.closed, []);
    peer.wait(tick);
    assert_eq!(peer.closed, [silent]);
    peer.wait(Options::lan().transport.stream_timeout - STREAM_SILENT_MAX - tick);
    assert_eq!(peer.closed, [silent]);
    peer.wait(tick);
    assert_eq!(peer.closed, [silent, slow]);
    assert_eq!(peer.cluster.nodes[0].as_ref().unwrap().streams_live(), 0);
}

#[test]
fn a_silent_stream_has_no_longer_than_the_stream_timeout() {
    let stream_timeout = Duration::from_millis(500);
    let mut peer = Peer::new(Options::lan().with(|options| options.transport.stream_timeout = stream_timeout));
    let silent = peer.open();
    peer.wait(stream_timeout);
    assert_eq!(peer.closed, [silent]);
}

#[test]
fn a_stream_that_gives_way_is_closed_and_counted() {
    let mut peer = Peer::new(Options::lan());
    let first = peer.open();
    for _ in 1..STREAMS_PER_SOURCE_MAX {
        peer.open();
    }
    assert_eq!((&peer.closed[..], dropped(&peer.cluster, 0, DropReason::Limit)), (&[][..], 0));
    peer.open();
    assert_eq!((&peer.closed[..], dropped(&peer.cluster, 0, DropReason::Limit)), (&[first][..], 1));
}

#[test]
fn a_node_is_joined_through_though_others_hold_all_its_streams() {
    for said in [&[][..], &[6], &[6, 0x83, 0xa4, b'J']] {
        let mut peer = Peer::new(Options::lan());
        for source in 0..STREAMS_INBOUND_MAX {
            let stream = peer.open_from(u16::try_from(source).unwrap());
            if !said.is_empty() {
                peer.say(stream, said);
            }
        }
        peer.cluster.run(Duration::from_secs(1));
        for at in 1..3 {
            let seeds = [addr(0)];
            peer.cluster.command(at, |node, now, out| node.join(now, &seeds, OldEvents::Ignore, out)).unwrap();
        }
        peer.cluster.run(Duration::from_secs(1));
        assert_eq!((peer.cluster.alive(1), peer.cluster.alive(2)), (3, 3), "{said:?}");
    }
}
