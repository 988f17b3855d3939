//! Copies a node's counters and gauges to the recorder of the `metrics` crate.

use core::time::Duration;
use std::sync::Arc;

use futures_lite::future::or;
use metrics::{Label, counter, describe_counter, describe_gauge, gauge};
use serf_proto::Metric;

use crate::net::Net;
use crate::serf::Serf;
use crate::stats::Stats;

/// Metrics.
impl<N: Net> Serf<N> {
    /// Copies all counters and gauges to the recorder of the `metrics` crate: now, and then at each `interval` until the
    /// node stops. It does not keep the node running. Call it once, after the recorder was installed. Intervals below
    /// 100 ms are raised to 100 ms.
    ///
    /// The names are those of the agent's `/metrics`: `serf_` and the name of the [metric](Metric::name), with `_total`
    /// after a counter's, as `serf_probes_total` and `serf_members`. The labels are the metric's own, as `status`, and
    /// `node`, which tells several nodes of one process apart. All values of labels but that of `node` are constants.
    ///
    /// [Histograms](crate::Stats::histograms) are not copied: a recorder takes single durations, not classes.
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn record_metrics_every(&self, interval: Duration) {
        let interval = interval.max(INTERVAL_LEAST);
        let (shared, weak) = (Arc::clone(self.shared()), self.downgrade());
        let repeated = async move {
            if let Some(serf) = weak.upgrade() {
                describe(&serf.stats());
            }
            while let Some(serf) = weak.upgrade() {
                serf.copy_metrics(&serf.stats());
                // Not held during the sleep: the node would not stop with its last handle.
                drop(serf);
                let is_over = async {
                    _ = shared.gone.recv().await;
                    true
                };
                let slept = async {
                    shared.net.sleep(interval).await;
                    false
                };
                if or(is_over, slept).await {
                    return;
                }
            }
        };
        let net = &self.shared().net;
        net.detach(net.spawn(repeated));
    }

    /// Copies all counters and gauges once; see [`record_metrics_every`](Self::record_metrics_every). For a service that
    /// copies at its own times, such as at a scrape.
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn record_metrics(&self) {
        let stats = self.stats();
        describe(&stats);
        self.copy_metrics(&stats);
    }

    fn copy_metrics(&self, stats: &Stats) {
        let node = self.local().name().to_owned();
        for metric in stats.counters() {
            counter!(counter_name(&metric), labels(&metric, &node)).absolute(metric.value);
        }
        for metric in stats.gauges() {
            // Exact up to 2^53, as in every format for gauges.
            gauge!(gauge_name(&metric), labels(&metric, &node)).set(metric.value as f64);
        }
    }
}

/// Registers the help texts. The set of metrics does not change while a node runs.
fn describe(stats: &Stats) {
    for metric in stats.counters() {
        describe_counter!(counter_name(&metric), metric.help);
    }
    for metric in stats.gauges() {
        describe_gauge!(gauge_name(&metric), metric.help);
    }
}

fn counter_name(metric: &Metric) -> String {
    format!("serf_{}_total", metric.name)
}

fn gauge_name(metric: &Metric) -> String {
    format!("serf_{}", metric.name)
}

fn labels(metric: &Metric, node: &str) -> Vec<Label> {
    let own = metric.label.map(|(key, value)| Label::from_static_parts(key, value));
    own.into_iter().chain([Label::new("node", node.to_owned())]).collect()
}

/// A shorter interval would copy the same values again and again.
const INTERVAL_LEAST: Duration = Duration::from_millis(100);
