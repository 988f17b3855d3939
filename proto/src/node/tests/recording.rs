//! Taps, checkpoints, and the replay of recorded inputs.

extern crate std;

use std::sync::Mutex;

use super::*;
use crate::wire::Writer;
use crate::wire::serf::{self as wire, List, Source};
use crate::{Concealed, Concealer, Question};

/// Records the inputs of a node.
#[derive(Debug)]
struct Tape {
    secrets: bool,
    entries: Mutex<Vec<(Instant, Input, Option<Outputs>)>>,
}

impl Tape {
    /// With `secrets` the inputs are recorded as they are.
    fn new(secrets: bool) -> Arc<Self> {
        Arc::new(Self { secrets, entries: Mutex::new(Vec::new()) })
    }

    fn entries(&self) -> Vec<(Instant, Input, Option<Outputs>)> {
        self.entries.lock().unwrap().clone()
    }
}

impl Tap for Tape {
    fn input(&self, now: Instant, mut input: Input) {
        if !self.secrets {
            conceal(true, |concealer| input.conceal(concealer));
        }
        self.entries.lock().unwrap().push((now, input, None));
    }

    fn outputs(&self, outputs: Outputs) {
        self.entries.lock().unwrap().last_mut().unwrap().2 = Some(outputs);
    }
}

