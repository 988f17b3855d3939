//! How a node is set up.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serf_proto::{SharedPolicy, Tags};

/// Everything that [`Serf::start`](crate::Serf::start) needs to know. Start from a profile and change what you need:
///
/// ```
/// use serf_runtime::Options;
///
/// let options = Options { bind: "10.0.0.7:7946".parse()?, ..Options::lan("web-1") };
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
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
    /// Where the keys are written to whenever members change them; [`read_keyring_file`](crate::read_keyring_file) reads them for
    /// [`encrypt_keys`](serf_proto::Options::encrypt_keys). A member that cannot
    /// write it says so in its answer. It is locked while the node runs. Without it such changes are forgotten at the end. Default
    /// none.
    pub keyring_file: Option<PathBuf>,
    /// Whom to admit, with which cluster to merge, and how long to remember whom, if the application decides that. It is called
    /// while the node is locked, and must not call the node. Default none: everybody is admitted.
    pub policy: Option<SharedPolicy>,
    /// The settings of the protocol: intervals, timeouts, limits. The profiles are those of HashiCorp's nodes, but that news
    /// goes out at once after a quiet time, and a backlog in up to sixteen packets at a time: enough for 1500 small user events a second.
    pub protocol: serf_proto::Options,
}

impl Options {
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
        let protocol = serf_proto::Options { gossip_early: true, gossip_packets_per_tick: 16, ..protocol };
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
