//! Texts for monitoring: the page for Prometheus, lines for statsd, the dump of the metrics.

use std::time::Duration;

use serf_agent::internals::{exposition, recorded};
use serf_proto::{CodecChoice, Input, Usage};

use crate::sealed;
use crate::subject::{Kind, Subject, addr};

/// A packet to a server has at most so many bytes, of which the shortest line must leave some.
const LINE_BYTES_MAX: usize = 1400;

/// Even first byte: sends the rest as a datagram, such as one with names and labels, and checks the page for Prometheus.
/// Odd first byte: records a value of four bytes under a name that a member has chosen.
pub fn metrics_text(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    if how & 1 == 0 {
        page(data);
    } else if let Some((value, name)) = data.split_first_chunk() {
        lines(&String::from_utf8_lossy(name), Duration::from_micros(u32::from_le_bytes(*value).into()));
    }
}

fn page(datagram: &[u8]) {
    let mut subject = Subject::new(Kind { codec: CodecChoice::Auto, is_sealed: true });
    subject.give(Input::Datagram { from: addr(2), bytes: sealed::datagram(1, datagram) });
    subject.pass(Duration::from_secs(1));
    let node = &subject.node;
    let (gauges, counters) = (node.usage(), node.stats().counters());
    let page = exposition(Usage::gauges(&gauges), counters, &node.histograms());
    let mut seen = std::collections::BTreeSet::new();
    let mut family = "";
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').expect("a help text follows").0;
            assert!(seen.insert(family), "{family} has two parts");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type follows");
            assert!(name == family && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
        } else {
            let sample = sample(line).unwrap_or_else(|| panic!("{line:?} is no sample"));
            assert!(sample.0.starts_with(family) && sample.1 >= 0.0, "{line}");
        }
    }
    assert!(page.ends_with('\n') && seen.len() > 20, "{} families", seen.len());
}

/// Parses `name{label="value",…} number`. Labels have no escapes, because none comes from the network.
fn sample(line: &str) -> Option<(&str, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?.split(',').collect()),
        None => (series, vec![]),
    };
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_label = |label: &&str| {
        let quoted = label.split_once("=\"").and_then(|(key, value)| Some((key, value.strip_suffix('"')?)));
        quoted.is_some_and(|(key, value)| {
            is_name(key) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte))
        })
    };
    (is_name(name) && labels.iter().all(is_label)).then_some(())?;
    Some((name, value.parse().ok()?))
}

fn lines(name: &str, value: Duration) {
    let (lines, dump) = recorded("host", name, value);
    let kinds = ["c", "ms", "g"];
    assert_eq!(lines.len(), kinds.len());
    for (line, expected) in lines.iter().zip(kinds) {
        assert!(line.len() <= LINE_BYTES_MAX, "a line of {} bytes", line.len());
        let line = line.strip_suffix('\n').expect("a line ends");
        let (name, rest) = line.split_once(':').expect("a value follows");
        let (value, kind) = rest.split_once('|').expect("a kind follows");
        assert!(kind == expected && value.parse::<f64>().is_ok(), "{line:?}");
        assert!(
            !name.contains(|letter: char| letter.is_control() || letter.is_whitespace() || letter == '|'),
            "{name:?}"
        );
    }
    assert_eq!(dump.lines().count(), kinds.len(), "{dump:?}");
    for line in dump.lines() {
        assert!(line.starts_with('[') && line.contains("'serf-agent"), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
