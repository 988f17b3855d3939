//! Counters, samples and gauges.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::quote::{acts, shown, start_of};

/// Counters, samples and gauges of the last minute in intervals of ten seconds, and the sinks to statistics servers.
pub(crate) struct Metrics {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The node's counters at the last collection.
    taken: BTreeMap<&'static str, u64>,
    intervals: VecDeque<Interval>,
    sinks: Vec<mpsc::Sender<String>>,
    /// The host name, inserted into the names of gauges that go to a server.
    host: String,
}

struct Interval {
    begun: Instant,
    wall: jiff::ZonedDateTime,
    counters: BTreeMap<String, Aggregate>,
    samples: BTreeMap<String, Aggregate>,
    gauges: BTreeMap<String, f64>,
    /// Bytes used by the names of counters and samples; see [`NAMES_BYTES_MAX`].
    names_bytes: usize,
}

impl Interval {
    fn counter(&mut self, name: String) -> &mut Aggregate {
        kept(&mut self.counters, &mut self.names_bytes, name)
    }

    fn sample(&mut self, name: String) -> &mut Aggregate {
        kept(&mut self.samples, &mut self.names_bytes, name)
    }
}

/// The entry of `name`, or of [`OTHER`] when the limit on names is reached. Names of events and queries come from the
/// network.
fn kept<'i>(
    figures: &'i mut BTreeMap<String, Aggregate>,
    names_bytes: &mut usize,
    mut name: String,
) -> &'i mut Aggregate {
    if !figures.contains_key(&name) {
        let bytes = name.len() + ENTRY_BYTES;
        if *names_bytes + bytes <= NAMES_BYTES_MAX {
            *names_bytes += bytes;
        } else {
            name = OTHER.into();
        }
    }
    figures.entry(name).or_default()
}

