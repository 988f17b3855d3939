use alloc::string::ToString;
use core::net::Ipv4Addr;

use super::*;
use crate::roster::{Directory, Identity};
use crate::types::Tags;

const KEY: ComplaintKind = ComplaintKind::Refused(DropReason::Key);

fn roster(members: &[(&str, &str)]) -> Roster {
    let identity = |&(name, addr): &(&str, &str)| Identity::new(name, addr.parse().unwrap(), &Tags::default()).unwrap();
    Roster::new(Directory::new(members.iter().map(identity).collect::<Vec<_>>()), 1)
}

fn packet(addr: &str) -> PeerAt {
    PeerAt { addr: addr.parse().unwrap(), listens: true }
}

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

struct Log {
    complaints: Complaints,
    roster: Roster,
    lines: Vec<alloc::string::String>,
}

impl Log {
    fn new(members: &[(&str, &str)]) -> Self {
        Self { complaints: Complaints::default(), roster: roster(members), lines: Vec::new() }
    }

    fn note(&mut self, secs: u64, kind: ComplaintKind, peer: PeerAt, detail: &str) {
        let line = self.complaints.note(at(secs), kind, peer, detail, &self.roster);
        self.lines.extend(line.map(|line| line.text().to_string()));
    }

    fn sweep(&mut self, secs: u64) {
        if self.complaints.is_due(at(secs)) {
            let lines = &mut self.lines;
            self.complaints.sweep(at(secs), |line| lines.push(line.text().to_string()));
        }
    }
}

#[test]
fn a_complaint_is_logged_when_it_begins_while_it_lasts_and_when_it_ends() {
    let mut log = Log::new(&[("a", "10.0.0.1:7946"), ("c", "10.0.0.3:7946")]);
    for secs in 0..100 {
        for _ in 0..50 {
            log.note(secs, KEY, packet("10.0.0.3:7946"), "");
        }
        log.sweep(secs);
    }
    for secs in 100..400 {
        log.sweep(secs);
    }
    let [begun, lasts, last, over] = &log.lines[..] else { panic!("{:#?}", log.lines) };
    let what = "Decrypt packet failed: No installed keys could decrypt the message from=10.0.0.3:7946 (c)";
    assert!(begun.starts_with(what) && begun.ends_with("serf doctor 10.0.0.3:7946"), "{begun}");
    assert_eq!(*lasts, alloc::format!("{what}: still, 3050 times in 60 s"));
    assert_eq!(*last, alloc::format!("{what}: still, 5000 times in 180 s"));
    assert_eq!(*over, alloc::format!("{what}: over, none for 120 s (5000 times in 99 s before)"));
    assert!(log.complaints.is_empty() && log.complaints.iter().next().is_none());
}

#[test]
fn summaries_come_more_and_more_seldom() {
    let mut log = Log::new(&[]);
    for secs in 0..24 * 3600 {
        log.note(secs, KEY, packet("10.0.0.3:7946"), "");
        log.sweep(secs);
    }
    assert!((20..40).contains(&log.lines.len()), "{} lines in a day", log.lines.len());
}

#[test]
fn a_flood_of_forged_sources_makes_few_lines_and_a_small_table() {
    let mut log = Log::new(&[]);
    let mut source = 0_u32;
    for secs in 0..600 {
        for _ in 0..1000 {
            source += 1;
            let addr = SocketAddr::from((Ipv4Addr::from_bits(source.wrapping_mul(2_654_435_761)), 7946));
            log.note(secs, KEY, PeerAt { addr, listens: true }, "");
            log.note(secs, ComplaintKind::Refused(DropReason::Malformed), PeerAt { addr, listens: true }, "");
        }
        log.sweep(secs);
        assert_eq!(
            log.complaints.iter().count(),
            2 * (COMPLAINT_PEERS_OF_ONE_KIND_MAX + 1).min(if secs < 120 { 99 } else { 1 })
        );
    }
    // Per kind: one line at the start and one at the end for each peer with its own entry, and the shared entry with
    // its summaries.
    assert!(log.lines.len() <= 2 * (2 * COMPLAINT_PEERS_OF_ONE_KIND_MAX + 1 + 4), "{} lines", log.lines.len());
    assert_eq!(log.lines.iter().filter(|line| line.contains("from many addresses: from now on")).count(), 2);
}

