//! A shard: the nodes of one thread. Pops due payloads, calls nodes, routes their outputs.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use serf_proto::{Coalescing, DropReason, Input, Instant, MessageKind, OldEvents, Outbox, Output, Sent, StreamInput};

use crate::addressing::{addr_of, connection_addr, node_of};
use crate::app;
use crate::check::Checkers;
use crate::command::{Command, KeyChange, ROLL_CALL, StartFrom};
use crate::digest::Digest;
use crate::explain::Fact;
use crate::host::{Backlog, FallenMembers, Host, SlowProcessor};
use crate::hostile::AttackerView;
use crate::notes::Notes;
use crate::observe::Next;
use crate::recorder::Recorder;
use crate::route::HostContext;
use crate::scheduled::{Key, Payload, Scheduled, Segment};
use crate::shard_queues::ShardQueues;
use crate::shared::Shared;
use crate::tally::{NetDrop, Tally};

/// Every `shards`-th node, from number `index` on.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) index: u32,
    pub(crate) hosts: Vec<Host>,
    pub(crate) queues: ShardQueues,
    pub(crate) tally: Tally,
    pub(crate) notes: Notes,
    pub(crate) recorder: Option<Recorder>,
    /// Dropped inputs of ended processes.
    pub(crate) dropped_by_the_dead: [u64; DropReason::ALL.len()],
    /// Sent messages of ended processes.
    pub(crate) sent_by_the_dead: [Sent; MessageKind::ALL.len()],
    /// Outputs of the call that is being handled.
    pub(crate) out: Outbox,
}

impl Shard {
    pub(crate) fn new(index: u32, shared: &Shared) -> Self {
        let numbers = (index..shared.hosts).step_by(shared.shards as usize);
        Self {
            index,
            hosts: numbers.map(|node| Host::new(shared.link_rng(node))).collect(),
            queues: ShardQueues::new(index, shared.shards),
            tally: Tally::default(),
            notes: Notes::default(),
            recorder: None,
            dropped_by_the_dead: [0; DropReason::ALL.len()],
            sent_by_the_dead: [Sent::default(); MessageKind::ALL.len()],
            out: Outbox::new(),
        }
    }

    /// Runs all payloads due before `end`.
    pub(crate) fn run_window(&mut self, shared: &Shared, end: Instant) {
        let mut prefetched = 0;
        while let Some(scheduled) = self.queues.queue.pop_before(end) {
            if prefetched == 0 {
                prefetched = self.prefetch_upcoming(shared);
            } else {
                prefetched -= 1;
            }
            self.dispatch(shared, scheduled);
        }
    }

    /// Prefetches the memory of the next nodes. Consecutive payloads concern different nodes, and thousands of nodes
    /// exceed the cache.
    fn prefetch_upcoming(&self, shared: &Shared) -> usize {
        let mut count = 0;
        let upcoming = self.queues.queue.upcoming().take(PREFETCHED_AHEAD);
        core::hint::black_box(upcoming.fold(0, |sum, scheduled| {
            count += 1;
            sum ^ self.hosts[shared.local(scheduled.target)].prefetch()
        }));
        count
    }

    /// Schedules a command for one of this shard's nodes.
    pub(crate) fn command(&mut self, shared: &Shared, node: u32, at: Instant, command: Command) {
        let key = self.hosts[shared.local(node)].sockets.uplink.key(node, at);
        self.queues.send(Scheduled { key, target: node, payload: Payload::Command(Box::new(command)) });
    }

    fn dispatch(&mut self, shared: &Shared, scheduled: Scheduled) {
        let Scheduled { key, target, .. } = scheduled;
        let local = shared.local(target);
        let host = &mut self.hosts[local];
        if let Some(backlog) = &mut host.process.backlog
            && !reaches_the_stalled(&scheduled.payload)
            && !(backlog.lets_timers_run && matches!(scheduled.payload, Payload::Wake))
        {
            if let Payload::Wake = scheduled.payload {
                // The node requests a new wake-up when it resumes.
                if key.at == host.process.wake_at {
                    host.process.wake_at = Instant::MAX;
                }
            } else if !backlog.hold(scheduled) {
                self.drop_datagram(NetDrop::Overflow);
            }
            return;
        }
        if host.process.slow.is_some() && !reaches_the_stalled(&scheduled.payload) && !self.may_start(local, &scheduled)
        {
            self.wait_for_processor(shared, local, scheduled);
            return;
        }
        self.handle(shared, local, scheduled);
    }

