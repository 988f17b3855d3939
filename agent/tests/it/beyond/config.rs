//! `serf config`, and the settings that HashiCorp's agent lacks.

use super::super::process::Directory;
use super::lab::{Agent, OURS, eventually, free_address, serf};

fn file(dir: &Directory, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).expect("can be written");
    path.display().to_string()
}

#[test]
fn config_check_exits_with_1_for_errors_2_for_warnings_and_0_otherwise() {
    let dir = Directory::new();
    let good = file(&dir, "good.json", r#"{"bind": "127.0.0.1", "retry_interval": "5s"}"#);
    let old = file(&dir, "old.json", r#"{"role": "web"}"#);
    let bad = file(&dir, "bad.json", r#"{"bindd": "127.0.0.1"}"#);
    let check = |paths: &[&str]| serf(&[&["config", "check"], paths].concat(), &[]);
    assert_eq!(
        [check(&[&good]).code, check(&[&good, &old]).code, check(&[&old, &bad]).code],
        [Some(0), Some(2), Some(1)]
    );
    assert_eq!(check(&[]).code, Some(1));
    let text = check(&[&bad]).out;
    assert_eq!(
        text,
        format!(
            "error    {bad}: unknown key \"bindd\"\n         did you mean bind?\n\
             An agent does not start with these settings: there is 1 error.\n"
        )
    );
    // The agent agrees.
    for (path, code) in [(&good, 0), (&old, 0), (&bad, 1)] {
        assert_eq!(serf(&["agent", "-check", "-config-file", path], &[]).code, Some(code), "{path}");
    }
    let found = check(&["-format=json", &old]).json();
    assert_eq!(found[0]["severity"], "warning", "{found:#}");
    assert_eq!((&found[0]["file"], &found[0]["what"]), (&old.into(), &"role is deprecated".into()));
}

#[test]
fn config_show_has_the_values_that_an_agent_runs_with_and_their_sources() {
    let dir = Directory::new();
    let path =
        file(&dir, "a.json", r#"{"profile": "wan", "tags": {"dc": "eu"}, "encrypt_key": "MDEyMzQ1Njc4OWFiY2RlZg=="}"#);
    let args = ["config", "show", "-config-file", &path, "-node=n", "-bind=127.0.0.1"];
    let env = [("SERF_LABEL", "dc1"), ("SERF_MDNS_DISABLE_IPV6", "true")];
    let text = serf(&args, &env).out;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    for line in [
        &["bind", "\"127.0.0.1\"", "flag", "-bind"][..],
        &["codec", "\"hashicorp\"", "default"],
        &["encrypt_key", "\"(not", "shown)\"", "file", &path],
        &["label", "\"dc1\"", "environment", "SERF_LABEL"],
        &["mdns.disable_ipv6", "true", "environment", "SERF_MDNS_DISABLE_IPV6"],
        &["probe_interval", "\"5s\"", "profile", "wan"],
        &["tags.dc", "\"eu\"", "file", &path],
    ] {
        assert!(lines.iter().any(|it| it == line), "{line:?} is not in\n{text}");
    }
    let json = serf(&[&args[..], &["-format=json"]].concat(), &env).json();
    let rows = json.as_array().expect("is a list");
    let bind = rows.iter().find(|row| row["key"] == "bind").expect("is there");
    assert_eq!(bind["sources"], serde_json::json!([{"kind": "flag", "name": "-bind"}]));
    assert!(!text.contains("MDEy") && !json.to_string().contains("MDEy"));
    assert_eq!(serf(&["config", "show", "-bogus"], &[]).code, Some(1));
    assert_eq!(serf(&["config"], &[]).code, Some(1));
}

#[test]
fn a_label_keeps_clusters_apart_and_doctor_is_given_it() {
    let one = Agent::start(OURS, "one", &["-label=dc1"]);
    let two = Agent::start(OURS, "two", &["-label=dc1", "-join", &one.bind]);
    let other = Agent::start(OURS, "other", &[]);
    assert_eq!(other.ask(&["join", &one.bind]).code, Some(1));
    assert_eq!(two.ask(&["members"]).out.lines().count(), 2);
    assert_eq!(serf(&["doctor", "-label=dc1", &one.bind], &[]).code, Some(0));
}

#[test]
fn an_address_outside_of_the_allowed_networks_is_kept_out() {
    let allowed = ["-cidrs-allowed=127.0.0.1/32", "-cidrs-allowed=127.0.1.0/31"];
    let fenced = Agent::start(OURS, "fenced", &allowed);
    let at = |ip: &str| free_address().replace("127.0.0.1", ip);
    let start = |name: &str, ip: &str| Agent::start(OURS, name, &["-bind", &at(ip)]);
    let (inside, outside) = (start("inside", "127.0.1.1"), start("outside", "127.0.1.2"));
    assert_eq!(inside.ask(&["join", &fenced.bind]).code, Some(0));
    // Its streams come from 127.0.0.1, its datagrams and its record from 127.0.1.2.
    outside.ask(&["join", &fenced.bind]);
    eventually("the complaint", || fenced.log().contains(" from=127.0.1.2:").then_some(()));
    let names = fenced.ask(&["members"]).out;
    assert!(names.contains("inside") && !names.contains("outside"), "{names}");

    let own = serf(&["agent", "-bind=127.0.1.2:0", "-rpc-addr=none", "-cidrs-allowed=127.0.0.1/32"], &[]);
    assert_eq!(own.code, Some(1));
    assert!(own.out.contains("it is in none of the networks of cidrs_allowed: add its network"), "{own:?}");
}

#[test]
fn an_address_to_bind_is_a_name_or_a_template() {
    let check = |bind: &str| serf(&["agent", "-check", "-bind", bind], &[]);
    assert_eq!(check("localhost:7000").code, Some(0));
    let none = check("{{ GetInterfaceIP \"nosuch0\" }}");
    assert_eq!(none.code, Some(1));
    assert!(
        none.out
            .contains("Invalid bind address: template {{ GetInterfaceIP \"nosuch0\" }} fits no address of this host"),
        "{none:?}"
    );
    let odd = check("{{ GetPrivateIPs }}");
    assert!(odd.out.contains("has an unsupported part, \"GetPrivateIPs\"; there are GetPrivateIP,"), "{odd:?}");
}
