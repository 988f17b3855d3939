//! The feature `metrics`: counters and gauges reach the recorder of the crate `metrics`.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serf_tokio::{Coalescing, Options, Serf};
use tokio::time::sleep;

/// Keeps the last value of each counter and gauge, and the help of each name.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    values: BTreeMap<String, Arc<Value>>,
    helps: BTreeMap<String, String>,
}

/// The bits of a number.
#[derive(Default)]
struct Value(AtomicU64);

impl CounterFn for Value {
    fn increment(&self, _: u64) {
        panic!("a counter of a node is set");
    }

    fn absolute(&self, value: u64) {
        self.0.store((value as f64).to_bits(), Ordering::Relaxed);
    }
}

impl GaugeFn for Value {
    fn increment(&self, _: f64) {
        panic!("a gauge of a node is set");
    }

    fn decrement(&self, _: f64) {
        panic!("a gauge of a node is set");
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

impl Recorded {
    fn register(&self, key: &Key) -> Arc<Value> {
        let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.0.lock().expect("no panic").values.entry(name).or_default())
    }

    fn describe(&self, key: &KeyName, help: &SharedString) {
        self.0.lock().expect("no panic").helps.insert(key.as_str().into(), help.to_string());
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.0.lock().expect("no panic").values.get(name).map(|value| f64::from_bits(value.0.load(Ordering::Relaxed)))
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&key, &help);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&key, &help);
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn counters_and_gauges_are_copied_at_each_interval_until_the_node_stops() {
    let recorded = Recorded::default();
    metrics::set_global_recorder(recorded.clone()).unwrap_or_else(|_| panic!("is the first"));
    let options = Options::local("a").with(|options| options.bind = "127.0.0.1:0".parse().unwrap());
    let serf = Serf::start(options).unwrap();
    serf.record_metrics_every(Duration::from_secs(10));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(recorded.value("serf_user_events_sent_total{node=a}"), Some(0.0));
    assert_eq!(recorded.value("serf_members{status=live,node=a}"), Some(1.0));
    assert_eq!(recorded.value("serf_dropped_total{reason=malformed,node=a}"), Some(0.0));
    let stats = serf.stats();
    let copied = recorded.0.lock().expect("no panic").values.len();
    assert_eq!(copied, stats.counters().chain(stats.gauges()).count(), "all of them");
    for name in ["serf_probes_total", "serf_members"] {
        assert!(recorded.0.lock().expect("no panic").helps.get(name).is_some_and(|help| help.ends_with('.')), "{name}");
    }

    serf.user_event("deploy", b"", Coalescing::Forbid).unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(recorded.value("serf_user_events_sent_total{node=a}"), Some(0.0), "not yet");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(recorded.value("serf_user_events_sent_total{node=a}"), Some(1.0));

    let handle = tokio::runtime::Handle::current();
    drop(serf);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.metrics().num_alive_tasks(), 0, "the node has stopped, and the copying with it");
}