    /// Starts an input on a slow processor, if it is free.
    fn may_start(&mut self, local: usize, scheduled: &Scheduled) -> bool {
        let Host { process, clock, .. } = &mut self.hosts[local];
        let due = process.due();
        let Some(slow) = &mut process.slow else { return true };
        // Nothing is handled while the process is down, and a wake-up before the node's next timer is no input.
        if process.node.is_none() {
            return true;
        }
        let now = clock.read(scheduled.key.at);
        let is_due = process.wake_at == scheduled.key.at && due.is_some_and(|due| due <= now);
        if matches!(scheduled.payload, Payload::Wake) && !is_due {
            return true;
        }
        if slow.is_busy(scheduled.key.at) {
            return false;
        }
        slow.busy_until = scheduled.key.at + slow.cost;
        true
    }

    /// Queues an input of a busy processor, and ensures that it is handled. Of a wake-up nothing is kept: the node's due
    /// timers are looked at between inputs.
    fn wait_for_processor(&mut self, shared: &Shared, local: usize, scheduled: Scheduled) {
        let (id, at) = (scheduled.target, scheduled.key.at);
        let process = &mut self.hosts[local].process;
        let Some(slow) = &mut process.slow else { return };
        if let Payload::Wake = scheduled.payload {
            process.wake_at = Instant::MAX;
        } else if !slow.backlog.hold(scheduled) {
            self.tally.count_drop(NetDrop::Overflow);
            self.notes.witness.datagrams.drop(NetDrop::Overflow);
        }
        if !core::mem::replace(&mut slow.is_scheduled, true) {
            let free_at = slow.busy_until.max(at);
            self.command(shared, id, free_at, Command::Proceed);
        }
    }

    /// Handles the next input of a slow processor that is free again: due timers before queued inputs, as an event loop
    /// does.
    fn proceed(&mut self, shared: &Shared, local: usize, id: u32, at: Instant) {
        let Host { process, clock, .. } = &mut self.hosts[local];
        let now = clock.read(at);
        let is_due = process.due().is_some_and(|due| due <= now);
        let Some(slow) = &mut process.slow else { return };
        slow.is_scheduled = false;
        slow.busy_until = at + slow.cost;
        if is_due {
            process.wake_at = at;
            self.wake(shared, local, id, at);
        } else if let Some(mut scheduled) = slow.backlog.take() {
            scheduled.key.at = at;
            self.handle(shared, local, scheduled);
        } else {
            slow.busy_until = at;
        }
        self.arm(local, id, at);
        let Some(slow) = &mut self.hosts[local].process.slow else { return };
        if !slow.backlog.held.is_empty() && !core::mem::replace(&mut slow.is_scheduled, true) {
            let free_at = slow.busy_until;
            self.command(shared, id, free_at, Command::Proceed);
        }
    }

    fn handle(&mut self, shared: &Shared, local: usize, scheduled: Scheduled) {
        let Scheduled { key, target, .. } = scheduled;
        match scheduled.payload {
            Payload::Wake => self.wake(shared, local, target, key.at),
            Payload::Datagram(bytes) => self.deliver(shared, local, target, key, addr_of(key.source), &bytes),
            Payload::Forged(forged) => self.handle_forged(shared, local, target, key, &forged),
            Payload::Segment(segment) => self.segment(shared, local, target, key, segment),
            Payload::Command(command) => self.run_command(shared, local, target, key.at, *command),
        }
    }

    fn wake(&mut self, shared: &Shared, local: usize, id: u32, at: Instant) {
        let host = &mut self.hosts[local];
        if host.process.wake_at != at {
            return;
        }
        host.process.wake_at = Instant::MAX;
        let now = host.clock.read(at);
        let Some(node) = &mut host.process.node else { return };
        if node.poll_timeout().is_some_and(|due| due <= now) {
            host.process.digest.fold(at.as_nanos());
            host.process.digest.fold(KIND_TIMEOUT);
            if let Some(recorder) = watching(&mut self.recorder, id) {
                recorder.input(now, Input::Timeout);
            }
            node.handle_timeout(now, &mut self.out);
            debug_assert!(node.poll_timeout().is_none_or(|due| due > now), "all that was due has been handled");
            if let Some(bounds) = shared.checks {
                let known = if shared.hostile().is_some() { node.member_counts().known } else { 0 };
                let finding = bounds.check(node.queue_depths(), known);
                context(shared, &mut self.queues, &mut self.tally, &mut self.notes, id, at).report(finding);
            }
            self.settle(shared, local, id, at);
        }
        self.run_app_timers(shared, local, id, at);
        self.arm(local, id, at);
    }

