use super::*;
use crate::wire::Writer;
use crate::wire::serf::{List, MemberRecord, Message, QueryResponse};
use crate::{NameVerdict, NameVote, Versions};

impl Cluster {
    /// Starts another node under the name of a running one, and joins it.
    fn impostor(&mut self, at: usize, name: &str, via: usize) {
        let identity = Identity::new(name, addr(at), &Tags::default()).unwrap();
        let mut out = Outbox::new();
        let cfg = Arc::new(Config::new(Options::lan()).unwrap());
        let node = Node::new(cfg, &identity, &Seed::from_u64(50), self.now, Start::new(), &mut out);
        self.nodes[at] = Some(node);
        self.route(at, &mut out);
        self.command(at, |node, now, out| node.join(now, &[addr(via)], OldEvents::Deliver, out)).unwrap();
    }

    fn votes(&self, at: usize) -> Vec<NameVote> {
        let votes = self.events[at].iter().filter_map(|event| match event {
            Event::NameVote(vote) => Some(*vote),
            _ => None,
        });
        votes.collect()
    }
}

#[test]
fn of_two_claimants_of_a_name_the_majority_decides_and_the_loser_learns_it() {
    let mut cluster = Cluster::joined(5);
    cluster.nodes.push(None);
    cluster.events.push(Vec::new());
    cluster.records.push(Vec::new());
    cluster.impostor(5, "node-1", 0);
    cluster.run(Duration::from_secs(8));
    // The holder of the name need not learn of the other node; if it does, it starts a vote too, one for all conflicts.
    for _ in 0..3 {
        cluster.command(1, |node, now, out| {
            node.set_now(now);
            node.core.notify(Notification::Conflict(node.swim.me()));
            node.settle(None, out);
        });
    }
    cluster.run(Duration::from_secs(4));
    let verdicts = |at| cluster.votes(at).iter().map(|vote| vote.verdict).collect::<Vec<_>>();
    assert_eq!(verdicts(1), [NameVerdict::Kept], "one vote");
    assert_eq!(verdicts(5), [NameVerdict::Lost]);
    assert_eq!(cluster.votes(1)[0].against, 0);
}

