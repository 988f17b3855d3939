//! Answers that exceed a datagram: fetched over TCP by agents with the native codec, refused to all others as before.

use serde_json::{Value, json};

use super::lab::{Agent, OURS, eventually, reference};
use super::rolling::wait_alive;

/// 40 000 bytes in lines that name their number.
const LARGE: &str = "-event-handler=query:large=awk 'BEGIN { for (i = 0; i < 2500; i++) printf \"line %010d\\n\", i }'";

fn large() -> String {
    (0..2500).map(|line| format!("line {line:010}\n")).collect()
}

/// Two agents that know each other.
fn pair(asker: (&str, &[&str]), responder: &[&str]) -> [Agent; 2] {
    let asker = Agent::start(asker.0, "asker", asker.1);
    let join = format!("-join={}", asker.bind);
    let responder = Agent::start(OURS, "responder", &[responder, &[&*join]].concat());
    let both = [asker, responder];
    wait_alive(&both, 2);
    both
}

fn responses(asker: &Agent, name: &str) -> Value {
    asker.ask(&["query", "-format=json", "-timeout=3s", "-node=responder", name]).json()["Responses"].clone()
}

#[test]
fn an_answer_of_40_kb_is_printed_whole_between_agents_with_the_native_codec() {
    for key in [&[][..], &["-encrypt=MDEyMzQ1Njc4OWFiY2RlZg=="]] {
        let flags = [key, &["-codec=auto", LARGE]].concat();
        let [asker, responder] = pair((OURS, &flags), &flags);
        assert!(responses(&asker, "large") == json!({ "responder": large() }));
        // As text: the lines of an answer after its first begin with a tab.
        let ran = asker.ask(&["query", "-timeout=3s", "large"]);
        for name in ["asker", "responder"] {
            let answer = format!("Response from '{name}': {}\n", large().trim_end().replace('\n', "\n\t"));
            assert!(ran.out.contains(&answer), "{} bytes of {name}", ran.out.len());
        }
        assert!(ran.out.ends_with("Total Acks: 2\nTotal Responses: 2\n"));
        assert!(!responder.log().contains("[WARN]"), "{}", responder.log());
    }
}

#[test]
fn an_answer_above_the_limit_is_refused_with_the_limit_and_its_end_is_not_sent() {
    let [asker, responder] = pair(
        (OURS, &["-codec=auto"]),
        &["-codec=auto", LARGE, "-event-handler=query:larger=head -c 65537 /dev/zero", "-log-level=debug"],
    );
    assert_eq!(responses(&asker, "larger"), json!({}));
    let why = "failed to respond to key query: response exceeds limit of 65536 bytes";
    let line = format!("[WARN] agent: Failed to respond to query 'query: larger': {why}");
    eventually(&line, || responder.log().contains(&line).then_some(()));
    assert!(responses(&asker, "large") == json!({ "responder": large() }), "the next is answered");
}

#[test]
fn hashicorps_agents_and_ours_with_their_codec_get_the_old_refusal() {
    let theirs = reference();
    for asker in [(OURS, &[][..])].into_iter().chain(theirs.iter().map(|binary| (&**binary, &[][..]))) {
        let [asker, responder] = pair(asker, &["-codec=auto", LARGE, "-event-handler=query:small=echo 3"]);
        assert_eq!(responses(&asker, "large"), json!({}));
        for line in [
            "generated 40000 bytes of output, the last 8192 are kept",
            "[WARN] agent: Failed to respond to query 'query: large': failed to respond to key query: response exceeds \
             limit of 1024 bytes",
        ] {
            eventually(line, || responder.log().contains(line).then_some(()));
        }
        assert_eq!(responses(&asker, "small"), json!({ "responder": "3\n" }));
    }
}

#[test]
fn large_answers_are_off_where_the_limit_is_one() {
    let directory = tempfile::tempdir().expect("can be made");
    let file = directory.path().join("off.json");
    std::fs::write(&file, r#"{"query_answer_size_limit": 1}"#).expect("can be written");
    let off = format!("-config-file={}", file.display());
    let [asker, responder] = pair((OURS, &["-codec=auto", &off]), &["-codec=auto", LARGE]);
    assert!(responses(&asker, "large") == json!({}), "the asker takes none");
    assert!(!responder.log().contains("response exceeds"), "the responder offers it");
    let [asker, responder] = pair((OURS, &["-codec=auto"]), &["-codec=auto", LARGE, &off]);
    assert_eq!(responses(&asker, "large"), json!({}));
    let line = "response exceeds limit of 1024 bytes";
    eventually(line, || responder.log().contains(line).then_some(()));
}

#[test]
fn hashicorps_codec_sends_the_last_8_kib_of_an_output_however_large_its_packets_are() {
    let directory = tempfile::tempdir().expect("can be made");
    let file = directory.path().join("packets.json");
    let text = r#"{"packet_bytes": 20000, "query_response_size_limit": 20000}"#;
    std::fs::write(&file, text).expect("can be written");
    let packets = format!("-config-file={}", file.display());
    let [asker, _responder] = pair((OURS, &[&packets]), &[&packets, LARGE]);
    let tail = &large()[40_000 - 8192..];
    assert_eq!(responses(&asker, "large"), json!({ "responder": tail }));
}
