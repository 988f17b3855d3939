//! Runs the faults of a world, then the quiet period with its checks.

use core::time::Duration;

use serf_proto::limits::STREAM_MESSAGE_BYTES_MAX;
use serf_proto::{CodecChoice, Node, Rng, Seed};

use super::invariants::{self, Invariants};
use super::world::ChaosWorld;
use crate::bounds::Bounds;
use crate::check::{Finding, Violation};
use crate::command::QueryParams;
use crate::truth::{Aim, HostState, Watch};
use crate::world::{Fault, World, WorldOptions};

/// Ends all faults and checks the world.
pub(super) struct FinalChecks<'a> {
    world: &'a mut World,
    bounds: Bounds,
    options: &'a WorldOptions,
    drawn: &'a ChaosWorld,
    invariants: Invariants,
    rng: Rng,
    pub(super) violations: Vec<Violation>,
    pub(super) deaf: Vec<u32>,
    pub(super) content_bytes_max: usize,
    /// Whether the nodes agreed only after a join.
    pub(super) was_joined_again: bool,
}

impl<'a> FinalChecks<'a> {
    pub(super) fn new(world: &'a mut World, options: &'a WorldOptions, drawn: &'a ChaosWorld) -> Self {
        let bounds = Bounds::new(options.nodes, &options.config);
        let rng = Rng::stream(&Seed::from_u64(drawn.seed).child(CHILD_PEACE), 0);
        let invariants = Invariants::default();
        let (violations, deaf) = (Vec::new(), Vec::new());
        let (content_bytes_max, was_joined_again) = (0, false);
        Self { world, bounds, options, drawn, invariants, rng, violations, deaf, content_bytes_max, was_joined_again }
    }

    pub(super) const fn world(&self) -> &World {
        self.world
    }

    /// Runs the time of the faults.
    pub(super) fn run_faults(&mut self) {
        self.wait(self.drawn.faults_time, |_| false);
    }

    /// Ends every fault: resumes stalled processes, restarts crashed ones, removes all network rules and losses, and
    /// silences the attacker. Nodes that left stay away.
    pub(super) fn end_faults(&mut self) {
        let world = &mut *self.world;
        world.inject(Fault::Heal);
        world.mend_links();
        for node in world.all(HostState::Paused) {
            world.inject(Fault::Resume(node));
        }
        for node in world.all(HostState::Crashed) {
            world.inject(Fault::Return(node));
        }
        if let Some(hostile) = self.drawn.hostile {
            world.end_hostile(hostile.after_attack);
        }
    }

    /// Waits for the time that agreement may take and runs all checks.
    pub(super) fn run(&mut self) {
        let (is_hostile, started) = (self.drawn.hostile.is_some(), self.drawn.nodes);
        self.check_memory();
        let ghost_removal = Bounds::ghost_removal(started, self.world.ghosts(), &self.options.config);
        let direct = if is_hostile { self.bounds.direct(started) } else { Duration::ZERO };
        self.wait(self.bounds.heal() + ghost_removal + direct, Self::is_settled);
        self.wait_for_few();
        if !self.world.wrong_views(1).is_empty() && (is_hostile || !self.world.links().are_connected) {
            self.join_again();
        }
        self.check_agreement();
        self.check_memory();
        if is_hostile {
            self.check_amplification();
            self.admit_newcomers();
        } else {
            self.violations.extend(self.missed_events());
        }
        self.violations.extend(self.invariants.look_settled(self.world, is_hostile));
        self.begin(Aim::Nothing);
        self.speak();
        self.check_no_failures();
        self.check_query();
        self.check_crash_detection();
        if self.drawn.awaits_reaping {
            self.check_reaping();
        }
        self.collect();
    }