    /// Calls the application for each of its timers that is due.
    fn run_app_timers(&mut self, shared: &Shared, local: usize, id: u32, at: Instant) {
        loop {
            let host = &mut self.hosts[local];
            let now = host.clock.read(at);
            let Some(timer) = host.process.app.as_mut().and_then(|slot| slot.take_due(now)) else { return };
            host.process.digest.fold(at.as_nanos());
            host.process.digest.fold(KIND_APP_TIMER);
            host.process.digest.fold(timer);
            app::call(host, &mut self.recorder, &mut self.out, (id, at), |app, node| app.on_timer(timer, node));
            self.settle(shared, local, id, at);
        }
    }

    fn deliver(&mut self, shared: &Shared, local: usize, id: u32, key: Key, from: SocketAddr, bytes: &Bytes) {
        let Key { at, source, .. } = key;
        let host = &mut self.hosts[local];
        let now = host.clock.read(at);
        if let Some(attacker) = &mut host.attacker {
            attacker.record_packet(bytes);
        }
        let Some(node) = &mut host.process.node else {
            self.drop_datagram(NetDrop::Down);
            return;
        };
        host.process.digest.fold(at.as_nanos());
        host.process.digest.fold(KIND_DATAGRAM | u64::from(source));
        host.process.digest.fold_bytes(bytes);
        if let Some(recorder) = watching(&mut self.recorder, id) {
            recorder.input(now, Input::Datagram { from, bytes: bytes.to_vec() });
        }
        node.handle_datagram(now, from, bytes, &mut self.out);
        self.tally.delivered += 1;
        self.notes.witness.datagrams.delivered += 1;
        self.settle(shared, local, id, at);
    }

    fn drop_datagram(&mut self, reason: NetDrop) {
        self.tally.count_drop(reason);
        self.notes.witness.datagrams.drop(reason);
    }

    /// Delivers a datagram of the attacker and measures what the node sends in the same call.
    fn handle_forged(&mut self, shared: &Shared, local: usize, id: u32, key: Key, forged: &(SocketAddr, Bytes)) {
        let (from, bytes) = forged;
        let before = self.hosts[local].sockets.uplink.datagram_bytes;
        self.hosts[local].sockets.uplink.stranger_bytes = Some(0);
        self.deliver(shared, local, id, key, *from, bytes);
        let uplink = &mut self.hosts[local].sockets.uplink;
        let to_strangers = uplink.stranger_bytes.take().unwrap_or_default();
        self.tally.hostile.count(bytes.len() as u64, uplink.datagram_bytes - before, to_strangers);
    }

    fn segment(&mut self, shared: &Shared, local: usize, id: u32, key: Key, segment: Segment) {
        let Key { at, source, .. } = key;
        match segment {
            Segment::Syn { port } => self.accept(shared, local, id, key, port),
            Segment::Accepted { port, peer_port } => {
                let host = &mut self.hosts[local];
                let Some(end) = host.sockets.ends.by_port(port) else {
                    let mut context = context(shared, &mut self.queues, &mut self.tally, &mut self.notes, id, at);
                    if context.continue_stream(host, port, peer_port) {
                        return;
                    }
                    context.send_segment(host, source, Segment::Reset { port: peer_port });
                    return;
                };
                end.peer_port = Some(peer_port);
                let (stream, early) = (end.stream, core::mem::take(&mut end.early));
                let mut context = context(shared, &mut self.queues, &mut self.tally, &mut self.notes, id, at);
                for bytes in early {
                    context.write(host, stream, bytes);
                }
                self.feed(shared, local, id, at, Input::StreamOpened(stream));
            }
            Segment::Data { port, bytes } => {
                let host = &mut self.hosts[local];
                let now = host.clock.read(at);
                let Some((stream, node)) =
                    host.sockets.ends.by_port(port).map(|end| end.stream).zip(host.process.node.as_mut())
                else {
                    return;
                };
                host.process.digest.fold(at.as_nanos());
                host.process.digest.fold(KIND_STREAM | stream.number());
                host.process.digest.fold_bytes(&bytes);
                if let Some(recorder) = watching(&mut self.recorder, id) {
                    recorder.input(now, Input::StreamData(stream, bytes.to_vec()));
                }
                self.tally.stream_bytes += bytes.len() as u64;
                node.handle_stream(now, stream, StreamInput::Data(&bytes), &mut self.out);
                self.settle(shared, local, id, at);
            }
            Segment::Fin { port } => {
                if let Some(end) = self.hosts[local].sockets.ends.close_port(port) {
                    self.feed(shared, local, id, at, Input::StreamClosed(end.stream));
                }
            }
            Segment::Reset { port } => {
                if let Some(end) = self.hosts[local].sockets.ends.close_port(port) {
                    self.feed(shared, local, id, at, Input::StreamFailed(end.stream));
                }
            }
        }
    }

