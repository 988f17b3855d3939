//! `-format=json` on every command with output.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::lab::{Agent, OURS, binaries, serf};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";
const NEW_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMA==";

#[test]
fn every_command_answers_in_json() {
    for binary in binaries() {
        let one = Agent::start(&binary, "one", &["-encrypt", KEY]);
        let two = Agent::start(&binary, "two", &["-encrypt", KEY, "-event-handler=query:load=echo 3"]);
        let ask = |args: &[&str]| -> Value {
            let (command, rest) = args.split_first().expect("names a command");
            let args: Vec<&str> = [command, "-format=json"].iter().chain(rest).copied().collect();
            let ran = one.ask(&args);
            assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}: {}", ran.out);
            ran.json()
        };
        assert_eq!(ask(&["join", &two.bind]), json!({"joined": 1}));
        one.wait_status("two", "alive");
        two.wait_status("one", "alive");
        assert_eq!(ask(&["event", "deploy", "v1"]), json!({"event": "deploy", "coalesce": true}));
        assert_eq!(ask(&["tags", "-set=a=<b>", "-delete=c"]), json!({"set": {"a": "<b>"}, "deleted": ["c"]}));
        assert_eq!(ask(&["members", "-name=two"])["members"][0]["name"], "two");
        assert_eq!(ask(&["info"])["agent"]["name"], "one");
        assert_eq!(ask(&["query", "-timeout=500ms", "-node=two", "load"])["Responses"], json!({"two": "3\n"}));

        let reach = ask(&["reachability"]);
        assert_eq!((&reach["reachable"], &reach["acks"]), (&true.into(), &json!(["one", "two"])));
        assert_eq!((&reach["missing"], &reach["surplus"], &reach["twice"]), (&json!([]), &json!([]), &json!([])));
        let rtt = ask(&["rtt", "one", "two"]);
        assert_eq!((&rtt["from"], &rtt["to"]), (&"one".into(), &"two".into()));
        assert!(rtt["rtt_ms"].as_f64().expect("is a number") > 0.0);

        let done = json!({"messages": {}, "nodes": 2, "responses": 2, "errors": 0});
        for flag in ["-install", "-use"] {
            assert_eq!(ask(&["keys", flag, NEW_KEY]), done);
        }
        let list = ask(&["keys", "-list"]);
        assert_eq!(list["keys"], json!({KEY: 2, NEW_KEY: 2}));
        // The primary key cannot be removed: the command fails, and reports in one document where and why.
        let ran = one.ask(&["keys", "-format=json", "-remove", NEW_KEY]);
        assert_eq!(ran.code, Some(1));
        assert_eq!((&ran.json()["error"], &ran.json()["errors"]), (&"2/2 nodes reported failure".into(), &2.into()));
        assert_eq!(ran.json()["messages"].as_object().map(|messages| messages.len()), Some(2));

        assert_eq!(ask(&["force-leave", "nobody"]), json!({"node": "nobody", "prune": false}));
        assert_eq!(ask(&["leave"]), json!({"left": true}));
    }
}

#[test]
fn a_silent_member_is_listed_as_missing_and_sets_the_exit_code() {
    for binary in binaries() {
        let one = Agent::start(&binary, "one", &[]);
        let mut two = Agent::start(&binary, "two", &["-join", &one.bind]);
        one.wait_status("two", "alive");
        two.kill();
        let ran = one.ask(&["reachability", "-format=json"]);
        let reach = ran.json();
        assert_eq!((ran.code, &reach["reachable"]), (Some(1), &false.into()), "{reach:#}");
        assert_eq!((&reach["live"], &reach["missing"], &reach["acks"]), (&2.into(), &json!(["two"]), &json!(["one"])));
    }
}

#[test]
fn commands_without_an_agent_answer_in_json() {
    let version = serf(&["version", "-format=json"], &[]).json();
    assert_eq!(version, json!({"version": env!("CARGO_PKG_VERSION"), "protocol": {"version": 5, "min": 2}}));
    let key = serf(&["keygen", "-format=json"], &[]).json();
    assert_eq!(key["key"].as_str().map(str::len), Some(44));
    // These two ignore invalid arguments, with JSON too.
    assert_eq!(serf(&["version", "-bogus", "x"], &[]).code, Some(0));
    assert_eq!(serf(&["keygen", "-format=xml"], &[]).out.trim().len(), 44);
}

#[test]
fn failures_in_json_are_one_object_on_the_output_and_exit_code_1() {
    for command in [
        vec!["event", "-format=json", "x"],
        vec!["force-leave", "-format=json", "x"],
        vec!["join", "-format=json", "127.0.0.1:1"],
        vec!["keys", "-format=json", "-list"],
        vec!["leave", "-format=json"],
        vec!["monitor", "-format=json"],
        vec!["reachability", "-format=json"],
        vec!["rtt", "-format=json", "x"],
        vec!["tags", "-format=json", "-set=a=b"],
        vec!["why", "-format=json", "x"],
    ] {
        let ran = serf(&command, &[("SERF_RPC_ADDR", "127.0.0.1:1")]);
        let why = "Error connecting to Serf agent: dial tcp 127.0.0.1:1: connect: connection refused";
        assert_eq!(ran.json(), json!({"error": why}), "{command:?}");
        assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{command:?}");
        // Errors about missing arguments are JSON, too; another format is refused.
        let ran = serf(&[command[0], "-format=xml"], &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), "Invalid format: xml\n"), "{command:?}");
    }
    let ran = serf(&["event", "-format=json"], &[]);
    assert_eq!(ran.json(), json!({"error": "An event name must be specified."}));
    // Where HashiCorp's commands have the flag, failures have their form.
    let ran = serf(&["members", "-format=json"], &[("SERF_RPC_ADDR", "127.0.0.1:1")]);
    assert!(ran.out.starts_with("Error connecting to Serf agent: ") && ran.code == Some(1), "{ran:?}");
}

#[test]
fn monitor_writes_an_object_a_line() {
    for binary in binaries() {
        let agent = Agent::start(&binary, "one", &[]);
        let mut monitor = Command::new(OURS)
            .args(["monitor", "-format=json", "-log-level=debug", "-rpc-addr", &agent.rpc])
            .stdout(Stdio::piped())
            .spawn()
            .expect("can be started");
        let lines = BufReader::new(monitor.stdout.take().expect("was piped")).lines();
        let mut lines = lines.map_while(Result::ok);
        // The first line is a kept record, so the subscription exists.
        let mut seen = vec![lines.next().expect("says something")];
        assert_eq!(agent.ask(&["event", "-coalesce=false", "deploy", "v1"]).code, Some(0));
        for line in lines {
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let is_event = value["event"] == "user";
            seen.push(line);
            if is_event {
                assert_eq!((&value["name"], &value["payload"]), (&"deploy".into(), &"v1".into()));
                break;
            }
        }
        assert!(seen.iter().all(|line| line.starts_with("{\"log\":\"") || line.starts_with("{\"event\":\"")));
        _ = monitor.kill();
        _ = monitor.wait();
    }
}
