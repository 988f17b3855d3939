//! The HTTP endpoints for monitoring.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use serf_agent::rpc::UserEvent;

use crate::process::{Agent, eventually};

const ANY: &str = "-metrics-addr=127.0.0.1:0";

/// The status and the body of a response.
pub(super) fn get(agent: &Agent, request: &str) -> (u16, String) {
    let output = agent.output();
    let (_, addr) = output.split_once("Metrics addr: '").expect("is in the banner");
    let mut socket = TcpStream::connect(addr.split('\'').next().expect("is quoted")).expect("listens");
    socket.write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("takes it");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("answers and closes");
    let (head, body) = text.split_once("\r\n\r\n").expect("is an answer");
    let status = head.split(' ').nth(1).expect("has a status").parse().expect("is a number");
    (status, body.to_owned())
}

/// Every sample with its labels, after a check of the format like that of `promtool check metrics`.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|letter: char| letter.is_ascii_digit())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let (mut samples, mut families, mut family) = (BTreeMap::new(), BTreeSet::new(), (String::new(), String::new()));
    let mut helped = String::new();
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("has a text");
            assert!(is_name(name) && !text.is_empty(), "{line}");
            assert!(families.insert(name.to_owned()), "{name} is there twice");
            helped = name.into();
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("has a type");
            assert_eq!(name, helped, "help and type stand together");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = (name.into(), kind.into());
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("has a value");
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        let of_histogram = ["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", family.0));
        let belongs = if family.1 == "histogram" { of_histogram.contains(&name.into()) } else { name == family.0 };
        assert!(belongs, "{line} is not of {family:?}");
        let labels = labels.strip_suffix('}').expect("is closed");
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once('=').expect("has a value");
            assert!(is_name(label) && value.len() > 1 && value.starts_with('"') && value.ends_with('"'), "{line}");
        }
        let value: f64 = value.parse().expect("is a number");
        assert!(value >= 0.0, "{line}");
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} is there twice");
    }
    samples
}

#[test]
fn figures_are_served_in_the_format_of_prometheus() {
    let agent = Agent::start(&[ANY, "-event-handler=user:fail=exit 3", "-event-handler=user:works=echo fine"]);
    let mut client = agent.client();
    for name in ["fail", "works", "a name\nof an \"outsider\""] {
        client.event(UserEvent { name: name.into(), payload: None, coalesce: false }).expect("is sent");
    }
    let page = eventually("both runs", || {
        let (status, page) = get(&agent, "GET /metrics");
        assert_eq!(status, 200);
        page.contains("serf_handler_duration_seconds_count 2\n").then_some(page)
    });
    let samples = samples(&page);
    for (sample, value) in [
        ("serf_members{status=\"live\"}", 1.0),
        ("serf_handler_failures_total", 1.0),
        ("serf_handler_timeouts_total", 0.0),
        ("serf_handler_duration_seconds_bucket{le=\"+Inf\"}", 2.0),
        ("serf_rpc_clients", 1.0),
        ("serf_rpc_clients_accepted_total", 1.0),
        ("serf_rpc_requests_total", 4.0),
        ("serf_user_events_total", 3.0),
        ("serf_queue_depth{queue=\"intents\"}", 0.0),
        ("serf_health_score", 0.0),
        ("serf_encrypted", 0.0),
        ("serf_dropped_total{reason=\"malformed\"}", 0.0),
        ("serf_file_errors_total", 0.0),
        ("serf_digests_compared_total", 0.0),
        ("serf_rows_reconciled_total", 0.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}");
    }
    for family in [
        "serf_probe_round_trip_seconds",
        "serf_gossip_wait_seconds{queue=\"swim\"}",
        "serf_gossip_wait_seconds{queue=\"intents\"}",
        "serf_gossip_wait_seconds{queue=\"queries\"}",
        "serf_gossip_wait_seconds{queue=\"events\"}",
        "serf_dissemination_seconds",
        "serf_dissemination_all_seconds",
    ] {
        let (name, labels) = family.split_once('{').map_or((family, ""), |(name, rest)| (name, rest));
        let inner = labels.trim_end_matches('}');
        let comma = if inner.is_empty() { "" } else { "," };
        for bound in ["0.0001", "0.025", "30", "+Inf"] {
            let bucket = format!("{name}_bucket{{{inner}{comma}le=\"{bound}\"}}");
            assert!(samples.contains_key(&bucket), "{bucket}");
        }
        let braces = if inner.is_empty() { String::new() } else { format!("{{{inner}}}") };
        for suffix in ["_sum", "_count"] {
            assert_eq!(samples.get(&format!("{name}{suffix}{braces}")), Some(&0.0), "a lone node measures nothing");
        }
    }
    assert!(samples.keys().any(|sample| sample.starts_with("serf_build_info{version=")));
    assert!(!page.contains("outsider"), "no name that the network chose");
}

