//! Writes metrics in the text format of Prometheus, version 0.0.4.
//!
//! No name that comes from the network becomes a label: the number of label values would grow with members and events.

use core::fmt::{Display, Write};
use core::time::Duration;

use serf_tokio::serf_proto::{Histogram, Metric};

use super::Agent;
use crate::budget::Level;
use crate::tally::Tally;

impl Agent {
    /// Writes all metrics as one page.
    pub(super) fn exposition(&self) -> String {
        let mut page = Page::default();
        let version = concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
        page.family("serf_build_info", "gauge", "What runs here; always 1.");
        page.sample("serf_build_info", version, 1);
        let stats = self.serf.stats();
        page.node(stats.gauges(), stats.counters(), &stats.histograms);
        page.one("serf_encrypted", "gauge", "Whether gossip is encrypted.", u64::from(!self.serf.keys().is_empty()));
        page.tally(&self.tally);
        page.levels(&[("rpc_streams", self.streams.waiting()), ("log_lines", self.log.waiting())]);
        let help = "Lines of output dropped because the reader was too slow.";
        page.one("serf_log_lines_lost_total", "counter", help, self.log.lines_lost_in_all());
        page.text
    }
}

/// The part of the page about the node.
pub fn exposition(
    gauges: impl Iterator<Item = Metric>,
    counters: impl Iterator<Item = Metric>,
    histograms: &[Metric<Histogram>],
) -> String {
    let mut page = Page::default();
    page.node(gauges, counters, histograms);
    page.text
}

/// A page under construction.
#[derive(Default)]
struct Page {
    text: String,
    /// Name of the last family.
    family: String,
}

impl Page {
    /// Writes the `HELP` and `TYPE` lines of the samples that follow, once for adjacent samples of one name.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        if self.family == name {
            return;
        }
        name.clone_into(&mut self.family);
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes one sample. `labels` is empty or a list in braces.
    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        _ = writeln!(self.text, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }

    fn node(
        &mut self,
        gauges: impl Iterator<Item = Metric>,
        counters: impl Iterator<Item = Metric>,
        histograms: &[Metric<Histogram>],
    ) {
        self.all("gauge", "", gauges);
        self.all("counter", "_total", counters);
        for metric in histograms {
            let name = format!("serf_{}_seconds", metric.name);
            self.family(&name, "histogram", metric.help);
            let label = metric.label.map(|(label, value)| format!("{label}=\"{value}\""));
            let buckets = metric.value.buckets().map(|(bound, count)| (bound.as_secs_f64(), count));
            let (sum, count) = (metric.value.sum(), metric.value.count());
            self.histogram(&name, label.as_deref(), buckets, sum, count);
        }
    }

    /// Writes the samples of a histogram. `label` has no braces.
    fn histogram(
        &mut self,
        name: &str,
        label: Option<&str>,
        buckets: impl IntoIterator<Item = (f64, u64)>,
        sum: Duration,
        count: u64,
    ) {
        let (bucket, before) = (format!("{name}_bucket"), label.map_or_else(String::new, |label| format!("{label},")));
        for (bound, count) in buckets {
            self.sample(&bucket, &format!("{{{before}le=\"{bound}\"}}"), count);
        }
        self.sample(&bucket, &format!("{{{before}le=\"+Inf\"}}"), count);
        let labels = label.map_or_else(String::new, |label| format!("{{{label}}}"));
        self.sample(&format!("{name}_sum"), &labels, sum.as_secs_f64());
        self.sample(&format!("{name}_count"), &labels, count);
    }

    /// Writes all metrics of one kind. Samples of one name must be adjacent.
    fn all(&mut self, kind: &str, suffix: &str, metrics: impl Iterator<Item = Metric>) {
        for metric in metrics {
            let name = format!("serf_{}{suffix}", metric.name);
            self.family(&name, kind, metric.help);
            let labels = metric.label.map(|(label, value)| format!("{{{label}=\"{value}\"}}"));
            self.sample(&name, &labels.unwrap_or_default(), metric.value);
        }
    }

    /// Writes the fill level and the capacity of the agent's queues.
    fn levels(&mut self, queues: &[(&str, Level)]) {
        self.family("serf_agent_queue_bytes", "gauge", "Bytes queued for a slow reader.");
        for (queue, level) in queues {
            self.sample("serf_agent_queue_bytes", &format!("{{queue=\"{queue}\"}}"), level.bytes);
        }
        self.family("serf_agent_queue_bytes_max", "gauge", "Bytes that may wait; newer ones are dropped beyond.");
        for (queue, level) in queues {
            self.sample("serf_agent_queue_bytes_max", &format!("{{queue=\"{queue}\"}}"), level.bytes_max);
        }
    }

    fn tally(&mut self, tally: &Tally) {
        self.one("serf_rpc_clients", "gauge", "Clients that are connected.", tally.clients_open.get());
        for (name, help, count) in [
            ("serf_rpc_clients_accepted_total", "Clients that have connected.", &tally.clients_accepted),
            (
                "serf_rpc_clients_refused_total",
                "Clients sent away because there were too many.",
                &tally.clients_refused,
            ),
            ("serf_rpc_requests_total", "Requests of clients.", &tally.requests),
            ("serf_rpc_wrong_tokens_total", "Wrong tokens that clients have shown.", &tally.wrong_tokens),
            (
                "serf_rpc_stream_records_dropped_total",
                "Events that a client did not read in time.",
                &tally.stream_records_dropped,
            ),
            (
                "serf_rpc_monitor_records_dropped_total",
                "Log records that a client did not read in time.",
                &tally.monitor_records_dropped,
            ),
            ("serf_handler_failures_total", "Runs of handlers that failed.", &tally.handler_failures),
            (
                "serf_handler_timeouts_total",
                "Runs of handlers that took too long and were ended.",
                &tally.handler_timeouts,
            ),
            (
                "serf_handler_events_dropped_total",
                "Events that a handler was too slow for.",
                &tally.handler_events_dropped,
            ),
        ] {
            self.one(name, "counter", help, count.get());
        }
        const RUNS: &str = "serf_handler_duration_seconds";
        self.family(RUNS, "histogram", "How long handlers ran.");
        let runs = &tally.handler_runs;
        self.histogram(RUNS, None, runs.cumulated(), runs.sum(), runs.count());
    }
}