    /// Runs for `time`, or until `is_done`, and looks at the invariants on the way. Worlds that wait the longest run for all
    /// of it.
    fn wait(&mut self, time: Duration, is_done: impl Fn(&Self) -> bool) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            self.world.run_for(LOOK_EVERY.min(until - self.world.now()));
            // A leave may have begun when the faults ended.
            self.world.settle_departures();
            let is_hostile = self.drawn.hostile.is_some();
            let found = self.invariants.look(self.world, &self.options.config, is_hostile);
            // A rule that is violated stays so.
            let known = |violation: &Violation| self.violations.iter().any(|known| known.finding == violation.finding);
            let new: Vec<Violation> = found.into_iter().filter(|violation| !known(violation)).collect();
            self.violations.extend(new);
            if !self.drawn.waits_longest && is_done(self) {
                return;
            }
        }
    }

    /// Gives reconnects more time where fewer attempts than one per interval are to be expected, because only a few nodes
    /// know the failed members: the others restarted meanwhile.
    fn wait_for_few(&mut self) {
        if self.is_settled() {
            return;
        }
        let (up, failed) = (count(self.world.all(HostState::Up).len()), self.world.links().failed);
        if (1..up).contains(&failed) {
            self.wait(up.div_ceil(failed) * self.bounds.reconnects() + self.bounds.rejoin(), Self::is_settled);
        }
    }

    /// Whether nothing is left to settle: all views are right, no event is missing, no member is suspected or invented,
    /// and every node is healthy enough to probe at the full rate.
    fn is_settled(&self) -> bool {
        let up = self.world.all(HostState::Up);
        // The hostile host's node may be alive, too.
        let live_max = up.len() + usize::from(self.drawn.hostile.is_some());
        let is_quiet = |node: &u32| {
            self.world.node(*node).is_some_and(|node| {
                let counts = node.member_counts();
                counts.suspected == 0 && counts.live <= live_max && node.health_score() == 0
            })
        };
        up.iter().all(is_quiet)
            && invariants::clocks_are_close(self.world)
            && (self.drawn.hostile.is_some() || self.missed_events().is_empty())
            // Last: it compares all pairs.
            && self.world.wrong_views(1).is_empty()
    }

    /// The nodes that missed events. With HashiCorp's codec a push/pull delivers what gossip missed, with a random member
    /// each time, and a node that returned from its snapshot does not have it: the rule is about events that a quarter of
    /// the members can deliver. Where all compare digests, a single holder is found by its pings.
    fn missed_events(&self) -> Vec<Violation> {
        let transport = &self.drawn.options.transport;
        let compares = transport.digests && transport.codec != CodecChoice::HashiCorp && !self.drawn.mixed_codecs;
        let up = self.world.all(HostState::Up).len();
        self.world.missed_events(if compares { 1 } else { up.div_ceil(4) })
    }

    /// Checks that every node sees every member in its true state.
    fn check_agreement(&mut self) {
        let wrong = self.world.wrong_views(VIOLATIONS_SHOWN);
        self.violations.extend(wrong);
    }

    /// Checks that no node's state exceeds its bound: per member the size of a push/pull record, the incomplete messages of
    /// its streams, which have a bound of their own, and a fixed share for the rest.
    fn check_memory(&mut self) {
        for node in self.world.all(HostState::Up) {
            let bytes = self.world.content_bytes(node);
            self.content_bytes_max = self.content_bytes_max.max(bytes);
            let (known, sent) = self.world.members_weight(node);
            let unfinished = self.world.node(node).map_or(0, Node::streams_unfinished_bytes);
            let bound = CONTENT_BYTES_MAX + known * MEMBER_CONTENT_BYTES_MAX + unfinished * BYTE_CONTENT_BYTES;
            if bytes > bound {
                self.note(node, Finding::ContentTooLarge { bytes, bound });
            }
            if sent > STREAM_MESSAGE_BYTES_MAX {
                self.note(node, Finding::ContentTooLarge { bytes: sent, bound: STREAM_MESSAGE_BYTES_MAX });
            }
        }
    }

    /// Checks the amplification: no non-member was answered with more than it sent, or with one ping.
    fn check_amplification(&mut self) {
        let (bytes_in, bytes_out) = self.world.tally().hostile.worst;
        if bytes_out > bytes_in + PING_BYTES {
            self.note(0, Finding::Amplified { bytes_in, bytes_out });
        }
    }

    /// Lets all nodes join once more. Forged leaves, together with restarts and cuts, may split a cluster in two halves that
    /// do not know each other any more; SECURITY.md tells operators to let agents retry their joins. Without a hostile
    /// member it takes a restart through a member that leaves before it has introduced the restarted one to those who took
    /// it for gone. The campaign counts such worlds, and bounds their share.
    fn join_again(&mut self) {
        self.was_joined_again = true;
        self.world.join_through_all();
        for node in self.world.all(HostState::Up) {
            self.world.join(node);
        }
        self.wait(self.bounds.join() + self.bounds.direct(self.drawn.nodes), Self::is_settled);
    }

    /// Checks that nodes that start after the attack join and become ordinary members.
    fn admit_newcomers(&mut self) {
        self.world.join_through_all();
        for node in self.drawn.nodes..self.world.nodes() {
            self.world.start(node, &[]);
            self.world.join(node);
        }
        self.wait(self.bounds.join(), Self::is_settled);
        self.check_agreement();
    }

    /// Checks that events of some nodes reach all nodes, and that all see the new tags of one.
    fn speak(&mut self) {
        let up = self.world.all(HostState::Up);
        let drawn = up[self.rng.below(count(up.len())) as usize];
        let last = up[up.len() - 1];
        self.world.listen_for(PEACE);
        // Node 0 is always up. The last one started after the attack, if there are such nodes.
        for (nth, node) in [0, drawn, last].into_iter().enumerate() {
            self.world.user_event(node, PEACE, &[u8::try_from(nth).expect("there are three")]);
        }
        self.world.inject(Fault::Role(drawn));
        self.wait(self.bounds.event(), |checks| checks.world.not_heard(3).is_empty() && checks.is_settled());
        self.deaf = self.world.not_heard(3);
        self.check_agreement();
    }

    /// Checks that no node that is up was declared failed since the newcomers came.
    fn check_no_failures(&mut self) {
        let tally = self.world.tally();
        if tally.false_failures > 0 {
            let (members, times) = (tally.falsely_failed.len(), tally.false_failures);
            self.note(tally.falsely_failed.first().copied().unwrap_or(0), Finding::FailedInPeace { members, times });
        }
    }

    /// Checks that all nodes answer a query.
    fn check_query(&mut self) {
        let up = self.world.all(HostState::Up);
        let asker = up[self.rng.below(count(up.len())) as usize];
        self.begin(Aim::Answers { asker });
        self.world.query(asker, QueryParams { relay_factor: 0, answer_bytes: 8 });
        self.await_all(self.bounds.query(ROUNDS), |_| Finding::NoAnswer { asker });
    }

    /// Checks that all nodes detect a crash in time.
    fn check_crash_detection(&mut self) {
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

    /// Checks that members that are gone are forgotten in time.
    fn check_reaping(&mut self) {
        self.begin(Aim::Nothing);
        let serf = self.options.config.serf();
        let longest = serf.reconnect_timeout.max(serf.tombstone_timeout);
        // A member of which others learn late is forgotten as much later.
        self.world.run_for(longest + 2 * serf.reap_interval + self.bounds.crash());
        self.violations.extend(invariants::look_reaped(self.world));
    }

    /// Runs until the goal is reached, for `time` at most, and records `finding` for each node that has not reached it.
    fn await_all(&mut self, time: Duration, finding: impl Fn(u32) -> Finding) {
        let until = self.world.now() + time;
        self.world.run(until, &mut |_| false);
        let (_, missing) = self.world.missing(VIOLATIONS_SHOWN);
        for (node, _) in missing {
            self.note(node, finding(node));
        }
    }

    /// Resets the counters for a new goal; keeps the findings so far.
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

/// Virtual time between two looks at a world: at its invariants, and whether its nodes agree.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Name of the events that all nodes must receive at the end.
const PEACE: &str = "peace";

/// Rounds of a query until all nodes must have answered. Gossip is random: with `retransmit_mult` 1 a small cluster sends each
/// message about eight times, and one round in six misses a given node.
const ROUNDS: u32 = 12;

const VIOLATIONS_SHOWN: usize = 5;

/// Bound of a node's state without its members.
const CONTENT_BYTES_MAX: usize = 8 << 20;

/// Bound of the state per member: the longest name, in several places, and the longest metadata, of which one byte
/// takes up to four in the debug text.
const MEMBER_CONTENT_BYTES_MAX: usize = 6 << 10;

/// A byte in the debug text, as in `255, `.
const BYTE_CONTENT_BYTES: usize = 5;

/// How much longer a ping to the address in an alive message may be than that message: both carry a name and an
/// address, the ping also those of its sender.
const PING_BYTES: u64 = 64;

/// RNG stream of the checks, separate from the world's own streams.
const CHILD_PEACE: u64 = 1_002;
