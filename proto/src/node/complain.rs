//! Collects complaints: reports peers that are refused or unreachable to [`complaints`](crate::complaints), which
//! decides what is logged.

use alloc::format;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Node;
use crate::complaints::{Complaint, ComplaintKind, PeerAt};
use crate::core::ExchangePurpose;
use crate::event::SeedFailureCause;
use crate::input::Input;
use crate::stats::DropReason;
use crate::time::Instant;

/// A failure of a node's sockets, reported by the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SocketFailure {
    /// Sending a datagram to this address failed.
    Send(SocketAddr),
    /// Receiving datagrams failed.
    Receive,
    /// Accepting streams failed.
    Accept,
}

impl Node {
    /// The complaints that are open: logged, and not yet resolved. Ordered by kind, then by peer. At most
    /// [`COMPLAINT_PEERS_MAX`](crate::limits::COMPLAINT_PEERS_MAX), and one of each kind.
    pub fn complaints(&self) -> impl Iterator<Item = Complaint> + '_ {
        self.core.complaints.iter()
    }

    /// Records a socket failure, with the operating system's error text for the log. Changes no protocol state.
    pub fn socket_failed(&mut self, now: Instant, failure: SocketFailure, words: &str) {
        self.core.now = self.core.now.max(now);
        self.tap_silent(|| Input::SocketFailed { failure, words: words.into() });
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

    /// Sets the operating system's error text of a stream that fails, for the log. Call it before
    /// [`StreamInput::Failed`](crate::StreamInput::Failed).
    pub fn stream_failing(&mut self, words: &str) {
        self.tap_silent(|| Input::StreamFailing { words: words.into() });
        self.core.detail.clear();
        self.core.detail.push_str(words);
    }

    /// Complains about input of a peer that was dropped. One comparison when nothing was.
    pub(super) fn complain_of_drops(&mut self, peer: Option<PeerAt>) {
        let reasons = core::mem::take(&mut self.core.stats.dropped_lately);
        if reasons == 0 {
            return;
        }
        // Taken even without a peer: the detail must not leak into a later complaint.
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

    /// Complains about a datagram that was dropped. While this node has no key, an encrypted datagram is
    /// indistinguishable from a damaged one, so it is reported as encrypted instead of by the drop reason.
    /// `looks_encrypted` is the answer of [`Envelope::may_be_encrypted`](crate::envelope::Envelope::may_be_encrypted).
    pub(super) fn complain_of_datagram(&mut self, peer: Option<PeerAt>, looks_encrypted: bool) {
        if self.core.stats.dropped_lately != 0 && looks_encrypted {
            self.core.stats.dropped_lately = 0;
            self.core.detail.clear();
            if let Some(peer) = peer {
                self.core.complain(ComplaintKind::Encrypted, peer, "");
            }
        }
    }

    /// Records the outcome of a push/pull with a member. Failures with seeds and with failed members are expected; the
    /// join reports them.
    pub(super) fn exchange_ended(
        &mut self,
        purpose: ExchangePurpose,
        peer: Option<PeerAt>,
        result: Result<(), SeedFailureCause>,
    ) {
        let Some(peer) = peer.filter(|_| matches!(purpose, ExchangePurpose::PushPull { .. })) else { return };
        match result {
            Ok(()) if self.core.complaints.is_empty() => {}
            Ok(()) => self.core.withdraw(ComplaintKind::Exchange, peer.addr),
            // Counted as drops, and reported by `complain_of_drops`.
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

    /// Logs complaints that are due: open for long, or resolved.
    pub(super) fn sweep_complaints(&mut self) {
        if self.core.complaints.is_due(self.core.now) {
            self.core.complaints.sweep(self.core.now, crate::complaints::Line::log);
        }
    }
}
