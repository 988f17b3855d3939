//! Compares our command line with transcripts of HashiCorp's: a fake agent that replays recorded bytes, and commands
//! without an agent.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use crate::ports::free_at;
use crate::support::{text, unhex, vectors};
use serde_json::Value;
use serf_agent::cli::{Environment, Terminal, run};

/// The output and exit code of a command.
struct Ran {
    code: u8,
    out: String,
    err: String,
}

fn serf(args: &[String], address: &str) -> Ran {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let env = Environment { rpc_addr: Some(address.into()), rpc_auth: None };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, &env, &mut Terminal::new(&mut out, &mut err));
    let text = |bytes| String::from_utf8(bytes).expect("is text");
    Ran { code, out: text(out), err: text(err) }
}

fn argv(entry: &Value) -> Vec<String> {
    let args = entry["argv"].as_array().expect("is a list").iter();
    args.map(|arg| arg.as_str().expect("is text").to_owned()).collect()
}

/// Acts as the agent for one client: sends all bytes at once, and returns what it received.
fn play(bytes: Vec<u8>) -> (String, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("is bound").to_string();
    let agent = thread::spawn(move || {
        let (mut stream, _): (TcpStream, _) = listener.accept().expect("a client comes");
        stream.write_all(&bytes).expect("the client reads");
        // An agent that closes early was recorded as one that sends nothing more.
        stream.shutdown(std::net::Shutdown::Write).expect("is open");
        let mut got = Vec::new();
        _ = stream.read_to_end(&mut got);
        got
    });
    (address, agent)
}

/// Sorts lines and tags, because Go's order is random, and drops what depends on that order: blanks at their ends.
fn unordered(text: &str) -> Vec<String> {
    let cell = |cell: &str| {
        let mut tags: Vec<_> = cell.trim().split(',').collect();
        tags.sort_unstable();
        tags.join(",")
    };
    let line = |line: &str| line.trim_end().split("  ").map(cell).collect::<Vec<_>>().join("  ");
    let mut lines: Vec<_> = text.lines().map(line).collect();
    lines.sort_unstable();
    lines
}