#[test]
fn a_kind_that_overflows_leaves_room_for_others_until_the_table_is_full() {
    let mut log = Log::new(&[]);
    let kinds = DropReason::ALL.map(ComplaintKind::Refused);
    for kind in kinds {
        for last in 0..=u8::try_from(COMPLAINT_PEERS_OF_ONE_KIND_MAX).unwrap() {
            log.note(0, kind, packet(&alloc::format!("10.0.0.{last}:7946")), "");
        }
    }
    let named = log.complaints.iter().filter(|complaint| complaint.peer.is_some()).count();
    let together = log.complaints.iter().filter(|complaint| complaint.peer.is_none()).count();
    assert!(named <= COMPLAINT_PEERS_MAX && together == kinds.len(), "{named} and {together}");
}

#[test]
fn streams_from_any_port_and_packets_of_one_host_are_one_complaint() {
    let mut log = Log::new(&[("c", "10.0.0.3:7946")]);
    let stream = |port| PeerAt { addr: SocketAddr::from(([10, 0, 0, 3], port)), listens: false };
    for port in 50_000..50_100 {
        log.note(0, KEY, stream(port), "");
    }
    log.note(0, KEY, packet("10.0.0.3:7946"), "");
    let [line] = &log.lines[..] else { panic!("{:#?}", log.lines) };
    assert!(line.contains("from=10.0.0.3:7946 (c)"), "the only member of the host: {line}");
    assert_eq!(log.complaints.iter().next().map(|complaint| complaint.count), Some(101));
}

#[test]
fn the_port_of_a_client_is_not_given_to_doctor() {
    let mut log = Log::new(&[]);
    log.note(0, KEY, packet("10.0.0.3:45678"), "");
    assert!(
        log.lines[0].contains("from=10.0.0.3:45678:") && log.lines[0].ends_with("serf doctor 10.0.0.3"),
        "{:?}",
        log.lines
    );
}

#[test]
fn a_complaint_about_a_probe_ends_with_a_successful_probe_and_not_by_silence() {
    let mut log = Log::new(&[("h2", "10.0.0.2:7946")]);
    log.note(0, ComplaintKind::UdpBlocked, packet("10.0.0.2:7946"), "");
    let text = "Was able to connect to h2 (10.0.0.2:7946) over TCP but UDP probes failed, network may be misconfigured";
    assert!(log.lines[0].starts_with(text), "{:?}", log.lines);
    log.sweep(3600);
    assert_eq!((log.lines.len(), log.complaints.iter().count()), (1, 1));
    let over = log.complaints.withdraw(at(3605), ComplaintKind::UdpBlocked, "10.0.0.2:7946".parse().unwrap()).unwrap();
    assert!(over.text().ends_with("over, it works again (1 times in 3605 s before)"), "{}", over.text());
    assert!(log.complaints.is_empty());
}

#[test]
fn what_a_peer_says_is_quoted_without_control_characters_and_cut_off() {
    let mut log = Log::new(&[]);
    let name = alloc::format!("x\n\u{1b}[31m{}", "ü".repeat(300));
    log.note(0, ComplaintKind::Refused(DropReason::NotForUs), packet("10.0.0.3:7946"), &name);
    let line = &log.lines[0];
    assert!(!line.contains(char::is_control) && line.contains(r"\n\u{1b}[31mü"), "{line}");
    assert!(line.len() < COMPLAINT_DETAIL_BYTES_MAX + 200, "{} bytes", line.len());
}

#[test]
fn direct_pings_seem_blocked_only_after_several_in_a_row_that_needed_others() {
    let mut complaints = Complaints::default();
    let member = MemberIdx(7);
    for _ in 1..INDIRECT_IN_A_ROW {
        assert!(!complaints.probe_answered(member, false));
    }
    assert!(!complaints.probe_answered(member, true), "one that is direct begins anew");
    for _ in 1..INDIRECT_IN_A_ROW {
        assert!(!complaints.probe_answered(member, false));
    }
    assert!(complaints.probe_answered(member, false));
    for other in 100..100 + u32::try_from(INDIRECT_MEMBERS_MAX).unwrap() {
        complaints.probe_answered(MemberIdx(other), false);
    }
    assert!(!complaints.probe_answered(member, false), "of too many the oldest is forgotten");
    assert_eq!(complaints.indirect.len(), INDIRECT_MEMBERS_MAX);
}

#[test]
fn what_turns_the_direction_of_writing_is_quoted_and_quotation_marks_are_not() {
    let mut log = Log::new(&[]);
    log.note(0, ComplaintKind::Refused(DropReason::Versions), packet("10.0.0.3:7946"), "Node 'x\u{202e}y' is old");
    assert!(log.lines[0].starts_with(r"Node 'x\u{202e}y' is old from=10.0.0.3:7946"), "{:?}", log.lines);
}
