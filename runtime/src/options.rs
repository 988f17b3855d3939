//! Options of a node.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Serialize;
use serf_proto::{Seed, SharedPolicy, Tags};

use crate::capture::Capture;

/// Options of [`Serf::start`](crate::Serf::start). Start from a profile and override single fields. Fields may be added
/// in minor versions.
///
/// ```
/// use serf_runtime::{Key, Options};
///
/// let (bind, key) = ("10.0.0.7:7946".parse()?, Key::generate()?);
/// let options = Options::lan("web-1").with(|options| {
///     options.bind = bind;
///     options.protocol.transport.encrypt_keys = vec![key];
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A literal works too. It must end with a profile, since fields may be added:
///
/// ```
/// use serf_runtime::Options;
///
/// let options = Options { bind: "10.0.0.1:7946".parse()?, ..Options::lan("web-1") };
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Options {
    /// The node's name, unique in the cluster, 1 to 255 bytes. Commonly the host name.
    pub name: String,
    /// Listen address for UDP and TCP. `0.0.0.0` and `[::]` stand for all addresses of the host, of both families if it
    /// has IPv6, as in Go. Port 0 selects a port that is free for both. Default `0.0.0.0:7946`.
    pub bind: SocketAddr,
    /// Address at which other members reach the node. Port 0 stands for the listen port. Default: the address in
    /// `bind`, or, if that is unspecified, the first private address of the host's interfaces that are up: that of the
    /// default route first, IPv4 before IPv6. When the host loses an address that was selected this way,
    /// [`Stats::address_missing`](crate::Stats::address_missing) is set; when another address replaces it, the node
    /// leaves and [`Serf::wait`](crate::Serf::wait) returns [`AddressChanged`](crate::End::AddressChanged).
    pub advertise: Option<SocketAddr>,
    /// Tags that the node announces. At most 512 bytes encoded. Default none.
    pub tags: Tags,
    /// Seeds to join at the start, in the format of [`Serf::join`](crate::Serf::join). The node contacts them in the
    /// background with growing pauses until another member is known, so seeds may start later than this node; all nodes
    /// may have the same list, themselves included. To get the result of a join, leave this empty and call
    /// [`Serf::join`](crate::Serf::join). Default none.
    pub join: Vec<String>,
    /// Queue length of a subscriber; above it the oldest events are lost. Default 4096.
    pub subscriber_events_max: usize,
    /// Snapshot file: the members and the clocks that the node needs to find its cluster again after a restart. The
    /// node rejoins at its start and delivers no event twice. The format is that of HashiCorp's serf. Two nodes cannot
    /// share a file: it is locked while the node runs. Default none.
    pub snapshot: Option<PathBuf>,
    /// Whether a node with a snapshot rejoins after a graceful leave, not only after a crash. Default false.
    pub rejoin_after_leave: bool,
    /// Keyring file: read at the start, written on each key change. Its keys take precedence over
    /// [`encrypt_keys`](serf_proto::TransportOptions::encrypt_keys), which are the initial keys while the file does not exist.
    /// With this option a node does not start without keys, nor with an unreadable file. A member whose write fails
    /// reports that in its answer. The file is locked while the node runs. Without this option, key changes are lost at
    /// the end. The format is that of HashiCorp's agent: a JSON list of base64 keys, the primary first;
    /// [`write_keyring_file`](crate::write_keyring_file) creates one. Default none.
    pub keyring_file: Option<PathBuf>,
    /// Application policy: which members to admit, which clusters to merge with, and how long to remember failed
    /// members. It is called under the node's lock and must not call the node. Default none: admits all.
    #[serde(skip)]
    pub policy: Option<SharedPolicy>,
    /// Source of all randomness of the node, for tests: equal seeds and inputs give equal packets. Never set it in
    /// production: nonces derive from the seed, and two runs with one seed and one key repeat them, which breaks the
    /// encryption. Default none: entropy of the operating system.
    #[serde(skip)]
    pub seed: Option<Seed>,
    /// Records every input of the node into a directory, so that an incident can be replayed and explained: see
    /// [`capture`](crate::capture). Can be switched while the node runs, with
    /// [`Serf::start_capture`](crate::Serf::start_capture). A capture that cannot be written is a counted and logged error;
    /// it does not stop the node. Default none.
    pub capture: Option<Capture>,
    /// Protocol options: intervals, timeouts, limits. [`Options::lan`](Self::lan) uses
    /// [`serf_proto::Options::lan`].
    pub protocol: serf_proto::Options,
}

impl Options {
    /// Profile for nodes in one data centre.
    pub fn lan(name: impl Into<String>) -> Self {
        Self::new(name.into(), serf_proto::Options::lan())
    }

    /// Profile for nodes that are far apart.
    pub fn wan(name: impl Into<String>) -> Self {
        Self::new(name.into(), serf_proto::Options::wan())
    }

    /// Profile for nodes on the same host.
    pub fn local(name: impl Into<String>) -> Self {
        Self::new(name.into(), serf_proto::Options::local())
    }

    /// These options with a change: the way to write one in an expression.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn new(name: String, protocol: serf_proto::Options) -> Self {
        Self {
            name,
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), DEFAULT_PORT),
            advertise: None,
            tags: Tags::default(),
            join: Vec::new(),
            subscriber_events_max: 4096,
            snapshot: None,
            rejoin_after_leave: false,
            keyring_file: None,
            policy: None,
            seed: None,
            capture: None,
            protocol,
        }
    }
}

/// Serf's default port, for the listen address and for seeds without a port.
pub const DEFAULT_PORT: u16 = 7946;

#[cfg(test)]
mod tests {
    use serf_proto::Key;

    use super::*;

    #[test]
    fn the_protocols_profiles_are_the_nodes() {
        assert_eq!(Options::lan("a").protocol, serf_proto::Options::lan());
        assert_eq!(Options::wan("a").protocol, serf_proto::Options::wan());
        assert_eq!(Options::local("a").protocol, serf_proto::Options::local());
        let protocol = serf_proto::Options::lan().with(|options| options.transport.label = "dc1".into());
        assert!(protocol.swim.gossip_early && protocol.swim.gossip_packets_per_tick == 16);
        assert!(!protocol.hashicorp_pace().swim.gossip_early);
    }

    #[test]
    fn options_are_serialized_without_their_keys() {
        let mut options = Options::lan("a");
        let key = Key::generate().unwrap();
        options.protocol.transport.encrypt_keys.push(key.clone());
        assert!(Key::generate().unwrap() != key && key.as_bytes().len() == 32);
        let json = serde_json::to_value(&options).unwrap();
        let protocol = &json["protocol"];
        assert_eq!((&json["name"], &protocol["gossip_nodes"]), (&"a".into(), &3.into()));
        assert_eq!((&protocol["event_buffer"], &protocol["packet_bytes"]), (&512.into(), &1400.into()), "one level");
        assert!(json["protocol"].get("encrypt_keys").is_none());
    }
}
