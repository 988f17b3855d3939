//! Evaluates a node's events: progress towards the goal, false alarms, violated rules.

use core::time::Duration;

use serf_proto::{Event, Instant, KeyReport, Member, MemberEventKind, NameVerdict, QueryReport, Status};

use crate::addressing::{node_at, node_of};
use crate::check::{Finding, Moment, Violation};
use crate::command::{Command, LOAD, ROLL_CALL, TIMED};
use crate::host::Host;
use crate::route::HostContext;
use crate::scheduled::Payload;
use crate::series::Alarm;
use crate::truth::{Aim, Watch, status_after};

/// What the shard must do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    /// The node has left: its process ends.
    End,
}

impl HostContext<'_> {
    /// Handles one event.
    pub(crate) fn observe(&mut self, host: &mut Host, event: &Event) -> Next {
        if self.shared.checks.is_some() && host.process.node.is_some() {
            let finding = host.checks.checkers.event(event);
            self.report(finding);
        }
        let is_hostile = self.shared.hostile() == Some(self.id);
        match event {
            Event::Member(event) => {
                event.members.iter().for_each(|member| self.observe_member(host, event.kind, member));
            }
            Event::Suspected { .. } if is_hostile => {}
            Event::User(event) if &*event.name == TIMED => self.note_delivery(host, &event.payload),
            Event::User(event) if &*event.name == LOAD => _ = host.phase.loads.insert(event.payload.clone()),
            Event::User(event) if self.shared.listened_for.as_deref() == Some(&*event.name) => {
                host.phase.heard += 1;
                if matches!(self.shared.goal.aim, Aim::Events { count } if host.phase.heard <= count) {
                    self.progress(1);
                }
            }
            Event::Suspected { member, accuser } => {
                if let Some(news) = &mut self.notes.news
                    && let Some(member) = node_at(member.addr(), self.shared.nodes)
                {
                    news.suspected(self.at, self.id, host.process.node.as_ref(), member, accuser);
                }
                let truth = &self.shared.truth;
                if let Some(member) = node_at(member.addr(), self.shared.nodes)
                    && truth.is_alarm_false(self.id, member)
                {
                    self.tally.false_suspicions += 1;
                    self.tally.falsely_suspected.insert(member);
                    self.notes.alarm(self.at, Alarm::FalseSuspicion, self.shared.layout.group(member));
                    self.tally.suspicion_blame.count(truth.is_subject(self.id), truth.is_subject(member));
                } else if let Aim::Views { watch: watch @ Watch::SubjectsByOthers, .. } = self.shared.goal.aim
                    && let Some(member) = node_at(member.addr(), self.shared.nodes)
                    && watch.covers(truth, self.id, member)
                {
                    self.tally.noticed.entry(member).or_default().suspicion(self.at);
                }
            }
            Event::Joined(report) if report.contacted == 0 => {
                self.notes.witness.joins_in_vain += 1;
                let again = match &host.orders.contacts {
                    Some(contacts) => Command::Join { contacts: contacts.clone() },
                    None => Command::Rejoin,
                };
                self.schedule_here(host, JOIN_RETRY, Payload::Command(Box::new(again)));
            }
            // Applications answer the queries of applications.
            Event::Query(query) if host.process.app.is_none() || &*query.name == ROLL_CALL => {
                // Models the processing time of an application.
                let bytes = u32::from_le_bytes(query.payload.first_chunk().copied().unwrap_or_default());
                let respond = Command::Respond { to: query.id, bytes };
                self.schedule_here(host, THINKING, Payload::Command(Box::new(respond)));
            }
            Event::QueryResponse { from, .. } => {
                if self.shared.goal.aim == (Aim::Answers { asker: self.id })
                    && let Some(node) = node_of(from)
                    && self.shared.truth.is_up(node)
                    && host.phase.answered.insert(node)
                {
                    self.progress(1);
                }
            }
            Event::QueryEnded(report) => self.ask_the_silent(host, report),
            Event::Keys(report) => self.note_keys(host, report),
            Event::Partition(report) if !is_hostile => self.notes.signals.add(self.at, report),
            Event::NameVote(vote) => {
                self.notes.witness.name_votes[vote.verdict as usize] += 1;
                if vote.verdict == NameVerdict::Lost && self.shared.names_kept {
                    let (for_us, against) = (vote.for_us, vote.against);
                    self.report(Some(Finding::VotedOut { for_us, against }));
                }
            }
            Event::LeftCluster(_) => return Next::End,
            _ => {}
        }
        Next::GoOn
    }

    /// Notes the delivery of a timed event, unless the process started after it was sent: such a process gets old events
    /// in its first state exchange.
    fn note_delivery(&mut self, host: &Host, payload: &[u8]) {
        let Some(nanos) = payload.first_chunk() else { return };
        let sent_at = Instant::from_nanos(u64::from_le_bytes(*nanos));
        if host.process.born_at <= sent_at {
            self.notes.deliver(self.at - sent_at);
        }
    }

    /// Repeats the query for nodes that did not answer: by name while the names fit into a query, otherwise to all.
    fn ask_the_silent(&mut self, host: &mut Host, report: &QueryReport) {
        self.tally.queries += 1;
        self.tally.query_answers += u64::from(report.responses);
        let is_asker = self.shared.goal.aim == (Aim::Answers { asker: self.id });
        if !is_asker || report.silent.is_empty() {
            return;
        }
        let nodes = if report.silent.len() > NAMES_MAX { Vec::new() } else { report.silent.clone() };
        let nodes = nodes.iter().map(ToString::to_string).collect();
        let again = Command::Query { query_params: host.orders.query_params, nodes };
        self.schedule_here(host, THINKING, Payload::Command(Box::new(again)));
    }

    /// Counts the nodes that completed the key operation, and repeats it while some are missing, as an operator would.
    fn note_keys(&mut self, host: &mut Host, report: &KeyReport) {
        if self.shared.goal.aim != (Aim::Keys { asker: self.id }) {
            return;
        }
        self.tally.queries += 1;
        self.tally.query_answers += report.answers.len() as u64;
        for answer in report.answers.iter().filter(|answer| answer.done) {
            if let Some(node) = node_of(&answer.from)
                && self.shared.truth.is_up(node)
                && host.phase.answered.insert(node)
            {
                self.progress(1);
            }
        }
        if i64::try_from(host.phase.answered.len()).is_ok_and(|answered| answered < self.shared.goal.total)
            && let Some(change) = host.orders.key_change.clone()
        {
            self.schedule_here(host, THINKING, Payload::Command(Box::new(Command::ChangeKeys(change))));
        }
    }

    fn observe_member(&mut self, host: &mut Host, kind: MemberEventKind, member: &Member) {
        // A hostile member may claim a node's address under another name, and the reverse.
        let (named, at) = (node_of(member.name()), node_at(member.addr(), self.shared.nodes));
        if let Some(id) = named.filter(|_| named != at && kind == MemberEventKind::Join) {
            host.checks.checkers.name_moved(id);
        }
        let Some(id) = at.filter(|_| named == at) else { return };
        if self.shared.checks.is_some()
            && let Some(node) = &host.process.node
        {
            let moment = Moment { at: host.clock.read(self.at), call: host.process.calls };
            let finding = host.checks.checkers.member_event(node, self.shared, moment, kind, (id, member));
            self.report(finding);
        }
        if self.shared.hostile() == Some(self.id) {
            return;
        }
        if let Some(news) = &mut self.notes.news {
            let node = host.process.node.as_ref();
            match kind {
                MemberEventKind::Failed => news.failed(self.at, self.id, node, id),
                MemberEventKind::Leave => news.left(self.at, self.id, node, id),
                MemberEventKind::Join => news.alive(self.at, self.id, id),
                MemberEventKind::Update | MemberEventKind::Reap => {}
            }
        }
        if kind == MemberEventKind::Failed {
            let truth = &self.shared.truth;
            if truth.is_alarm_false(self.id, id) {
                self.tally.false_failures += 1;
                self.tally.falsely_failed.insert(id);
                self.notes.alarm(self.at, Alarm::FalseFailure, self.shared.layout.group(id));
                self.tally.failure_blame.count(truth.is_subject(self.id), truth.is_subject(id));
            } else {
                self.tally.true_failures += 1;
                self.notes.alarm(self.at, Alarm::TrueFailure, self.shared.layout.group(id));
                if let Some(crash) = truth.crash_of(id) {
                    self.notes.detect(self.id, self.at, id, crash);
                } else if let Some(cut) = truth.cut_of(self.id, id) {
                    self.notes.lose(self.at, cut);
                }
            }
        }
        let Some(status) = status_after(kind) else { return };
        let before = host.checks.fallen.change(id, status);
        if before == Some(Status::Failed) && status == Status::Alive && self.shared.truth.never_down(id) {
            self.notes.witness.late_refutations += 1;
        }
        if let Aim::Views { status: wanted, watch } = &self.shared.goal.aim
            && watch.covers(&self.shared.truth, self.id, id)
        {
            let delta = i64::from(status == *wanted) - i64::from(before == Some(*wanted));
            if delta != 0 {
                self.progress(delta);
            }
            if delta > 0 && *watch == Watch::SubjectsByOthers {
                self.tally.noticed.entry(id).or_default().verdict(self.at, self.id);
            }
        }
    }

    /// Records a violation, if there is one.
    pub(crate) fn report(&mut self, finding: Option<Finding>) {
        if let Some(finding) = finding {
            self.tally.violate(Violation { at: self.at, node: self.id, finding });
        }
    }

    fn progress(&mut self, delta: i64) {
        self.tally.progress(self.shared.goal.since, self.at, delta);
    }
}

/// Delay of an application before it answers or repeats a query.
const THINKING: Duration = Duration::from_millis(1);

/// Number of names that fit into a query.
const NAMES_MAX: usize = 40;

/// Pause after a join that reached no node.
const JOIN_RETRY: Duration = Duration::from_secs(1);
