//! Builds the `stats` reply.

use std::collections::BTreeMap;

use serf_tokio::Status;

use super::Agent;
use crate::rpc::Stats;
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
        BTreeMap::from([
            ("agent".into(), group(&[("name", local.name().into())])),
            ("runtime".into(), runtime),
            ("serf".into(), serf),
            ("tags".into(), tags::of_node(&serf_tokio::Tags::decode(local.meta()))),
            ("event_handlers".into(), self.scripts.list().into_iter().collect()),
        ])
    }
}

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