    /// Handles a connection from `key.source`. A host whose process is down refuses it.
    fn accept(&mut self, shared: &Shared, local: usize, id: u32, key: Key, peer_port: u32) {
        let Key { at, source, .. } = key;
        let host = &mut self.hosts[local];
        let now = host.clock.read(at);
        let mut accepted = None;
        if let Some(node) = &mut host.process.node {
            let from = connection_addr(source, peer_port);
            host.process.digest.fold(at.as_nanos());
            host.process.digest.fold(KIND_ACCEPT | u64::from(source));
            if let Some(recorder) = watching(&mut self.recorder, id) {
                recorder.input(now, Input::Accept { from });
            }
            accepted = Some(node.accept(now, from, &mut self.out));
        }
        let mut context = context(shared, &mut self.queues, &mut self.tally, &mut self.notes, id, at);
        let Some(stream) = accepted else {
            context.send_segment(host, source, Segment::Reset { port: peer_port });
            self.settle(shared, local, id, at);
            return;
        };
        let port = host.sockets.ends.open(stream, source, Some(peer_port)).port;
        let arrival = context.send_segment(host, source, Segment::Accepted { port: peer_port, peer_port: port });
        if let Some(end) = host.sockets.ends.by_port(port) {
            end.stalled = arrival.is_none();
            end.last_arrival = arrival.unwrap_or(Instant::ZERO);
        }
        self.settle(shared, local, id, at);
    }

