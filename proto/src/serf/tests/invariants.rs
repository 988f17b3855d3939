//! Invariants that hold after any sequence of inputs.

use alloc::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::event::MemberEventKind;
use crate::serf::row::Row;

/// An input. Names are `a` (this node) to `d`.
#[derive(Clone, Debug)]
enum Happening {
    /// Membership toggles a member: alive if it was not, gone if it was.
    Turns(char),
    /// Membership evicts a member that is gone.
    Forgotten(char),
    Join(char, u64),
    Leave(char, u64, bool),
    Event(u64, char),
    Merge {
        clocks: [u64; 3],
        members: Vec<(char, u64, bool)>,
        events: Vec<u64>,
        ignore_old: bool,
    },
    Pass(u64),
    Packet,
    OwnEvent,
    AnnounceJoin,
    ForceLeave(char, bool),
    LeaveOurselves,
}

fn name() -> impl Strategy<Value = char> {
    prop::sample::select(vec!['a', 'b', 'c', 'd'])
}

fn other() -> impl Strategy<Value = char> {
    prop::sample::select(vec!['b', 'c', 'd'])
}

fn ltime() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0_u64..30, 1 => Just(u64::MAX), 1 => Just(1_u64 << 40), 1 => Just((1_u64 << 52) - 1)]
}

fn happening() -> impl Strategy<Value = Happening> {
    let member = (name(), 0_u64..30, any::<bool>());
    let merge =
        (any::<[u8; 3]>(), prop::collection::vec(member, 0..5), prop::collection::vec(0_u64..30, 0..3), any::<bool>());
    prop_oneof![
        8 => other().prop_map(Happening::Turns),
        3 => other().prop_map(Happening::Forgotten),
        6 => (name(), ltime()).prop_map(|(name, ltime)| Happening::Join(name, ltime)),
        6 => (name(), ltime(), any::<bool>()).prop_map(|(name, ltime, prune)| Happening::Leave(name, ltime, prune)),
        3 => (ltime(), name()).prop_map(|(ltime, name)| Happening::Event(ltime, name)),
        3 => merge.prop_map(|(clocks, members, events, ignore_old)| {
            Happening::Merge { clocks: clocks.map(|time| u64::from(time % 32)), members, events, ignore_old }
        }),
        4 => prop_oneof![0_u64..20, Just(400), Just(100_000)].prop_map(Happening::Pass),
        5 => Just(Happening::Packet),
        1 => Just(Happening::OwnEvent),
        1 => Just(Happening::AnnounceJoin),
        2 => (other(), any::<bool>()).prop_map(|(name, prune)| Happening::ForceLeave(name, prune)),
        1 => prop::bool::weighted(0.2).prop_map(|leave| if leave { Happening::LeaveOurselves } else { Happening::Packet }),
    ]
}

/// The members that membership holds, and whether they are alive. Notifies every change exactly once.
type Membership = BTreeMap<char, bool>;

fn happen(lone: &mut Lone, membership: &mut Membership, happening: &Happening) {
    let text = ToString::to_string;
    match happening {
        Happening::Turns(name) if membership.get(name) == Some(&true) => {
            membership.insert(*name, false);
            lone.gone(&text(name));
        }
        Happening::Turns(name) => {
            membership.insert(*name, true);
            lone.alive(&text(name));
        }
        Happening::Forgotten(name) => {
            if membership.get(name) == Some(&false) {
                membership.remove(name);
                lone.forgotten_by_swim(&text(name));
            }
        }
        Happening::Join(name, ltime) => hear_join(lone, &text(name), *ltime),
        Happening::Leave(name, ltime, false) => lone.hear_leave(&text(name), *ltime),
        Happening::Leave(name, ltime, true) => lone.hear_prune(&text(name), *ltime),
        Happening::Event(ltime, name) => lone.hear_event(*ltime, &text(name), b""),
        Happening::Merge { clocks: [member, event, query], members, events, ignore_old } => {
            let clocks = Clocks { member: *member, event: *event, query: *query };
            let names: Vec<String> = members.iter().map(|(name, ..)| text(name)).collect();
            let members: Vec<_> = names.iter().zip(members).map(|(name, (_, l, left))| (&**name, *l, *left)).collect();
            let events: Vec<_> =
                events.iter().map(|&ltime| UserEvent { ltime, name: "b", payload: b"", coalesce: false }).collect();
            lone.merge(clocks, &members, &events, *ignore_old);
        }
        Happening::Pass(seconds) => lone.run(secs(*seconds)),
        Happening::Packet => {
            let packet = lone.packet();
            let members: Vec<&String> = packet.iter().filter(|word| !word.starts_with("user")).collect();
            let mut names: Vec<_> = members.iter().map(|word| word.split(['@', ' ']).nth(1)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), members.len(), "a member stands once in a packet: {packet:?}");
        }
        Happening::OwnEvent => lone.serf.user_event(&mut lone.core, "own", b"", false).unwrap(),
        Happening::AnnounceJoin if !lone.serf.intents.is_leaving() => lone.serf.announce_join(&mut lone.core),
        Happening::AnnounceJoin => {}
        Happening::ForceLeave(name, prune) => lone.serf.force_leave(&mut lone.core, &text(name), *prune).unwrap(),
        Happening::LeaveOurselves if !lone.serf.intents.is_leaving() => {
            lone.serf.leave(&mut lone.core);
        }
        Happening::LeaveOurselves => {}
    }
}