#[test]
fn two_claimants_alone_do_not_shut_each_other_down() {
    let mut cluster = Cluster::new(2);
    cluster.impostor(1, "node-0", 0);
    cluster.command(0, |node, now, out| node.join(now, &[addr(1)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(8));
    for at in 0..2 {
        let votes = cluster.votes(at);
        assert!(!votes.is_empty(), "node {at} asked");
        assert!(votes.iter().all(|vote| vote.verdict == NameVerdict::Undecided), "node {at}: {votes:?}");
    }
}

impl Cluster {
    /// Claims a node's name from another address.
    fn claim(&mut self, at: usize) {
        self.command(at, |node, now, out| {
            node.set_now(now);
            node.core.notify(Notification::Conflict(node.swim.me()));
            node.settle(None, out);
        });
    }

    /// A packet from `from` in which `name` votes against the node that started the vote.
    fn vote_against(&mut self, at: usize, from: SocketAddr, name: &str) {
        let id = self.nodes[at].as_ref().unwrap().serf.asking().expect("it asks");
        let record = MemberRecord {
            name: "node-1",
            addr: Some(addr(9)),
            tags: List::EMPTY,
            status: 1,
            versions: Versions::HASHICORP,
        };
        let mut buf = [0; 512];
        let mut writer = Writer::new(&mut buf);
        Codec::HashiCorp.encode_serf(&Message::ConflictResponse(Some(record)), &mut writer).unwrap();
        let len = writer.len();
        let payload = &buf[..len];
        let response = QueryResponse { ltime: id.ltime(), id: id.number(), from: name, flags: 0, payload };
        let mut packet = [0; 1024];
        let mut writer = Writer::new(&mut packet);
        Codec::HashiCorp.begin_user(&mut writer).unwrap();
        Codec::HashiCorp.encode_serf(&Message::QueryResponse(response), &mut writer).unwrap();
        let len = writer.len();
        self.command(at, |node, now, out| node.handle_datagram(now, from, &packet[..len], out));
    }
}

#[test]
fn strangers_have_no_vote_on_a_name_whatever_names_they_answer_under() {
    let mut cluster = Cluster::joined(3);
    cluster.claim(1);
    for n in 0..20 {
        cluster.vote_against(1, addr(9), &format!("stranger-{n}"));
    }
    for name in ["node-0", "node-1", "node-2"] {
        cluster.vote_against(1, addr(9), name);
    }
    cluster.vote_against(1, addr(2), "node-0");
    assert_eq!(dropped(&cluster, 1, DropReason::Unexpected), 24);
    cluster.run(Duration::from_secs(8));
    let [vote] = cluster.votes(1)[..] else { panic!("{:?}", cluster.votes(1)) };
    assert_eq!((vote.for_us, vote.against, vote.verdict), (2, 0, NameVerdict::Kept), "the members' own votes count");
}

#[test]
fn a_member_first_heard_of_after_the_claim_has_no_vote_on_the_name() {
    let mut cluster = Cluster::new(3);
    cluster.command(1, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(5));
    cluster.claim(1);
    cluster.command(2, |node, now, out| node.join(now, &[addr(0)], OldEvents::Deliver, out)).unwrap();
    cluster.run(Duration::from_secs(1));
    assert_eq!(cluster.status(1, 2), Some(Status::Alive));
    cluster.vote_against(1, addr(2), "node-2");
    cluster.run(Duration::from_secs(60));
    cluster.claim(1);
    cluster.vote_against(1, addr(2), "node-2");
    cluster.run(Duration::from_secs(8));
    assert_eq!(cluster.votes(1).len(), 2);
    assert!(cluster.votes(1).iter().all(|vote| vote.against == 0), "{:?}", cluster.votes(1));
}

/// Delivers the leave of `node-1` to a node, and then its announcement at another address.
fn forge(cluster: &mut Cluster, at: usize) {
    use crate::wire::swim::{Accusation, Alive, Message, PeerRef};
    let peer = PeerRef { name: "node-1", addr: addr(9), meta: b"\xff\x80", versions: Versions::OURS };
    for message in [
        Message::Dead(Accusation { incarnation: 2, node: "node-1", from: "node-1" }),
        Message::Alive(Alive { incarnation: 3, peer }),
    ] {
        let mut frame = [0; 300];
        let mut writer = Writer::new(&mut frame);
        Codec::HashiCorp.encode(&message, &mut writer).unwrap();
        let len = writer.len();
        cluster.command(at, |node, now, out| node.handle_datagram(now, addr(9), &frame[..len], out));
    }
}

#[test]
fn a_forged_leave_and_a_forged_claim_do_not_take_the_name_of_a_running_node() {
    let mut cluster = Cluster::joined(4);
    for _ in 0..3 {
        [0, 2, 3].into_iter().for_each(|at| forge(&mut cluster, at));
        cluster.run(Duration::from_secs(3));
    }
    cluster.run(Duration::from_secs(10));
    for at in [0, 2, 3] {
        let member = cluster.nodes[at].as_ref().unwrap().member("node-1").unwrap();
        assert_eq!((member.status(), member.addr()), (Status::Alive, addr(1)), "at {at}");
    }
}

#[test]
fn a_node_that_left_is_back_at_once_under_another_address() {
    let mut cluster = Cluster::joined(4);
    cluster.command(1, |node, now, out| node.leave(now, out)).unwrap();
    cluster.run(Duration::from_secs(8));
    cluster.nodes[1] = None;
    cluster.nodes.push(None);
    cluster.events.push(Vec::new());
    cluster.records.push(Vec::new());
    cluster.impostor(4, "node-1", 0);
    cluster.run(Duration::from_secs(3));
    for at in [0, 2, 3] {
        let member = cluster.nodes[at].as_ref().unwrap().member("node-1").unwrap();
        assert_eq!((member.status(), member.addr()), (Status::Alive, addr(4)), "at {at}");
    }
}