    fn run_command(&mut self, shared: &Shared, local: usize, id: u32, at: Instant, command: Command) {
        let host = &mut self.hosts[local];
        match command {
            Command::Start(from) => self.start(shared, local, id, at, from),
            Command::Crash => self.end(shared, local, id, at),
            Command::LosePower { draw } => self.lose_power(shared, local, id, at, draw),
            Command::Pause => {
                host.process.backlog = host.process.node.is_some().then(Box::<Backlog>::default);
                self.note(at, id, Fact::Stalled);
            }
            Command::Block { until } => {
                // A stalled process has a backlog already, and handles nothing.
                if host.process.node.is_some() && host.process.backlog.is_none() {
                    host.process.backlog = Some(Box::new(Backlog::of_packets()));
                    host.sockets.uplink.blocked_until = until;
                }
            }
            Command::Resume => self.resume(shared, local, id, at),
            Command::SetInputCost(cost) => match &mut host.process.slow {
                Some(slow) => slow.cost = cost,
                None => host.process.slow = Some(Box::new(SlowProcessor::new(cost))),
            },
            Command::Proceed => self.proceed(shared, local, id, at),
            Command::StopClock => host.clock.stop(at),
            Command::StartClock { jump } => {
                host.clock.start(at, jump);
                self.arm(local, id, at);
            }
            Command::Join { contacts } => {
                let seeds = if contacts.is_empty() {
                    shared.draw_contacts(id, host.orders.joins_tried)
                } else {
                    contacts.iter().map(|node| addr_of(*node)).collect()
                };
                host.orders.joins_tried += 1;
                host.orders.contacts = Some(contacts);
                if !seeds.is_empty() {
                    self.feed(shared, local, id, at, Input::Join { seeds, old: OldEvents::Deliver });
                }
            }
            Command::UserEvent { name, payload } => {
                self.feed(shared, local, id, at, Input::UserEvent { name, payload, coalescing: Coalescing::Forbid });
            }
            Command::Query { query_params, nodes } => {
                host.orders.query_params = query_params;
                let query = Input::Query {
                    name: ROLL_CALL.to_owned(),
                    payload: query_params.answer_bytes.to_le_bytes().to_vec(),
                    nodes,
                    tags: Vec::new(),
                    acks: false,
                    relay_factor: query_params.relay_factor,
                    timeout: Duration::ZERO,
                };
                self.feed(shared, local, id, at, query);
            }
            Command::Respond { to, bytes } => {
                self.feed(
                    shared,
                    local,
                    id,
                    at,
                    Input::Respond { to, payload: vec![b'x'; bytes.min(ANSWER_BYTES_MAX) as usize] },
                );
            }
            Command::Rejoin => self.rejoin(shared, local, id, at),
            Command::ChangeKeys(change) => {
                let KeyChange { operation, key, relay_factor } = change.clone();
                host.orders.key_change = Some(change);
                self.feed(shared, local, id, at, Input::ChangeAllKeys { operation, key, relay_factor });
            }
            Command::SetRole(role) => {
                let mut tags = shared.layout.tags(id);
                tags.set("role", format!("role-{role}"));
                self.feed(shared, local, id, at, Input::SetTags(tags.into()));
            }
            Command::Leave => self.feed(shared, local, id, at, Input::Leave),
            Command::Assault(attack) => {
                let Some(mut attacker) = host.attacker.take() else { return };
                let messages =
                    attacker.compose(AttackerView { shared, host: id, node: host.process.node.as_ref() }, attack);
                host.attacker = Some(attacker);
                context(shared, &mut self.queues, &mut self.tally, &mut self.notes, id, at)
                    .send_messages(host, messages);
            }
        }
    }

    /// Rejoins the cluster of the earlier life until another member is known, whichever node contacted the other; joins
    /// through drawn nodes if none is known. Same policy as `serf-runtime`.
    fn rejoin(&mut self, shared: &Shared, local: usize, id: u32, at: Instant) {
        let host = &mut self.hosts[local];
        host.orders.contacts = None;
        let Some(node) = &host.process.node else { return };
        if !node.is_alone() {
            return;
        }
        if host.disk.snapshot().alive().all(|(name, _)| node_of(name) == Some(id)) {
            self.run_command(shared, local, id, at, Command::Join { contacts: Vec::new() });
        } else {
            self.feed(shared, local, id, at, Input::Rejoin { old: OldEvents::Deliver });
        }
    }

    fn start(&mut self, shared: &Shared, local: usize, id: u32, at: Instant, from: StartFrom) {
        let host = &mut self.hosts[local];
        if host.process.node.is_some() {
            return;
        }
        host.process.digest.fold(at.as_nanos());
        host.process.digest.fold(KIND_START);
        let found = match from {
            StartFrom::FromDisk => {
                // After a leave a node restarts without its history, and may deliver the same events again.
                if host.disk.snapshot().left() {
                    host.checks.checkers = Checkers::default();
                }
                host.disk.read()
            }
            StartFrom::Blank => {
                host.disk.forget_cluster();
                host.checks.checkers = Checkers::default();
                host.disk.read_keys()
            }
            StartFrom::Converged => {
                host.disk.clone_from(&shared.converged_disk);
                host.disk.read_keys()
            }
        };
        let is_converged = from == StartFrom::Converged;
        let now = host.clock.read(at);
        if let Some(recorder) = watching(&mut self.recorder, id) {
            recorder.start(now, host.process.lives, is_converged, found.clone());
        }
        host.process.born_at = at;
        host.process.began_blank = from == StartFrom::Blank;
        host.process.node = Some(shared.spawn(id, host.process.lives, now, is_converged, found, &mut self.out));
        host.process.app = shared.start_app(id, host.process.lives);
        host.process.lives += 1;
        app::call(host, &mut self.recorder, &mut self.out, (id, at), |app, node| app.on_start(node));
        self.notes.ledger.process(at, 1);
        self.note(at, id, Fact::Started);
        self.settle(shared, local, id, at);
    }