/// Handles a join intent as the node does: a repeat is not decoded. If the layer reports a repeat, handling it must
/// change nothing.
fn hear_join(lone: &mut Lone, name: &str, ltime: u64) {
    let repeat = lone.core.roster.find(name).is_some_and(|idx| lone.serf.is_repeat(idx, ltime));
    if !repeat {
        return lone.hear_join(name, ltime);
    }
    let mut clone = lone.clone();
    clone.hear_join(name, ltime);
    assert_eq!(format!("{clone:?}"), format!("{lone:?}"), "a repeat changes nothing");
}

fn check(lone: &Lone, membership: &Membership) {
    let serf = &lone.serf;
    let of = |status| {
        let rows = serf.members.rows().filter(move |(_, row)| row.status() == Some(status));
        rows.map(|(idx, _)| idx).collect::<BTreeSet<_>>()
    };
    let counted = [Status::Alive, Status::Leaving, Status::Left, Status::Failed].map(|status| of(status).len());
    assert_eq!(serf.members.known() as usize, counted.iter().sum::<usize>());
    let (failed, left): (Vec<_>, Vec<_>) = (serf.members.failed().collect(), serf.members.left().collect());
    for (list, status) in [(failed, Status::Failed), (left, Status::Left)] {
        let listed: BTreeSet<_> = list.iter().copied().collect();
        assert_eq!((list.len(), &listed), (listed.len(), &of(status)), "{status}");
    }
    assert_eq!(serf.intents.queued(), serf.members.rows().filter(|(_, row)| row.sends().is_some()).count());
    assert!(serf.intents.places() >= serf.intents.queued());
    let clock = serf.times().member;
    for (idx, row) in serf.members.rows() {
        assert!(row.ltime() < clock || row.ltime() == 0, "the clock is after every time that it has seen");
        let waits = serf.intents.waiting().filter(|early| *early == idx).count();
        assert!(waits <= 1, "nobody waits twice");
        assert!(row.status().is_some() || row.intent().is_some() == (waits == 1), "who is heard of early waits");
        assert!(row.status().is_some() || row.intent().is_some() || row == Row::default());
    }
    for (&name, &alive) in membership {
        let status = lone.status(&name.to_string());
        let live = matches!(status, Some(Status::Alive | Status::Leaving));
        assert_eq!(live, alive, "{name} is {status:?}");
    }
}

proptest! {
    #[test]
    fn the_table_stays_sound_whatever_happens(happenings in prop::collection::vec(happening(), 1..80), depth in 1_u32..6) {
        let options = Options::lan().with(|options| {
            options.serf.queue_depth_max = depth;
            options.serf.event_buffer = 8;
        });
        let mut lone = Lone::with(options, &[]);
        let mut membership = Membership::from([('a', true)]);
        let mut delivered = BTreeSet::new();
        for happening in &happenings {
            let before = lone.serf.times();
            happen(&mut lone, &mut membership, happening);
            if lone.serf.intents.is_leaving() {
                membership.remove(&'a');
            }
            check(&lone, &membership);
            let after = lone.serf.times();
            prop_assert!(
                after.member >= before.member && after.event >= before.event && after.query >= before.query,
                "no clock goes back"
            );
            let depths = lone.serf.queue_depths();
            prop_assert!(depths.intents <= depth as usize && depths.events <= depth as usize);
            for event in mem::take(&mut lone.core.events) {
                match event {
                    Event::User(event) => {
                        let identity = (event.ltime, event.name.clone(), event.payload.clone());
                        prop_assert!(delivered.insert(identity), "twice: {event:?}");
                    }
                    Event::Member(event) => {
                        let ends = matches!(event.kind, MemberEventKind::Leave | MemberEventKind::Failed);
                        let is_gone = |member: &Member| matches!(member.status(), Status::Left | Status::Failed);
                        prop_assert!(!ends || event.members.iter().all(is_gone), "{event:?}");
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            lone.core.notifications.clear();
        }
    }
}
