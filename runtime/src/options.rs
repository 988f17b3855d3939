//! How a node is set up.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Serialize;
use serf_proto::{SharedPolicy, Tags};

/// Everything that [`Serf::start`](crate::Serf::start) needs to know. Start from a profile and change what you need. Settings may be
/// added: always end with `..` and a profile.
///
/// ```
/// use serf_runtime::{Key, NodeOptions, serf_proto};
///
/// let encrypt_keys = vec![Key::generate()?];
/// let options = NodeOptions {
///     bind: "10.0.0.7:7946".parse()?,
///     protocol: serf_proto::Options { encrypt_keys, ..serf_proto::Options::lan() },
///     ..NodeOptions::lan("web-1")
/// };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeOptions {
    /// The node's name, unique in the cluster, 1 to 255 bytes. The host name is a common choice.
    pub name: String,
    /// Where to listen, for UDP and TCP alike. `0.0.0.0` and `[::]` are every address of the host, of either kind if it has IPv6, as
    /// in Go. Port 0 is any port that is free for both. Default `0.0.0.0:7946`.
    pub bind: SocketAddr,
    /// Where the others reach the node. Port 0 stands for the port that the node listens on. Default: the address in `bind`,
    /// or, when that is every address, the first private one of the host's interfaces that are up: that of the default route first,
    /// IPv4 before IPv6. When the host loses an address that was chosen so, [`Stats::address_missing`](crate::Stats::address_missing)
    /// says so; when it has another in its place the node leaves, and [`Serf::wait`](crate::Serf::wait) says
    /// [`AddressChanged`](crate::End::AddressChanged).
    pub advertise: Option<SocketAddr>,
    /// What the node announces about itself. At most 512 bytes encoded. Default none.
    pub tags: Tags,
    /// Members to join through from the start on, written as for [`Serf::join`](crate::Serf::join). They are tried in the background, with
    /// growing pauses, until another member is known, so that they may come up later than this node; all nodes may have the same
    /// list, with themselves in it. Whoever wants to know how a join went leaves this empty and calls
    /// [`Serf::join`](crate::Serf::join). Default none.
    pub join: Vec<String>,
    /// How many events wait for a subscriber before it loses the oldest. Default 4096.
    pub subscriber_events_max: usize,
    /// Where the node keeps what it needs to find its cluster again after a restart: whom it knew, and which events it has had. It
    /// rejoins by itself when it starts, and is told no event twice. The format is that of HashiCorp's serf. Two nodes cannot
    /// share a file: it is locked while the node runs. Default none.
    pub snapshot: Option<PathBuf>,
    /// With a snapshot: return to the cluster also after a graceful leave, not only after a crash. Default false.
    pub rejoin_after_leave: bool,
    /// Where the keys are kept: read at the start, and written whenever members change them. The keys in it are used instead of
    /// [`encrypt_keys`](serf_proto::Options::encrypt_keys), which are those to begin with while there is no file. A node does not
    /// start without keys when this is set, nor with a file that cannot be read. A member that cannot write it says so in its
    /// answer. It is locked while the node runs. Without it changes of keys are forgotten at the end. The format is that of
    /// HashiCorp's agent: a JSON list of keys in base64, the primary first; [`write_keyring_file`](crate::write_keyring_file) makes
    /// one. Default none.
    pub keyring_file: Option<PathBuf>,
    /// Whom to admit, with which cluster to merge, and how long to remember whom, if the application decides that. It is called
    /// while the node is locked, and must not call the node. Default none: everybody is admitted.
    #[serde(skip)]
    pub policy: Option<SharedPolicy>,
    /// The settings of the protocol: intervals, timeouts, limits. Those of [`NodeOptions::lan`](Self::lan) are
    /// [`serf_proto::Options::lan`], so that either may be what a change of single settings ends with.
    pub protocol: serf_proto::Options,
}

impl NodeOptions {
    /// A node in a data centre.
    pub fn lan(name: impl Into<String>) -> Self {
        Self::new(name.into(), serf_proto::Options::lan())
    }

    /// A node whose peers are far apart.
    pub fn wan(name: impl Into<String>) -> Self {
        Self::new(name.into(), serf_proto::Options::wan())
    }

    /// A node whose peers are on the same host.
    pub fn local(name: impl Into<String>) -> Self {
        Self::new(name.into(), serf_proto::Options::local())
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
            protocol,
        }
    }
}

/// Where Serf listens unless told otherwise, and where seeds are looked for that name no port.
pub const DEFAULT_PORT: u16 = 7946;

#[cfg(test)]
mod tests {
    use serf_proto::envelope::Key;

    use super::*;

    #[test]
    fn the_protocols_profiles_are_the_nodes() {
        assert_eq!(NodeOptions::lan("a").protocol, serf_proto::Options::lan());
        assert_eq!(NodeOptions::wan("a").protocol, serf_proto::Options::wan());
        assert_eq!(NodeOptions::local("a").protocol, serf_proto::Options::local());
        let protocol = serf_proto::Options { label: "dc1".into(), ..serf_proto::Options::lan() };
        assert!(protocol.gossip_early && protocol.gossip_packets_per_tick == 16);
        assert!(!protocol.hashicorp_pace().gossip_early);
    }

    #[test]
    fn options_are_serialized_without_their_keys() {
        let mut options = NodeOptions::lan("a");
        let key = Key::generate().unwrap();
        options.protocol.encrypt_keys.push(key.clone());
        assert!(Key::generate().unwrap() != key && key.as_bytes().len() == 32);
        let json = serde_json::to_value(&options).unwrap();
        assert_eq!((&json["name"], &json["protocol"]["gossip_nodes"]), (&"a".into(), &3.into()));
        assert!(json["protocol"].get("encrypt_keys").is_none());
    }
}