    /// Ends the process and discards its state. Its kernel resets its streams.
    fn end(&mut self, shared: &Shared, local: usize, id: u32, at: Instant) {
        let host = &mut self.hosts[local];
        let Some(node) = host.process.node.take() else { return };
        host.process.digest.fold(at.as_nanos());
        host.process.digest.fold(KIND_END);
        if let Some(recorder) = watching(&mut self.recorder, id) {
            recorder.stop(host.clock.read(at));
        }
        self.notes.witness.note_process(&node);
        for (sum, dropped) in self.dropped_by_the_dead.iter_mut().zip(node.stats().dropped) {
            *sum += dropped;
        }
        for (sum, sent) in self.sent_by_the_dead.iter_mut().zip(node.stats().messages_out) {
            sum.add(sent);
        }
        (host.process.wake_at, host.process.app) = (Instant::MAX, None);
        host.sockets.uplink.blocked_until = Instant::ZERO;
        // The kernel discards what the process has not read.
        let unread = host.process.datagrams_held();
        host.process.backlog = None;
        if let Some(slow) = &mut host.process.slow {
            slow.backlog = Backlog::default();
        }
        (0..unread).for_each(|_| self.notes.witness.datagrams.drop(NetDrop::Down));
        self.notes.ledger.process(at, -1);
        host.checks.fallen = FallenMembers::default();
        host.phase.loads.clear();
        host.checks.checkers.end_life();
        let mut context = context(shared, &mut self.queues, &mut self.tally, &mut self.notes, id, at);
        for end in host.sockets.ends.close_all() {
            context.reset_peer(host, &end);
        }
        self.note(at, id, Fact::Ended);
    }

    /// Ends the process as a power failure does: the disk loses what was not synced.
    fn lose_power(&mut self, shared: &Shared, local: usize, id: u32, at: Instant, draw: u32) {
        if self.hosts[local].process.node.is_none() {
            return;
        }
        self.end(shared, local, id, at);
        let host = &mut self.hosts[local];
        let torn = host.disk.lose_power(draw);
        // Without the time of the newest event, the next life may deliver events again.
        host.checks.checkers = Checkers::default();
        self.notes.witness.lose_power(&torn);
    }

    /// Records what a host does, for the timeline of a member.
    fn note(&mut self, at: Instant, id: u32, fact: Fact) {
        if let Some(news) = &mut self.notes.news {
            news.own(at, id, fact);
        }
    }

    /// Resumes the process, which handles its queued inputs late.
    fn resume(&mut self, shared: &Shared, local: usize, id: u32, at: Instant) {
        let Some(backlog) = self.hosts[local].process.backlog.take() else { return };
        self.note(at, id, Fact::Resumed);
        self.arm(local, id, at);
        for mut scheduled in backlog.held {
            scheduled.key.at = at;
            self.dispatch(shared, scheduled);
        }
    }

    /// Passes one of the rarer inputs to the node.
    fn feed(&mut self, shared: &Shared, local: usize, id: u32, at: Instant, input: Input) {
        let host = &mut self.hosts[local];
        let Some(node) = &mut host.process.node else { return };
        let now = host.clock.read(at);
        host.process.digest.fold(at.as_nanos());
        fold_input(&mut host.process.digest, &input);
        node.apply(now, &input, &mut self.out);
        if let Some(recorder) = watching(&mut self.recorder, id) {
            recorder.input(now, input);
        }
        self.settle(shared, local, id, at);
    }

