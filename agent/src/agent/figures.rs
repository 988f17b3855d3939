//! Builds the `stats` reply.

use std::collections::BTreeMap;

use serf_tokio::{CodecChoice, Member, Status};

use super::Agent;
use crate::rpc::{DISAGREEMENTS, Stats};
use crate::tags;

impl Agent {
    /// Collects all figures (`Stats` in `agent.go` and `serf.go`).
    pub(super) fn figures(&self) -> Stats {
        let group = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        let local = self.serf.local();
        let members = self.serf.members();
        let count = |status| members.iter().filter(|member| member.status() == status).count().to_string();
        let stats = self.serf.stats();
        let cpus = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let runtime = group(&[
            ("os", os().into()),
            ("arch", arch().into()),
            ("version", concat!("serf-agent ", env!("CARGO_PKG_VERSION")).into()),
            ("max_procs", "1".into()),
            ("goroutines", tasks.to_string()),
            ("cpu_count", cpus.to_string()),
        ]);
        let mut serf = group(&[
            ("members", members.len().to_string()),
            ("failed", count(Status::Failed)),
            ("left", count(Status::Left)),
            ("health_score", stats.health_score.to_string()),
            ("member_time", stats.clocks.member.to_string()),
            ("event_time", stats.clocks.event.to_string()),
            ("query_time", stats.clocks.query.to_string()),
            ("intent_queue", stats.queues.intents.to_string()),
            ("event_queue", stats.queues.events.to_string()),
            ("query_queue", stats.queues.queries.to_string()),
            ("encrypted", (!self.serf.keys().is_empty()).to_string()),
        ]);
        if self.serf.coordinate().is_some() {
            serf.insert("coordinate_resets".into(), stats.protocol.coordinate_resets.to_string());
        }
        let mut figures = BTreeMap::from([
            ("agent".into(), group(&[("name", local.name().into())])),
            ("runtime".into(), runtime),
            ("tags".into(), tags::of_node(&serf_tokio::Tags::decode(local.meta()))),
            ("event_handlers".into(), self.scripts.list().into_iter().collect()),
        ]);
        if self.codec != CodecChoice::HashiCorp {
            let natives = members.iter().filter(|member| reads_native(member)).count();
            serf.extend(native(self.codec, natives, &stats.protocol));
            let disagreements = self.serf.disagreements();
            let differ = disagreements.iter().filter(|(_, tries)| *tries >= DISAGREEMENT_TRIES_MIN);
            let differ: BTreeMap<_, _> =
                differ.map(|(peer, tries)| (peer.name().to_owned(), tries.to_string())).collect();
            if !differ.is_empty() {
                figures.insert(DISAGREEMENTS.into(), differ);
            }
        }
        figures.insert("serf".into(), serf);
        figures
    }
}

/// Ours: the figures of the native codec. An agent that speaks HashiCorp's codec only reports what HashiCorp's agent
/// reports.
fn native(codec: CodecChoice, natives: usize, stats: &serf_tokio::serf_proto::Stats) -> Vec<(String, String)> {
    let counters = [
        ("digests_compared", stats.digests_compared),
        ("digests_differed", stats.digests_differed),
        ("reconciliations", stats.reconciliations),
        ("reconciliations_answered", stats.reconciliations_answered),
        ("rows_reconciled", stats.rows_reconciled),
        ("event_reconciliations", stats.event_reconciliations),
    ];
    let words = [("codec", codec.to_string()), ("native_members", natives.to_string())];
    let counters = counters.map(|(name, count)| (name, count.to_string()));
    words.into_iter().chain(counters).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Whether a member that is alive or leaving reads the native codec.
fn reads_native(member: &Member) -> bool {
    matches!(member.status(), Status::Alive | Status::Leaving) && member.peer().versions().reads_native()
}

/// Consecutive reconciliations with one member after which a remaining difference is reported. Their growing pauses add up
/// to a minute on a LAN, so that broadcasts in transit are not reported as a fault.
const DISAGREEMENT_TRIES_MIN: u32 = 5;

/// Go's name of the operating system.
fn os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    }
}

/// Go's name of the processor architecture.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        arch => arch,
    }
}
