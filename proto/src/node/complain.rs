//! Reports peers that are refused or hard to reach to [`complaints`](crate::complaints), which decides on the lines of the log.

use alloc::format;
use core::net::SocketAddr;

use super::Node;
use crate::complaints::{Complaint, ComplaintKind, PeerAt};
use crate::core::Ask;
use crate::event::SeedFailureCause;
use crate::stats::DropReason;
use crate::time::Instant;

/// What the operating system refuses a node's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketFailure {
    /// A datagram to this address could not be sent.
    Send(SocketAddr),
    /// No datagram could be received.
    Receive,
    /// No stream could be accepted.
    Accept,
}

impl Node {
    /// What the log complains of and has not seen the end of: by kind, then by peer. At most
    /// [`COMPLAINT_PEERS_MAX`](crate::limits::COMPLAINT_PEERS_MAX) and one of each kind.
    pub fn complaints(&self) -> impl Iterator<Item = Complaint> + '_ {
        self.core.complaints.iter()
    }

    /// Takes what the operating system refused, with its words for the log. It changes nothing else.
    pub fn socket_failed(&mut self, now: Instant, failure: SocketFailure, words: &str) {
        self.core.now = self.core.now.max(now);
        let here = || self.core.roster.peer(self.swim.me()).map(|me| me.addr());
        let (kind, addr) = match failure {
            SocketFailure::Send(to) => (ComplaintKind::Send, Some(to)),
            SocketFailure::Receive => (ComplaintKind::Receive, here()),
            SocketFailure::Accept => (ComplaintKind::Accept, here()),
        };
        if let Some(addr) = addr {
            self.core.complain(kind, PeerAt { addr, listens: true }, words);
        }
    }

    /// The operating system's words for the failure of a stream, for the log. [`StreamInput::Failed`](crate::StreamInput::Failed)
    /// follows.
    pub fn stream_failing(&mut self, words: &str) {
        self.core.detail.clear();
        self.core.detail.push_str(words);
    }

    /// Complains of what was dropped of a peer's input. Costs one comparison where nothing was.
    pub(super) fn complain_of_drops(&mut self, peer: Option<PeerAt>) {
        let reasons = core::mem::take(&mut self.core.stats.dropped_lately);
        if reasons == 0 {
            return;
        }
        let detail = core::mem::take(&mut self.core.detail);
        let Some(peer) = peer else { return };
        for reason in DropReason::ALL.into_iter().filter(|reason| reasons & reason.bit() != 0) {
            let kind = match reason {
                DropReason::Key if self.envelope.keyring().is_empty() => ComplaintKind::Encrypted,
                reason => ComplaintKind::Refused(reason),
            };
            self.core.complain(kind, peer, &detail);
        }
    }

    /// A datagram of a peer was taken. One that was encrypted while we have no key looks like one that is damaged.
    pub(super) fn complain_of_datagram(&mut self, peer: Option<PeerAt>, datagram: &[u8]) {
        if self.core.stats.dropped_lately != 0 && self.envelope.may_be_encrypted(datagram) {
            self.core.stats.dropped_lately = 0;
            self.core.detail.clear();
            if let Some(peer) = peer {
                self.core.complain(ComplaintKind::Encrypted, peer, "");
            }
        }
    }

    /// An exchange of states with a member is over. Failures with seeds and failed members are expected, and are part of the
    /// join's report.
    pub(super) fn exchange_ended(&mut self, ask: Ask, peer: Option<PeerAt>, result: Result<(), SeedFailureCause>) {
        let Some(peer) = peer.filter(|_| matches!(ask, Ask::PushPull { .. })) else { return };
        match result {
            Ok(()) if self.core.complaints.is_empty() => {}
            Ok(()) => self.core.withdraw(ComplaintKind::Exchange, peer.addr),
            // These were counted as dropped.
            Err(SeedFailureCause::Refused | SeedFailureCause::Vetoed | SeedFailureCause::Malformed) => {}
            Err(SeedFailureCause::Key | SeedFailureCause::Unencrypted | SeedFailureCause::Label) => {}
            Err(cause) if self.swim.live_at(&self.core, peer.addr).is_some() => {
                let said = &self.core.detail;
                let words = if said.is_empty() { format!("{cause}") } else { format!("{cause}: {said}") };
                self.core.complain(ComplaintKind::Exchange, PeerAt { listens: true, ..peer }, &words);
            }
            Err(_) => {}
        }
    }

    /// Says what is due of complaints that last or are over.
    pub(super) fn sweep_complaints(&mut self) {
        if self.core.complaints.is_due(self.core.now) {
            self.core.complaints.sweep(self.core.now, crate::complaints::Line::log);
        }
    }
}