    /// Executes all outputs of the node after a call.
    pub(crate) fn settle(&mut self, shared: &Shared, local: usize, id: u32, at: Instant) {
        let host = &mut self.hosts[local];
        host.process.calls += 1;
        if let Some(slot) = &mut host.process.app {
            slot.commands = 0;
        }
        let mut context = context(shared, &mut self.queues, &mut self.tally, &mut self.notes, id, at);
        let mut next = Next::GoOn;
        let mut written = Vec::new();
        while let Some(output) = self.out.pop() {
            if let Some(recorder) = watching(&mut self.recorder, id) {
                recorder.output(host.clock.read(at), &output);
            }
            match output {
                Output::Datagram { to, bytes } => context.send_datagram(host, to, bytes),
                Output::Connect { stream, to } => context.connect(host, stream, to),
                Output::Write { stream, bytes } => context.write(host, stream, bytes),
                Output::Close { stream } => context.close(host, stream),
                Output::Event(event) => {
                    if context.observe(host, &event) == Next::End {
                        next = Next::End;
                    }
                    app::call(host, &mut self.recorder, &mut self.out, (id, at), |app, node| {
                        app.on_event(&event, node)
                    });
                }
                Output::Persist(record) => host.disk.append(&record),
                Output::Keyring { change, keys } => {
                    host.disk.keep_keys(keys);
                    written.push(change);
                }
                _ => debug_assert!(false, "every output is routed"),
            }
        }
        if shared.checks.is_some()
            && let Some(node) = &host.process.node
        {
            let finding = host.checks.checkers.after_call(node);
            context.report(finding);
        }
        match next {
            Next::GoOn => self.arm(local, id, at),
            Next::End => self.end(shared, local, id, at),
        }
        for change in written {
            self.feed(shared, local, id, at, Input::KeyringWritten { change, failure: None });
        }
    }

    /// Ensures a wake-up at the node's next timeout. An early wake-up is ignored when it fires; moving it at once would
    /// leave an outdated one in the queue for nearly every packet.
    fn arm(&mut self, local: usize, id: u32, at: Instant) {
        let host = &mut self.hosts[local];
        let Some(due) = host.process.due() else { return };
        let due = host.clock.when(due).max(at);
        if due < host.process.wake_at {
            host.process.wake_at = due;
            let key = host.sockets.uplink.key(id, due);
            self.queues.queue.push(Scheduled { key, target: id, payload: Payload::Wake });
        }
    }
}

const fn context<'a>(
    shared: &'a Shared,
    queues: &'a mut ShardQueues,
    tally: &'a mut Tally,
    notes: &'a mut Notes,
    id: u32,
    at: Instant,
) -> HostContext<'a> {
    HostContext { shared, queues, tally, notes, id, at }
}

/// Returns the recorder, if it observes `node`.
pub(crate) fn watching(recorder: &mut Option<Recorder>, node: u32) -> Option<&mut Recorder> {
    recorder.as_mut().filter(|recorder| recorder.node == node)
}

/// Whether a payload is handled although the process is stalled.
fn reaches_the_stalled(payload: &Payload) -> bool {
    matches!(payload, Payload::Command(command) if matches!(
        **command,
        Command::Crash
            | Command::LosePower { .. }
            | Command::Pause
            | Command::Block { .. }
            | Command::Resume
            | Command::SetInputCost(_)
            | Command::Proceed
            | Command::StopClock
            | Command::StartClock { .. }
    ))
}

/// Folds a command or one of the rarer inputs.
pub(crate) fn fold_input(digest: &mut Digest, input: &Input) {
    let (kind, stream) = match input {
        Input::StreamOpened(id) => (1, id.number()),
        Input::StreamClosed(id) => (2, id.number()),
        Input::StreamFailed(id) => (3, id.number()),
        Input::Join { seeds, .. } => (4, seeds.len() as u64),
        Input::UserEvent { payload, .. } => (5, payload.len() as u64),
        Input::Leave => (6, 0),
        Input::Query { nodes, .. } => (8, nodes.len() as u64),
        Input::Respond { to, .. } => (9, to.ltime()),
        Input::Rejoin { .. } => (10, 0),
        Input::ChangeAllKeys { key, .. } => (11, key.len() as u64),
        Input::SetTags(tags) => (12, tags.len() as u64),
        _ => (7, 0),
    };
    digest.fold(KIND_OTHER | kind);
    digest.fold(stream);
}

/// Upper bound of answers. The sender of a query requests the size and may be hostile. Longer answers exceed any
/// packet.
const ANSWER_BYTES_MAX: u32 = 64 * 1024;

/// Number of payloads whose nodes are prefetched together.
const PREFETCHED_AHEAD: usize = 8;

/// Input kinds in digests.
const KIND_TIMEOUT: u64 = 1 << 56;
const KIND_DATAGRAM: u64 = 2 << 56;
const KIND_STREAM: u64 = 3 << 56;
const KIND_ACCEPT: u64 = 4 << 56;
const KIND_START: u64 = 5 << 56;
const KIND_END: u64 = 6 << 56;
const KIND_OTHER: u64 = 7 << 56;
const KIND_APP_TIMER: u64 = 8 << 56;
