//! Goals of phases and their progress.

use serf_proto::Status;

use super::World;
use crate::addressing::name_of;
use crate::command::LOAD;
use crate::notes::Notes;
use crate::shared::draw_distinct;
use crate::tally::Tally;
use crate::truth::{Aim, Goal, HostState, Watch};

impl World {
    /// Resets the traffic counters of the hosts.
    pub(crate) fn begin_phase(&mut self) {
        for host in self.shards.iter_mut().flat_map(|shard| &mut shard.hosts) {
            (host.sockets.uplink.datagrams, host.sockets.uplink.datagram_bytes) = (0, 0);
        }
    }

    /// Sets the subjects of the phase.
    pub(crate) fn set_subjects(&mut self, subjects: &[u32]) {
        self.shared.truth.set_subjects(subjects);
        if let Some(first) = subjects.iter().min() {
            self.all_notes().filter_map(|notes| notes.news.as_mut()).for_each(|news| news.choose(*first));
        }
    }

    /// Starts counting deliveries of user events of this name.
    pub(crate) fn listen_for(&mut self, name: &str) {
        debug_assert!(name != LOAD, "the events of faults are counted by their payloads");
        self.shared.listened_for = Some(name.into());
        for host in self.shards.iter_mut().flat_map(|shard| &mut shard.hosts) {
            host.phase.heard = 0;
        }
    }

    /// Starts counting towards `aim`. Pairs and deliveries that are already complete count.
    pub(crate) fn begin(&mut self, aim: Aim) {
        for shard in &mut self.shards {
            shard.tally = Tally::default();
            for host in &mut shard.hosts {
                host.phase.answered.clear();
            }
        }
        let up = self.shared.truth.all(HostState::Up).count();
        let (total, done) = match &aim {
            Aim::Nothing => (0, 0),
            Aim::Events { count } => {
                let count = *count as usize;
                let heard = |node| (self.host(node).phase.heard as usize).min(count);
                (up * count, self.shared.truth.all(HostState::Up).map(heard).sum())
            }
            Aim::Answers { .. } | Aim::Keys { .. } => (up, 0),
            Aim::Views { status, watch } => {
                let (status, watch) = (*status, *watch);
                let (total, missing) = self.pairs(watch).fold((0, 0), |(total, missing), (observer, member)| {
                    (total + 1, missing + usize::from(self.status_seen(observer, member) != Some(status)))
                });
                (total, total - missing)
            }
        };
        let count = |n: usize| i64::try_from(n).expect("pairs are counted in 63 bits");
        self.shared.goal = Goal { aim, total: count(total), since: self.now };
        if done > 0 {
            self.shards[0].tally.progress(self.now, self.now, count(done));
        }
    }

    /// Returns the current goal.
    pub(crate) const fn goal(&self) -> &Goal {
        &self.shared.goal
    }

    /// Returns the records of all shards.
    pub(crate) fn all_notes(&mut self) -> impl Iterator<Item = &mut Notes> {
        self.shards.iter_mut().map(|shard| &mut shard.notes)
    }

    /// Returns the sum of all shards' counters since the phase began.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for shard in &self.shards {
            sum.merge(&shard.tally);
        }
        sum
    }

    /// Returns datagrams and bytes sent since the phase began, for each host whose process ran during it.
    pub(crate) fn traffic(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let hosts = self.shards.iter().flat_map(|shard| &shard.hosts);
        let active = hosts.filter(|host| host.process.node.is_some() || host.sockets.uplink.datagrams > 0);
        active.map(|host| (host.sockets.uplink.datagrams, host.sockets.uplink.datagram_bytes))
    }

    /// Returns the nodes that are up and have delivered fewer than `count` of the counted events.
    pub(crate) fn not_heard(&self, count: u32) -> Vec<u32> {
        self.shared.truth.all(HostState::Up).filter(|node| self.host(*node).phase.heard < count).collect()
    }

    /// Returns the number of missing pairs or nodes, and the first of them. For an event both elements of a pair are
    /// the node.
    pub(crate) fn missing(&self, limit: usize) -> (u64, Vec<(u32, u32)>) {
        let mut examples = Vec::new();
        let mut count = 0;
        let mut note = |pair| {
            count += 1;
            if examples.len() < limit {
                examples.push(pair);
            }
        };
        match &self.shared.goal.aim {
            Aim::Nothing => {}
            Aim::Events { count } => {
                self.not_heard(*count).into_iter().for_each(|node| note((node, node)));
            }
            Aim::Answers { asker } | Aim::Keys { asker } => {
                let host = self.host(*asker);
                for node in self.shared.truth.all(HostState::Up) {
                    if !host.phase.answered.contains(&node) {
                        note((node, node));
                    }
                }
            }
            Aim::Views { status, watch } => {
                for (observer, member) in self.pairs(*watch) {
                    if self.status_seen(observer, member) != Some(*status) {
                        note((observer, member));
                    }
                }
            }
        }
        (count, examples)
    }

    /// Returns the nodes in one state.
    pub(crate) fn all(&self, state: HostState) -> Vec<u32> {
        self.shared.truth.all(state).collect()
    }

    /// Draws up to `count` nodes that are up.
    pub(crate) fn draw_up(&mut self, count: u32) -> Vec<u32> {
        let up = self.all(HostState::Up);
        let pool = u32::try_from(up.len()).expect("nodes are counted in 32 bits");
        draw_distinct(&mut self.rng, pool, count).into_iter().map(|drawn| up[drawn as usize]).collect()
    }

    fn status_seen(&self, observer: u32, member: u32) -> Option<Status> {
        Some(self.node(observer)?.member(&name_of(member))?.status())
    }

    fn pairs(&self, watch: Watch) -> impl Iterator<Item = (u32, u32)> + '_ {
        let truth = &self.shared.truth;
        let members = 0..self.shared.nodes;
        (0..self.shared.nodes).flat_map(move |observer| {
            members
                .clone()
                .filter(move |member| watch.covers(truth, observer, *member))
                .map(move |member| (observer, member))
        })
    }
}
