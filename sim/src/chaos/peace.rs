//! What must be so once faults are over.

use core::time::Duration;

use serf_proto::limits::STREAM_MESSAGE_BYTES_MAX;
use serf_proto::{Config, Rng, Seed};

use crate::bounds::Bounds;
use crate::check::{Finding, Violation};
use crate::command::QueryParams;
use crate::hostile::Ending;
use crate::truth::{Aim, HostState, Watch};
use crate::world::{Fault, World, WorldOptions};

/// Makes peace, and examines the world then.
pub(super) struct Peace<'a> {
    world: &'a mut World,
    bounds: Bounds,
    config: &'a Config,
    /// How many nodes have started.
    started: u32,
    rng: Rng,
    pub(super) violations: Vec<Violation>,
    pub(super) deaf: Vec<u32>,
    pub(super) content_bytes_max: usize,
}

impl<'a> Peace<'a> {
    pub(super) fn new(world: &'a mut World, options: &'a WorldOptions, started: u32, seed: u64) -> Self {
        let bounds = Bounds::new(options.nodes, &options.config);
        let rng = Rng::stream(&Seed::from_u64(seed).child(CHILD_PEACE), 0);
        let (violations, deaf) = (Vec::new(), Vec::new());
        Self { world, bounds, config: &options.config, started, rng, violations, deaf, content_bytes_max: 0 }
    }

    /// Ends every fault: stalled processes go on, crashed ones return, the network is whole and loses nothing more, the attacker is
    /// silent. Who left stays away.
    pub(super) fn make(&mut self, ending: Option<Ending>) {
        let world = &mut *self.world;
        world.inject(Fault::Heal);
        world.mend_links();
        for node in world.all(HostState::Paused) {
            world.inject(Fault::Resume(node));
        }
        for node in world.all(HostState::Crashed) {
            world.inject(Fault::Return(node));
        }
        world.settle_departures();
        if let Some(ending) = ending {
            world.end_hostile(ending);
        }
    }

    /// Waits as long as agreement may take and looks at everything. `is_hostile`: there was an attacker.
    pub(super) fn examine(&mut self, is_hostile: bool) {
        self.weigh();
        self.world.run_for(self.bounds.heal() + Bounds::exorcism(self.started, self.world.ghosts(), self.config));
        if is_hostile {
            self.world.run_for(self.bounds.direct(self.started));
        }
        self.agree();
        self.weigh();
        if is_hostile {
            self.weigh_answers();
            self.admit_newcomers();
        } else {
            self.violations.extend(self.world.missed_events());
        }
        self.begin(Aim::Nothing);
        self.speak();
        self.be_calm();
        self.ask();
        self.bury();
        self.collect();
    }

    /// Every node sees every member as it is.
    fn agree(&mut self) {
        let wrong = self.world.discords(VIOLATIONS_SHOWN);
        self.violations.extend(wrong);
    }

    /// No node remembers more than it may: of members as much as a push/pull can tell, and a share of it for all else.
    fn weigh(&mut self) {
        for node in self.world.all(HostState::Up) {
            let bytes = self.world.content_bytes(node);
            self.content_bytes_max = self.content_bytes_max.max(bytes);
            let (known, told) = self.world.members_weight(node);
            let bound = CONTENT_BYTES_MAX + known * MEMBER_CONTENT_BYTES_MAX;
            if bytes > bound {
                self.note(node, Finding::ContentTooLarge { bytes, bound });
            }
            if told > STREAM_MESSAGE_BYTES_MAX {
                self.note(node, Finding::ContentTooLarge { bytes: told, bound: STREAM_MESSAGE_BYTES_MAX });
            }
        }
    }

    /// No stranger was answered with more than it sent, or one ping.
    fn weigh_answers(&mut self) {
        let (bytes_in, bytes_out) = self.world.tally().hostile.worst;
        if bytes_out > bytes_in + PING_BYTES {
            self.note(0, Finding::Amplified { bytes_in, bytes_out });
        }
    }