/// Replaces every byte of a key by its successor, and payloads by stars.
fn conceal(payloads: bool, act: impl FnOnce(&mut Concealer<'_>)) {
    let mut key = |key: &mut [u8]| key.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
    let mut payload = |payload: &mut [u8]| payload.fill(b'*');
    let concealer = Concealer::keys(&mut key);
    act(&mut if payloads { concealer.and_payloads(&mut payload) } else { concealer });
}

fn checkpoint(node: &Node) -> Vec<u8> {
    let mut saved = Vec::new();
    let mut nothing = |_: &mut [u8]| {};
    saved.extend(node.checkpoint(&mut Concealer::keys(&mut nothing)).unwrap());
    saved
}

fn replayed(checkpoint: &[u8], inputs: &[(Instant, Input, Option<Outputs>)]) -> Vec<(Instant, Input, Option<Outputs>)> {
    let mut node = Node::restore(checkpoint, None).unwrap();
    let tape = Tape::new(true);
    node.set_tap(Some(Arc::clone(&tape) as Arc<dyn Tap>));
    let mut out = Outbox::new();
    for (now, input, _) in inputs {
        node.apply(*now, input, &mut out);
        while out.pop().is_some() {}
    }
    tape.entries()
}

fn cluster_of(options: &Options, count: usize) -> Cluster {
    let mut cluster = Cluster::new(count);
    for at in 0..count {
        cluster.start(at, options.clone());
    }
    for at in 1..count {
        cluster.command(at, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    }
    cluster.run(Duration::from_secs(5));
    cluster
}

/// Events, a query, new tags, a member that crashes, one that leaves, a key that is installed and used.
fn live(cluster: &mut Cluster, new_key: Option<&Key>) {
    for n in 0..20 {
        cluster
            .command(n % 3, |node, now, out| node.user_event(now, "deploy", SECRET, Coalescing::Allow, out))
            .unwrap();
        cluster.run(Duration::from_millis(300));
    }
    let question = Question::new("uptime").with_payload(SECRET).with_acks();
    cluster.command(1, |node, now, out| node.query(now, &question, out)).unwrap();
    // Large answers, that of the recorded node and those that it fetches.
    cluster.run(Duration::from_millis(500));
    answer_largely(cluster);
    let tags = [("role".to_string(), "db".to_string())].into_iter().collect::<Tags>();
    cluster.command(1, |node, now, out| node.set_tags(now, &tags, out)).unwrap();
    if let Some(key) = new_key {
        for operation in [KeyOperation::Install, KeyOperation::Use] {
            cluster.command(1, |node, now, out| node.change_all_keys(now, operation, key.as_bytes(), 0, out)).unwrap();
            cluster.run(Duration::from_secs(10));
        }
        cluster.command(2, |node, now, out| node.change_all_keys(now, KeyOperation::List, &[], 1, out)).unwrap();
    }
    cluster.nodes[4] = None;
    cluster.run(Duration::from_secs(20));
    cluster.command(3, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_secs(40));
}

/// Every node answers the queries that it was delivered with more than a packet holds.
fn answer_largely(cluster: &mut Cluster) {
    for at in 0..cluster.nodes.len() {
        let queries = cluster.events[at].iter().filter_map(|event| match event {
            Event::Query(query) => Some(query.id),
            _ => None,
        });
        for id in queries.collect::<Vec<_>>() {
            _ = cluster.command(at, |node, now, out| node.respond(now, id, &SECRET.repeat(200), out));
        }
    }
}

fn key(byte: u8) -> Key {
    let bytes: Vec<u8> = (0..32).map(|n| byte.wrapping_mul(31).wrapping_add(n)).collect();
    Key::new(&bytes).unwrap()
}

fn encrypted() -> Options {
    Options::lan().with(|options| options.transport.encrypt_keys = [key(1)].into())
}

const SECRET: &[u8] = b"a payload that must not be recorded";

#[test]
fn a_restored_node_gives_the_outputs_of_the_saved_one_for_its_inputs() {
    let compressed = encrypted().hashicorp_pace().with(|options| options.transport.compression = true);
    let coalescing = Options::lan().with(|options| {
        options.serf.coalesce_period = Duration::from_secs(3);
        options.serf.quiescent_period = Duration::from_secs(1);
        options.serf.user_coalesce_period = Duration::from_secs(3);
        options.serf.user_quiescent_period = Duration::from_secs(1);
        options.serf.snapshot = true;
        options.transport.codec = CodecChoice::HashiCorp;
        options.transport.label = "dc1".into();
    });
    for options in [Options::lan(), encrypted(), compressed, coalescing] {
        let mut cluster = cluster_of(&options, 5);
        // In the middle of everything: events in the queues, a probe on the way, coalescers that hold events.
        cluster.command(2, |node, now, out| node.user_event(now, "early", b"1", Coalescing::Allow, out)).unwrap();
        cluster.run(Duration::from_millis(2));
        {
            let at = 1;
            let tape = Tape::new(true);
            let node = cluster.nodes[at].as_mut().unwrap();
            node.set_tap(Some(Arc::clone(&tape) as Arc<dyn Tap>));
            let saved = checkpoint(node);
            assert_eq!(checkpoint(&Node::restore(&saved, None).unwrap()), saved, "a copy of a copy");
            live(&mut cluster, None);
            let recorded = tape.entries();
            assert!(recorded.len() > 300 && recorded.iter().filter(|entry| entry.2.is_some()).count() > 100);
            let first = recorded.iter().zip(&replayed(&saved, &recorded)).position(|(a, b)| a != b);
            assert_eq!(first.map(|at| &recorded[at]), None, "input {first:?} of node {at}");
        }
    }
}

#[test]
fn a_recording_without_keys_and_payloads_still_shows_which_member_failed() {
    let new_key = key(2);
    let mut cluster = cluster_of(&encrypted(), 5);
    cluster.command(2, |node, now, out| node.user_event(now, "early", SECRET, Coalescing::Allow, out)).unwrap();
    let tape = Tape::new(false);
    let node = cluster.nodes[1].as_mut().unwrap();
    node.set_tap(Some(Arc::clone(&tape) as Arc<dyn Tap>));
    let mut saved = Vec::new();
    conceal(true, |concealer| saved = node.checkpoint(concealer).unwrap());
    live(&mut cluster, Some(&new_key));
    let installed: Vec<_> = cluster.nodes[1].as_ref().unwrap().keys().cloned().collect();
    assert_eq!(installed, [key(2), key(1)], "the key was changed");
    let recorded = tape.entries();
    let mut bytes = saved.clone();
    recorded.iter().for_each(|(_, input, _)| bytes.extend(postcard::to_allocvec(input).unwrap()));
    let later = checkpoint_concealed(cluster.nodes[1].as_ref().unwrap());
    bytes.extend(later);
    let has = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    for key in [key(1), key(2)] {
        assert!(!has(key.as_bytes()) && !has(key.to_base64().as_bytes()), "a key is in the recording");
    }
    assert!(!has(SECRET) && has(b"deploy") && has(b"node-4"));
    // The replacements of the keys are installed, and the members are as in the original.
    let mut replay = Node::restore(&saved, None).unwrap();
    let mut out = Outbox::new();
    for (now, input, _) in &recorded {
        replay.apply(*now, input, &mut out);
        while out.pop().is_some() {}
    }
    let original = cluster.nodes[1].as_ref().unwrap();
    let statuses = |node: &Node| node.members().map(|member| (member.name().to_string(), member.status())).collect();
    let (a, b): (Vec<_>, Vec<_>) = (statuses(&replay), statuses(original));
    assert_eq!(a, b);
    assert_eq!(replay.why("node-4").map(|why| why.gone), original.why("node-4").map(|why| why.gone));
    assert_eq!(replay.keys().len(), 2);
}

#[test]
fn with_replaced_keys_the_outputs_differ_in_content_only() {
    let new_key = key(2);
    let mut cluster = cluster_of(&encrypted(), 5);
    let tape = Arc::new(Tape { secrets: false, entries: Mutex::new(Vec::new()) });
    let keys_only = Arc::new(KeysOnly(Arc::clone(&tape)));
    let node = cluster.nodes[1].as_mut().unwrap();
    node.set_tap(Some(keys_only as Arc<dyn Tap>));
    let mut saved = Vec::new();
    conceal(false, |concealer| saved = node.checkpoint(concealer).unwrap());
    live(&mut cluster, Some(&new_key));
    let recorded = tape.entries();
    let shape = |entries: &[(Instant, Input, Option<Outputs>)]| {
        entries.iter().map(|(at, _, outputs)| (*at, outputs.map(|outputs| (outputs.count, outputs.shape)))).collect()
    };
    let (a, b): (Vec<_>, Vec<_>) = (shape(&recorded), shape(&replayed(&saved, &recorded)));
    assert_eq!(a, b);
}

/// Replaces keys, not payloads.
#[derive(Debug)]
struct KeysOnly(Arc<Tape>);

impl Tap for KeysOnly {
    fn input(&self, now: Instant, mut input: Input) {
        conceal(false, |concealer| input.conceal(concealer));
        self.0.entries.lock().unwrap().push((now, input, None));
    }

    fn outputs(&self, outputs: Outputs) {
        self.0.outputs(outputs);
    }
}

fn checkpoint_concealed(node: &Node) -> Vec<u8> {
    let mut saved = Vec::new();
    conceal(true, |concealer| saved = node.checkpoint(concealer).unwrap());
    saved
}

#[test]
fn a_checkpoint_has_the_large_answers_that_wait_and_conceals_their_payload() {
    let mut cluster = cluster_of(&Options::lan(), 2);
    cluster.command(0, |node, now, out| node.query(now, &Question::new("dump"), out)).unwrap();
    cluster.run(Duration::from_millis(500));
    answer_largely(&mut cluster);
    let node = cluster.nodes[1].as_ref().unwrap();
    let has = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET);
    assert!(has(&checkpoint(node)) && !has(&checkpoint_concealed(node)));
}

#[test]
fn damaged_bytes_are_no_checkpoint() {
    let cluster = Cluster::joined(3);
    let saved = checkpoint(cluster.nodes[0].as_ref().unwrap());
    assert!(Node::restore(&saved, None).is_ok());
    for len in (0..saved.len()).step_by(7) {
        assert!(Node::restore(&saved[..len], None).is_err(), "{len} of {} bytes", saved.len());
    }
}

#[test]
fn a_node_with_a_shared_directory_has_no_checkpoint() {
    let peer = Identity::new("b", addr(1), &Tags::default()).unwrap();
    let directory = Directory::new([peer]);
    let mut cluster = Cluster::new(1);
    cluster.start_as(0, Options::lan(), Start::new().with_directory(directory));
    let mut nothing = |_: &mut [u8]| {};
    let saved = cluster.nodes[0].as_ref().unwrap().checkpoint(&mut Concealer::keys(&mut nothing));
    assert_eq!(saved, Err(Unsaved));
}

/// What is left of a packet, and what was replaced in it.
fn concealed_packet(packet: &[u8]) -> (Vec<u8>, Concealed) {
    let mut packet = packet.to_vec();
    let (mut key, mut payload) = (|key: &mut [u8]| key.fill(1), |payload: &mut [u8]| payload.fill(b'*'));
    let mut concealer = Concealer::keys(&mut key).and_payloads(&mut payload);
    concealer.packet(&mut packet);
    (packet, concealer.concealed())
}

#[test]
fn a_question_for_the_keys_counts_as_a_secret_since_the_answers_have_them() {
    let mut cluster = cluster_of(&encrypted(), 2);
    let tapes = [0, 1].map(|at: usize| {
        let tape = Tape::new(true);
        cluster.nodes[at].as_mut().unwrap().set_tap(Some(Arc::clone(&tape) as Arc<dyn Tap>));
        tape
    });
    let has_keys = |input: &Input| {
        let mut key = |key: &mut [u8]| key.fill(1);
        let mut concealer = Concealer::keys(&mut key);
        input.clone().conceal(&mut concealer);
        concealer.concealed().keys
    };
    let found = |cluster: &mut Cluster| {
        cluster.run(Duration::from_secs(2));
        tapes.each_ref().map(|tape| tape.entries().iter().any(|(_, input, _)| has_keys(input)))
    };
    assert_eq!(found(&mut cluster), [false, false]);
    cluster.command(0, |node, now, out| node.change_all_keys(now, KeyOperation::List, &[], 0, out)).unwrap();
    let command = tapes[0].entries().pop().unwrap().1;
    assert!(matches!(command, Input::ChangeAllKeys { .. }) && has_keys(&command), "{command:?}");
    assert_eq!(found(&mut cluster), [true, true]);
    // A request that is not in Serf's form is answered, too.
    let source = Source { addr: addr(1), node: "a" };
    let ask = |name| {
        let query = wire::Query {
            ltime: 1,
            id: 1,
            source,
            flags: 0,
            relay_factor: 0,
            timeout: Duration::from_secs(1),
            name,
            payload: &[],
            filters: List::default(),
        };
        let mut buf = [0; 256];
        let mut writer = Writer::new(&mut buf);
        Codec::HashiCorp.begin_user(&mut writer).unwrap();
        Codec::HashiCorp.encode_serf(&wire::Message::Query(query), &mut writer).unwrap();
        let len = writer.len();
        concealed_packet(&buf[..len]).1.keys
    };
    assert!(ask("_serf_list-keys") && !ask("_serf_ping"));
}

#[test]
fn what_no_node_reads_of_a_packet_is_blanked() {
    const COMPOUND: u8 = 7;
    let ping = [&[0_u8][..], b"\x81\xa5SeqNo\x01"].concat();
    let cut = [&[COMPOUND, 1][..], &u16::try_from(ping.len()).unwrap().to_be_bytes(), &ping, SECRET].concat();
    let (left, _) = concealed_packet(&cut);
    assert_eq!(left, [&cut[..cut.len() - SECRET.len()], &[0xff; 35][..SECRET.len()]].concat());
}