/// Replaces measured durations.
fn without_times(text: &str) -> String {
    let line = |line: &str| match line.starts_with("Query time: ") {
        true => line.replace(|c: char| c.is_ascii_digit(), "0"),
        false => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_recorded_session_gives_the_same_requests_and_output() {
    let recorded = vectors("rpc.json");
    let traces = recorded["traces"].as_array().expect("is a list");
    assert!(traces.len() > 80);
    for trace in traces {
        let args = argv(trace);
        let (address, agent) = play(unhex(text(trace, "agent")));
        let ran = serf(&args, &address);
        let got = agent.join().expect("the agent does not panic");

        let expected = text(trace, "stdout");
        assert_eq!(ran.code.to_string(), trace["exit"].to_string(), "{args:?}: {}", ran.out);
        assert_eq!(got, unhex(text(trace, "client")), "{args:?}");
        // HashiCorp's program reports nothing about an invalid pattern.
        let is_explained = ran.err.starts_with("The pattern ") && expected.contains("client closed");
        assert!(ran.err.is_empty() || is_explained, "{args:?}: {}", ran.err);
        match args[0].as_str() {
            "rtt" if expected.contains("Usage") => assert!(ran.out.starts_with("One or two node names"), "{args:?}"),
            "members" if args.iter().any(|arg| arg.contains("json")) && !ran.out.contains("rror") => {
                let json = |text: &str| -> Vec<Value> {
                    let value: Value = serde_json::from_str(text).expect("is JSON");
                    let mut members = value["members"].as_array().cloned().unwrap_or_default();
                    members.sort_by_key(|member| member["name"].to_string());
                    members
                };
                assert_eq!(json(&ran.out), json(expected), "{args:?}");
                let mut lines = [ran.out.lines().collect::<Vec<_>>(), expected.lines().collect()];
                lines.iter_mut().for_each(|lines| lines.sort_unstable());
                assert_eq!(lines[0], lines[1], "{args:?}");
            }
            // Go takes acks and answers from two channels, in any order.
            "query" => {
                assert_eq!(unordered(&ran.out), unordered(expected), "{args:?}");
                let frame =
                    |text: &str| text.lines().next().map(str::to_owned).zip(text.lines().last().map(str::to_owned));
                assert_eq!(frame(&ran.out), frame(expected), "{args:?}");
            }
            "members" | "keys" => assert_eq!(unordered(&ran.out), unordered(expected), "{args:?}"),
            _ => assert_eq!(without_times(&ran.out), without_times(expected), "{args:?}"),
        }
    }
}

#[test]
fn commands_without_an_agent_end_as_recorded() {
    let port = free_at(Ipv4Addr::LOCALHOST.into()).port();
    for entry in vectors("cli.json").as_array().expect("is a list") {
        let args = argv(entry)[1..].to_vec();
        let has = |part: &str| text(entry, "stdout").contains(part);
        // The resolver's name appears in the message, and another agent may run at the default address.
        if has("lookup nohost") || has("127.0.0.1:7373") || args.first().is_some_and(|arg| arg == "keygen") {
            continue;
        }
        let ran = serf(&args, &format!("127.0.0.1:{port}"));
        // Our help texts differ: only the first line is compared.
        let shown = |text: &str| {
            let mut kept = Vec::new();
            for line in text.lines() {
                kept.push(line.replace("20999", &port.to_string()));
                if line.starts_with("Usage:") {
                    break;
                }
            }
            kept
        };
        let expected = |key| shown(&text(entry, key).replace("0.8.2-dev", env!("CARGO_PKG_VERSION")));
        assert_eq!(ran.code.to_string(), entry["rc"].to_string(), "{args:?}");
        assert_eq!(shown(&ran.out.replace(":20999", &format!(":{port}"))), expected("stdout"), "{args:?}");
        assert_eq!(shown(&ran.err), expected("stderr"), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_agent_with_wrong_flags_ends_as_recorded() {
    let entries = vectors("agent.json");
    let entries = entries.as_array().expect("is a list");
    assert!(entries.len() > 20);
    for entry in entries {
        let ran = serf(&argv(entry)[1..], "");
        let without_usage = |text: &str| text.lines().take_while(|line| !line.starts_with("==> Usage")).count();
        let expected = text(entry, "stdout");
        assert_eq!(ran.code.to_string(), entry["rc"].to_string(), "{}", entry["argv"]);
        assert_eq!(ran.err, text(entry, "stderr"), "{}", entry["argv"]);
        match expected.starts_with("==> Usage: serf agent [options]") {
            true => assert_eq!(
                (without_usage(&ran.out), ran.out.starts_with("==> Usage: serf agent [options]\n")),
                (0, true)
            ),
            false => assert_eq!(ran.out, expected, "{}", entry["argv"]),
        }
    }
}

#[test]
fn keys_are_32_random_bytes_in_base64() {
    let key = || serf(&["keygen".into()], "").out;
    let (one, other) = (key(), key());
    assert_eq!((one.len(), one.ends_with("=\n")), (45, true));
    assert_ne!(one, other);
}

#[test]
fn a_silent_agent_is_given_up() {
    use serf_agent::rpc::{Client, ClientError, ClientOptions};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let options = ClientOptions {
        address: listener.local_addr().expect("is bound").to_string(),
        reply_timeout: std::time::Duration::from_millis(50),
        ..ClientOptions::default()
    };
    let error = Client::connect(&options).expect_err("nobody answers");
    assert!(matches!(error, ClientError::Silent { command: "handshake", .. }), "{error}");
}

#[test]
fn a_refused_handshake_is_reported_as_a_failed_connection() {
    let refusal = |seq: u8, why: &str| {
        [
            &[0x82, 0xa5],
            b"Error".as_slice(),
            &[0xa0 | u8::try_from(why.len()).expect("is short")],
            why.as_bytes(),
            &[0xa3],
            b"Seq",
            &[seq],
        ]
        .concat()
    };
    let ok = refusal(1, "");
    let token = "Invalid authentication token";
    // HashiCorp's agent without a token refuses a token and answers the command nevertheless.
    let mut tokenless = [ok.clone(), refusal(2, token), refusal(3, "")].concat();
    tokenless.extend(b"\x81\xa7Members\x90");
    for (answers, why) in [
        (refusal(1, "Unsupported IPC version"), "Unsupported IPC version"),
        (tokenless, token),
        ([ok.clone(), refusal(2, token), refusal(3, "Authentication required")].concat(), token),
        (Vec::new(), "client closed"),
    ] {
        for command in ["members", "info", "leave"] {
            let (address, agent) = play(answers.clone());
            let ran = serf(&[command.into(), "-rpc-auth=x".into()], &address);
            let got = agent.join().expect("the agent does not panic");
            assert_eq!((ran.code, ran.out), (1, format!("Error connecting to Serf agent: {why}\n")), "{command}");
            assert!(
                command != "leave" || !got.windows(5).any(|bytes| bytes == b"leave"),
                "nothing changes on a refusal"
            );
        }
    }
}

#[test]
fn a_missing_token_is_reported_by_the_command() {
    let answers = b"\x82\xa5Error\xa0\xa3Seq\x01\x82\xa5Error\xb7Authentication required\xa3Seq\x02".to_vec();
    for (args, prefix) in [
        (["members"].as_slice(), "Error retrieving members: "),
        (&["event", "x", "payload"], "Error sending event: "),
        (&["join", "127.0.0.1:1"], "Error joining the cluster: "),
        (&["leave"], "Error leaving: "),
        (&["monitor"], "Error starting stream: "),
        (&["query", "x"], "Error sending query: "),
        (&["reachability"], "Error getting members: "),
        (&["rtt", "n1"], "Error querying agent: "),
        (&["tags", "-set", "a=b"], "Error setting tags: "),
        (&["info"], "Error querying agent: "),
        (&["keys", "-list"], "==> Asking all members for installed keys...\n\nFailed to gather member keys: "),
        (&["force-leave", "x"], "Error force leaving: "),
    ] {
        let (address, agent) = play(answers.clone());
        let ran = serf(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), &address);
        agent.join().expect("the agent does not panic");
        assert_eq!((ran.code, ran.out), (1, format!("{prefix}Authentication required\n")), "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn an_agent_may_listen_on_a_unix_socket() {
    use std::os::unix::net::UnixListener;
    let directory = tempfile::tempdir().expect("can be made");
    let path = directory.path().join("serf.sock");
    let listener = UnixListener::bind(&path).expect("can be made");
    let agent = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client comes");
        let answers = b"\x82\xa5Error\xa0\xa3Seq\x01\x82\xa5Error\xa0\xa3Seq\x02\x81\xa5agent\x81\xa4name\xa2n1";
        stream.write_all(answers).expect("the client reads");
        _ = stream.read_to_end(&mut Vec::new());
    });
    let ran = serf(&["info".into()], &format!("unix:{}", path.display()));
    assert_eq!((ran.code, ran.out.as_str()), (0, "agent:\n\tname = n1\n"));
    agent.join().expect("the agent does not panic");
    _ = std::fs::remove_file(&path);
}