#[derive(Default)]
struct Aggregate {
    count: u64,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Aggregate {
    fn add(&mut self, value: f64) {
        let is_first = self.count == 0;
        self.min = if is_first { value } else { self.min.min(value) };
        self.max = if is_first { value } else { self.max.max(value) };
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    fn render(&self, wall: &jiff::ZonedDateTime) -> String {
        let (count, sum) = (self.count, self.sum);
        let updated = wall.strftime("%a %b %e %H:%M:%S %z %Z %Y");
        if count <= 1 || self.min == self.max {
            return format!("Count: {count} Sum: {sum:.3} LastUpdated: {updated}");
        }
        let number = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let mean = sum / number;
        let deviation = ((self.squares - sum * mean) / (number - 1.0)).max(0.0).sqrt();
        let (min, max) = (self.min, self.max);
        format!(
            "Count: {count} Min: {min:.3} Mean: {mean:.3} Max: {max:.3} Stddev: {deviation:.3} Sum: {sum:.3} LastUpdated: {updated}"
        )
    }
}

impl Metrics {
    /// Metrics that are kept in memory and sent to `sinks`.
    pub(super) fn new(sinks: Vec<mpsc::Sender<String>>, host: &str) -> Self {
        let host = if sinks.is_empty() { String::new() } else { format!("{host}.") };
        Self { state: Mutex::new(State { sinks, host, ..State::default() }) }
    }

    /// Whether a server receives the metrics as they are recorded.
    pub(super) fn has_sink(&self) -> bool {
        !self.state.lock().unwrap_or_else(PoisonError::into_inner).sinks.is_empty()
    }

    /// Adds one to a counter.
    pub(crate) fn count(&self, name: &str) {
        self.add(name, 1.0);
    }

    /// Adds `times` to a counter.
    pub(super) fn add(&self, name: &str, times: f64) {
        self.with(|state| {
            let name = full_name(name);
            state.send(&name, times, "c");
            state.interval().counter(name).add(times);
        });
    }

    /// Adds the growth of a monotonic counter of the node since the last collection.
    pub(super) fn total(&self, name: &'static str, total: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.taken.insert(name, total).unwrap_or(0);
        drop(state);
        if total > before {
            self.add(name, f64::from(u32::try_from(total - before).unwrap_or(u32::MAX)));
        }
    }

    /// Adds a sample of a duration.
    pub(crate) fn sample(&self, name: &str, took: Duration) {
        self.observe(name, took.as_secs_f64() * 1000.0);
    }

    /// Adds a sample of a value.
    pub(super) fn observe(&self, name: &str, value: f64) {
        self.with(|state| {
            let name = full_name(name);
            state.send(&name, value, "ms");
            state.interval().sample(name).add(value);
        });
    }

    /// Sets a gauge.
    pub(super) fn gauge(&self, name: &str, value: f64) {
        self.with(|state| {
            let name = format!("{PREFIX}.{}{name}", state.host);
            state.send(&name, value, "g");
            state.interval().gauges.insert(name, value);
        });
    }

    /// Formats all intervals like `go-metrics` (`InmemSignal`). Ours: includes the interval in progress, which
    /// `go-metrics` leaves out, so that one dump shows the present state.
    pub(super) fn dump(&self) -> String {
        let mut text = String::new();
        self.with(|state| {
            for interval in &state.intervals {
                let at = interval.wall.strftime("%Y-%m-%d %H:%M:%S %z %Z");
                let mut line = |kind: char, name: &str, value: String| {
                    text.push_str(&format!("[{at}][{kind}] '{}': {value}\n", shown(name)));
                };
                interval.gauges.iter().for_each(|(name, value)| line('G', name, format!("{value:.3}")));
                interval.counters.iter().for_each(|(name, it)| line('C', name, it.render(&interval.wall)));
                interval.samples.iter().for_each(|(name, it)| line('S', name, it.render(&interval.wall)));
            }
        });
        text
    }

    fn with(&self, work: impl FnOnce(&mut State)) {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Records one counter, sample and gauge, and returns the lines that a server receives, and the dump. The name is one that a
/// member has chosen.
pub fn recorded(host: &str, name: &str, value: Duration) -> (Vec<String>, String) {
    let (sink, mut lines) = mpsc::channel(3);
    let metrics = Metrics::new(vec![sink], host);
    metrics.count(name);
    metrics.sample(name, value);
    metrics.gauge("members", value.as_secs_f64());
    let lines = core::iter::from_fn(|| lines.try_recv().ok()).collect();
    (lines, metrics.dump())
}

/// The full name of a metric, cut to [`NAME_BYTES_MAX`].
fn full_name(name: &str) -> String {
    start_of(&format!("{PREFIX}.{name}"), NAME_BYTES_MAX).to_owned()
}

/// Sanitises a name for a line to a server: separators and characters that act on a terminal become underscores. Ours:
/// also line ends, which `flattenKey` in `statsd.go` of `go-metrics` keeps, so that the name of an event can inject
/// metrics.
fn wire_name(name: &str) -> String {
    let divides = |letter: char| " :|".contains(letter) || letter.is_whitespace() || acts(letter);
    name.chars().map(|letter| if divides(letter) { '_' } else { letter }).collect()
}

impl State {
    fn send(&self, name: &str, value: f64, kind: &str) {
        if !self.sinks.is_empty() {
            let name = wire_name(name);
            // With a slow server, metrics are dropped; nothing blocks.
            let line = format!("{name}:{value:.6}|{kind}\n");
            for sink in &self.sinks {
                _ = sink.try_send(line.clone());
            }
        }
    }

    /// The current interval.
    fn interval(&mut self) -> &mut Interval {
        let now = Instant::now();
        if self.intervals.back().is_none_or(|interval| now - interval.begun >= INTERVAL) {
            while self.intervals.len() >= INTERVALS_MAX {
                self.intervals.pop_front();
            }
            self.intervals.push_back(Interval {
                begun: now,
                wall: jiff::ZonedDateTime::now(),
                counters: BTreeMap::new(),
                samples: BTreeMap::new(),
                gauges: BTreeMap::new(),
                names_bytes: 0,
            });
        }
        self.intervals.back_mut().expect("one was just added")
    }
}

const PREFIX: &str = "serf-agent";
const INTERVAL: Duration = Duration::from_secs(10);
const INTERVALS_MAX: usize = 7;

/// Limit on the length of a name, in bytes; a longer name is cut. A line for a server must fit into a packet.
const NAME_BYTES_MAX: usize = 256;

/// Limit on the bytes of all names in an interval, plus [`ENTRY_BYTES`] each. Further names are counted together as
/// [`OTHER`]. Room for about a thousand names of events.
const NAMES_BYTES_MAX: usize = 256 * 1024;

/// Memory per name besides its bytes: an entry in a map.
const ENTRY_BYTES: usize = 128;

const OTHER: &str = "serf-agent.other";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_events_name_writes_no_figure_of_its_own_to_a_server() {
        let (sink, mut lines) = mpsc::channel(9);
        let metrics = Metrics::new(vec![sink], "host");
        metrics.count("serf.events.y\nevil.metric:1|c\0\t\r\u{85}\u{2028}\u{a0}z");
        assert_eq!(lines.recv().await.as_deref(), Some("serf-agent.serf.events.y_evil.metric_1_c______z:1.000000|c\n"));
        metrics.count(&"n".repeat(60_000));
        let line = lines.recv().await.expect("is sent");
        assert_eq!(line.len(), NAME_BYTES_MAX + ":1.000000|c\n".len());
        assert!(metrics.dump().contains("'serf-agent.serf.events.y\\nevil.metric:1|c\\x00\\t"), "{}", metrics.dump());
    }

    #[test]
    fn names_that_strangers_choose_are_bounded_in_bytes_and_counted_as_one_beyond() {
        let metrics = Metrics::new(Vec::new(), "host");
        let name = |n: usize| format!("{n:0>width$}", width = NAME_BYTES_MAX - PREFIX.len() - 1);
        let fits = NAMES_BYTES_MAX / (NAME_BYTES_MAX + ENTRY_BYTES);
        (0..fits + 5).for_each(|n| metrics.count(&name(n)));
        metrics.count(&name(0));
        metrics.with(|state| {
            let interval = state.interval();
            assert_eq!(interval.counters.len(), fits + 1);
            assert_eq!(interval.counters[OTHER].count, 5);
            assert_eq!(interval.counters[&full_name(&name(0))].count, 2, "one that is known is counted under its name");
            assert!(interval.names_bytes <= NAMES_BYTES_MAX);
        });
    }
}
