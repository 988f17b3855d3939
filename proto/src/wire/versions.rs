//! Protocol versions that a node supports and speaks, and the intersection over a group of nodes.

use core::fmt;

use serde::{Deserialize, Serialize};

/// The version numbers of a node: minimum, maximum and current, first of memberlist's protocol, then of the delegate's
/// (Serf's).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Versions(pub(super) [u8; 6]);

impl Versions {
    /// The versions that we announce. The maximum delegate version signals what we read beyond HashiCorp's messages;
    /// HashiCorp's nodes only compare ranges and accept it.
    pub const OURS: Self = Self([1, 5, 2, 2, Self::ANTI_ENTROPY, 5]);

    /// The versions of our nodes before anti-entropy by digests.
    pub const NATIVE_ONLY: Self = Self([1, 5, 2, 2, Self::NATIVE, 5]);

    /// The versions of HashiCorp's nodes since Serf 0.8.
    pub const HASHICORP: Self = Self([1, 5, 2, 2, 5, 5]);

    /// The first delegate version whose nodes read native frames. Ours: equals Serf's version 5 with native bodies.
    const NATIVE: u8 = 6;

    /// The first delegate version whose nodes read digests, reconciliation, and alive messages with a Lamport time.
    const ANTI_ENTROPY: u8 = 7;

    /// The same ranges, with `delegate` as the current Serf protocol.
    pub(crate) const fn speaking(self, delegate: u8) -> Self {
        let [a, b, c, d, e, _] = self.0;
        Self([a, b, c, d, e, delegate])
    }

    /// From the six bytes in an alive message.
    pub const fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The six bytes in an alive message.
    pub const fn to_bytes(self) -> [u8; 6] {
        self.0
    }

    /// Minimum memberlist protocol version.
    pub const fn protocol_min(self) -> u8 {
        self.0[0]
    }

    /// Maximum memberlist protocol version. A node answers stream pings from 3 on, sends nacks from 4 on, and verifies
    /// checksums from 5 on.
    pub const fn protocol_max(self) -> u8 {
        self.0[1]
    }

    /// Current memberlist protocol version.
    pub const fn protocol_current(self) -> u8 {
        self.0[2]
    }

    /// Minimum Serf protocol version.
    pub const fn delegate_min(self) -> u8 {
        self.0[3]
    }

    /// Maximum Serf protocol version.
    pub const fn delegate_max(self) -> u8 {
        self.0[4]
    }

    /// Current Serf protocol version.
    pub const fn delegate_current(self) -> u8 {
        self.0[5]
    }

    /// Whether the node reads native frames.
    pub const fn reads_native(self) -> bool {
        self.delegate_max() >= Self::NATIVE
    }

    /// Whether the node takes part in anti-entropy by digests, and reads alive messages with a Lamport time.
    pub const fn compares_digests(self) -> bool {
        self.delegate_max() >= Self::ANTI_ENTROPY
    }

    /// The first protocol of `other` that a node with these versions does not support.
    pub fn incompatible(self, other: Self) -> Option<Incompatible> {
        let [p_min, p_max, _, d_min, d_max, _] = self.0;
        let [.., p_spoken, _, _, d_spoken] = other.0;
        let layers = [(false, p_spoken, p_min, p_max), (true, d_spoken, d_min, d_max)];
        let refused = layers.into_iter().find(|(_, spoken, min, max)| spoken < min || spoken > max);
        refused.map(|(is_delegate, spoken, min, max)| {
            // Versions above it are ours; operators know Serf's last version.
            let max = if is_delegate { max.min(Self::HASHICORP.delegate_max()) } else { max };
            Incompatible { is_delegate, spoken, understood: (min, max) }
        })
    }

    /// Whether the versions are valid (`aliveNode` in memberlist's state.go).
    pub const fn are_valid(self) -> bool {
        self.0[0] != 0 && self.0[1] != 0 && self.0[0] <= self.0[1]
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "protocol {a}..{b} now {c}, delegate {d}..{e} now {g}")
    }
}

/// A protocol version that another node does not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// Whether it is Serf's protocol; otherwise memberlist's.
    pub is_delegate: bool,
    /// The version that the node speaks.
    pub spoken: u8,
    /// The minimum and maximum versions that the other node supports.
    pub understood: (u8, u8),
}

impl fmt::Display for Incompatible {
    /// Uses the text of `verifyProtocol` in memberlist's memberlist.go.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_delegate, spoken, understood: (min, max) } = self;
        let layer = if *is_delegate { "delegate protocol" } else { "protocol" };
        write!(f, "{layer} version ({spoken}) is incompatible: [{min}, {max}]")
    }
}

/// Versions of a group of nodes: the intersection of the supported ranges, and the range of those spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Common(Option<Bounds>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    /// The versions added last. The next are usually equal, and then skipped.
    last: Versions,
    protocol: Layer,
    delegate: Layer,
}

/// The versions of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layer {
    understood: (u8, u8),
    spoken: (u8, u8),
}

impl Layer {
    const fn of(min: u8, max: u8, current: u8) -> Self {
        Self { understood: (min, max), spoken: (current, current) }
    }

    fn add(&mut self, other: Self) {
        self.understood = (self.understood.0.max(other.understood.0), self.understood.1.min(other.understood.1));
        self.spoken = (self.spoken.0.min(other.spoken.0), self.spoken.1.max(other.spoken.1));
    }

    const fn agrees(self) -> bool {
        self.understood.0 <= self.spoken.0 && self.spoken.1 <= self.understood.1
    }
}

impl Common {
    /// Adds a node.
    pub fn add(&mut self, versions: Versions) {
        let [p_min, p_max, p_current, d_min, d_max, d_current] = versions.0;
        let (protocol, delegate) = (Layer::of(p_min, p_max, p_current), Layer::of(d_min, d_max, d_current));
        match &mut self.0 {
            Some(bounds) if bounds.last == versions => {}
            Some(bounds) => {
                bounds.last = versions;
                bounds.protocol.add(protocol);
                bounds.delegate.add(delegate);
            }
            None => self.0 = Some(Bounds { last: versions, protocol, delegate }),
        }
    }

    /// Whether all nodes support all versions that are spoken.
    pub fn agrees(self) -> bool {
        self.0.is_none_or(|bounds| bounds.protocol.agrees() && bounds.delegate.agrees())
    }
}