    /// Nodes that never heard of the attack join, and are members as all others.
    fn admit_newcomers(&mut self) {
        self.world.join_through_all();
        for node in self.started..self.world.nodes() {
            self.world.start(node, &[]);
            self.world.join(node);
        }
        self.world.run_for(self.bounds.join());
        self.agree();
    }

    /// What some say is heard by all, and the new tags of one are seen by all.
    fn speak(&mut self) {
        let up = self.world.all(HostState::Up);
        let drawn = up[self.rng.below(count(up.len())) as usize];
        let last = up[up.len() - 1];
        self.world.listen_for(PEACE);
        // Node 0 is always up. The last is one of those that know nothing of the past, where there are such.
        for (nth, node) in [0, drawn, last].into_iter().enumerate() {
            self.world.user_event(node, PEACE, &[u8::try_from(nth).expect("there are three")]);
        }
        self.world.inject(Fault::Role(drawn));
        self.world.run_for(self.bounds.event());
        self.deaf = self.world.not_heard(3);
        self.agree();
    }

    /// With nothing wrong since the newcomers came, no node that is up is held for failed.
    fn be_calm(&mut self) {
        let tally = self.world.tally();
        if tally.false_failures > 0 {
            let (members, times) = (tally.falsely_failed.len(), tally.false_failures);
            self.note(tally.falsely_failed.first().copied().unwrap_or(0), Finding::FailedInPeace { members, times });
        }
    }

    /// What one asks is answered by all.
    fn ask(&mut self) {
        let up = self.world.all(HostState::Up);
        let asker = up[self.rng.below(count(up.len())) as usize];
        self.begin(Aim::Answers { asker });
        self.world.query(asker, QueryParams { relay_factor: 0, answer_bytes: 8 });
        self.await_all(self.bounds.query(ROUNDS), |_| Finding::NoAnswer { asker });
    }

    /// When one crashes, all notice in time.
    fn bury(&mut self) {
        let mut up = self.world.all(HostState::Up);
        up.retain(|node| *node != 0);
        if up.is_empty() {
            return;
        }
        let member = up[self.rng.below(count(up.len())) as usize];
        self.world.set_subjects(&[member]);
        self.world.inject(Fault::Crash(member));
        let status = serf_proto::Status::Failed;
        self.begin(Aim::Views { status, watch: Watch::SubjectsByOthers });
        self.await_all(self.bounds.crash(), |_| Finding::CrashUnseen { member });
    }

    /// Runs until the goal is reached, for `time` at the most, and notes what `finding` says of each node for which it is not.
    fn await_all(&mut self, time: Duration, finding: impl Fn(u32) -> Finding) {
        let until = self.world.now() + time;
        self.world.run(until, &mut |_| false);
        let (_, missing) = self.world.missing(VIOLATIONS_SHOWN);
        for (node, _) in missing {
            self.note(node, finding(node));
        }
    }

    /// Counts anew, and keeps what was found so far.
    fn begin(&mut self, aim: Aim) {
        self.collect();
        self.world.begin(aim);
    }

    fn collect(&mut self) {
        self.violations.extend(self.world.violations());
    }

    fn note(&mut self, node: u32, finding: Finding) {
        self.violations.push(Violation { at: self.world.now(), node, finding });
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("nodes are counted in 32 bits")
}

/// The events that all must hear in the end.
const PEACE: &str = "peace";

/// How often a query is asked until all must have answered: gossip is random.
const ROUNDS: u32 = 5;

const VIOLATIONS_SHOWN: usize = 5;

/// What a node may remember besides its members.
const CONTENT_BYTES_MAX: usize = 8 << 20;

/// What it may remember of a member: the longest name, in several places, and the longest metadata, of which a byte takes up to four
/// in text.
const MEMBER_CONTENT_BYTES_MAX: usize = 6 << 10;

/// By how much a ping of the address that an alive message claims may be longer than that message: both have a name and an address, and
/// the ping those of its sender besides.
const PING_BYTES: u64 = 64;

/// Apart from what a world draws from its seed.
const CHILD_PEACE: u64 = 1_002;