#[test]
fn the_status_page_is_served_if_asked_for_and_names_are_no_markup() {
    assert_eq!(get(&Agent::start(&[ANY]), "GET /ui").0, 404);
    let agent = Agent::start(&[ANY, "-ui", "-tag=x=<script>1</script>"]);
    let (status, page) = get(&agent, "GET /ui");
    assert_eq!(status, 200);
    // Nothing from elsewhere, and no script within the page, which the policy would refuse.
    assert!(page.contains("src=\"/ui/page.js\"") && !page.contains("http") && !page.contains("<script>"), "{page}");
    assert_eq!((get(&agent, "GET /ui/page.js").0, get(&agent, "GET /ui/page.css").0), (200, 200));
    assert_eq!((get(&agent, "GET /ui/other").0, get(&agent, "POST /ui/state").0), (404, 405));
    agent.client().event(UserEvent { name: "deploy".into(), payload: None, coalesce: false }).expect("is sent");
    let events = eventually("the event", || {
        let (_, events) = get(&agent, "GET /ui/events");
        events.contains("deploy (0 bytes)").then_some(events)
    });
    let last = events.matches("\nid: ").count();
    let (_, news) = get(&agent, &format!("GET /ui/events HTTP/1.1\r\nLast-Event-ID: {last}\r\nX: y"));
    assert!(news.contains("retry: ") && !news.contains("id: "), "{news}");
    let (_, state) = get(&agent, "GET /ui/state");
    let state: serde_json::Value = serde_json::from_str(&state).expect("is JSON");
    assert_eq!(state["members"][0]["tags"]["x"], "<script>1</script>");
    assert_eq!(state["members"][0]["status"], "alive");
    assert!(state["problem"].is_null() && state["figures"]["health_score"] == 0, "{state}");
}

#[test]
fn a_status_page_without_an_address_is_refused() {
    let mut agent = Agent::spawn("127.0.0.1:0", &["-ui"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait("==> Error starting the status page: -ui needs -metrics-addr");
}

#[test]
fn beacons_measure_how_long_news_takes_to_reach_all_members() {
    let one = Agent::start(&[ANY, "-beacon-interval=1s"]);
    let two = Agent::start(&["-node=two", "-join", &one.bound()]);
    one.wait("[DEBUG] agent: beacon: all 1 other members were reached in ");
    let (_, page) = get(&one, "GET /metrics");
    let samples = samples(&page);
    let (each, all) = (samples["serf_dissemination_seconds_count"], samples["serf_dissemination_all_seconds_count"]);
    assert!(all >= 1.0 && each >= all, "{each} {all}");
    assert!(samples["serf_dissemination_all_seconds_sum"] > 0.0);
    two.signal("KILL");
    one.wait("[WARN] agent: beacon: 1 members did not acknowledge in ");
}

#[test]
fn the_alerts_and_the_dashboard_use_metrics_that_exist() {
    let agent = Agent::start(&[ANY]);
    let (_, page) = get(&agent, "GET /metrics");
    let exists: BTreeSet<&str> =
        page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    for file in ["prometheus/alerts.yml", "grafana/serf.json"] {
        let path = format!("{}/dist/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("is in the package's sources");
        let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        let used: BTreeSet<&str> = words.filter(|word| word.starts_with("serf_")).collect();
        assert!(used.len() > 15, "{file}: {used:?}");
        let missing: Vec<_> = used.difference(&exists).collect();
        assert!(missing.is_empty(), "{file}: {missing:?}");
        for reasons in text.split("reason=~\"").skip(1) {
            for reason in reasons.split('"').next().expect("is quoted").split('|') {
                assert!(page.contains(&format!("{{reason=\"{reason}\"}}")), "{file}: {reason}");
            }
        }
    }
}

#[test]
fn health_ends_with_the_leave_and_other_requests_are_refused() {
    let agent = Agent::start(&[ANY]);
    assert_eq!(get(&agent, "GET /healthz"), (200, "ok\n".into()));
    assert_eq!(get(&agent, "GET /other").0, 404);
    assert_eq!(get(&agent, "POST /metrics").0, 405);
    assert_eq!(get(&agent, "HEAD /metrics"), (200, String::new()));
    // The leave of a lone node takes a second.
    agent.signal("INT");
    agent.wait("requesting graceful leave");
    assert_eq!(get(&agent, "GET /healthz"), (503, "leaving the cluster\n".into()));
}

#[test]
fn silent_connections_to_the_web_server_delay_no_request() {
    let agent = Agent::start(&[ANY]);
    let output = agent.output();
    let (_, addr) = output.split_once("Metrics addr: '").expect("is in the banner");
    let addr = addr.split('\'').next().expect("is quoted");
    let idle: Vec<_> = (0..20).map(|_| TcpStream::connect(addr).expect("listens")).collect();
    // More than are served at a time; they are closed after a while.
    assert_eq!(get(&agent, "GET /healthz").0, 200);
    drop(idle);
    assert_eq!(agent.client().members().expect("answers").len(), 1);
}

#[test]
fn an_address_that_cannot_be_bound_is_reported() {
    let mut agent = Agent::spawn("127.0.0.1:0", &["-metrics-addr=127.0.0.1"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait("==> Error starting metrics listener: listen tcp: address 127.0.0.1: missing port in address");
}
