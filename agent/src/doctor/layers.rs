//! Checks whether label and keys are the node's, and if not, which of them is wrong.

use std::net::SocketAddr;
use std::time::Duration;

use serf_tokio::serf_proto::{EnvelopeConfig, Keyring, Label};

use super::exchange::{Exchange, exchange};
use super::report::Report;

/// Judges label and keys by the outcome of the exchange with them. If it failed, tries others to find out which of them
/// is wrong. Returns the best combination, and the outcome with it.
pub(super) fn judge(
    report: &mut Report,
    to: SocketAddr,
    ours: EnvelopeConfig,
    seen: Exchange,
    timeout: Duration,
) -> (EnvelopeConfig, Exchange) {
    let (has_label, has_key) = (!ours.label.name().is_empty(), !ours.keyring.is_empty());
    match seen {
        Exchange::View(view) => {
            judge_surplus(report, Surplus { has_label, has_key, label: false, key: false });
            (ours, Exchange::View(view))
        }
        Exchange::Closed | Exchange::Complaint(_) | Exchange::Sealed => {
            for (label, key) in [(has_label, false), (false, has_key), (false, false)] {
                if (label, key) == (has_label, has_key) || (label && !has_label) || (key && !has_key) {
                    continue;
                }
                let fewer = without(&ours, label, key);
                if let Exchange::View(view) = exchange(to, &fewer, timeout) {
                    let (label, key) = (has_label && !label, has_key && !key);
                    judge_surplus(report, Surplus { has_label, has_key, label, key });
                    return (fewer, Exchange::View(view));
                }
            }
            match &seen {
                Exchange::Sealed => judge_sealed(report, has_label, has_key),
                seen => judge_lack(report, seen, has_label, has_key),
            }
            (ours, seen)
        }
        seen => {
            report.unknown("label", "not seen without an exchange over TCP");
            report.unknown("key", "not seen without an exchange over TCP");
            (ours, seen)
        }
    }
}

fn without(ours: &EnvelopeConfig, label: bool, key: bool) -> EnvelopeConfig {
    let mut layers = ours.clone();
    if !label {
        layers.label = Label::default();
    }
    if !key {
        layers.keyring = Keyring::default();
    }
    layers
}

/// The reply is encrypted, and none of our keys decrypts it.
fn judge_sealed(report: &mut Report, has_label: bool, has_key: bool) {
    report.unknown("label", "not seen: its reply cannot be decrypted");
    if !has_key {
        let advice = "Give its key with -encrypt or -keyring-file, also to the agents that are to join it.";
        return report.failed("key", "the node encrypts, and no key was given", advice);
    }
    let found = "the node replies under another key than those given";
    let label = if has_label { " Or the label is another: it is part of what is encrypted." } else { "" };
    let advice = format!(
        "Compare with 'serf keys -list' on that node. While keys are exchanged, it may understand this one and write under \
         another: install that one here.{label}"
    );
    report.failed("key", found, advice);
}

/// What was given, and which of it was superfluous.
struct Surplus {
    has_label: bool,
    has_key: bool,
    label: bool,
    key: bool,
}

/// The exchange succeeded with what was given, or with less.
fn judge_surplus(report: &mut Report, Surplus { has_label, has_key, label, key }: Surplus) {
    if label {
        report.failed(
            "label",
            "the node has none, and one was given",
            "Leave -label away, or give that node the label.",
        );
    } else {
        report.ok("label", if has_label { "the same" } else { "none on either side" });
    }
    if key {
        let advice = "Leave the key away, or start that node with -encrypt or -keyring-file: without, it reads nothing that \
                      is encrypted.";
        report.failed("key", "the node does not encrypt, and a key was given", advice);
    } else {
        report
            .ok("key", if has_key { "it reads and writes under a key that was given" } else { "none on either side" });
    }
}

/// The exchange fails with less, too.
fn judge_lack(report: &mut Report, seen: &Exchange, has_label: bool, has_key: bool) {
    let found = match seen {
        Exchange::Complaint(text) => format!("the node refuses: {text:?}"),
        _ => "the node closes the connection without a word".into(),
    };
    let advice = if has_label {
        "Its label is most likely another than the given one."
    } else {
        "A node with a label does so: give it with -label. If it has none, see whether this is a gossip port, and what the \
         node logs."
    };
    report.failed("label", found, advice);
    report.unknown("key", if has_key { "not seen: the label comes first" } else { "none given; not seen" });
}
