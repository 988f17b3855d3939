//! Limits on clients, and RPC turned off.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serf_agent::rpc::{Client, ClientOptions};

use crate::process::{Agent, eventually};

#[test]
fn an_agent_without_rpc_runs_and_leaves() {
    let mut agent = Agent::start_at("none", &[]);
    assert!(agent.output().contains("                       RPC addr: 'none'\n"));
    assert!(!agent.output().contains("Starting Serf agent RPC"));
    agent.signal("INT");
    assert_eq!(agent.exit_code(), 0);
}

#[test]
fn clients_beyond_what_the_open_files_allow_are_sent_away_until_others_go() {
    let serf = env!("CARGO_BIN_EXE_serf");
    let script = format!("ulimit -n 300; exec {serf} agent -bind=127.0.0.1:0 -rpc-addr=127.0.0.1:0");
    let mut process = Command::new("/bin/sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().expect("starts");
    let lines = BufReader::new(process.stdout.take().expect("was piped")).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| !line.contains("RPC addr"));
    let shown = lines.next().expect("is in the banner");
    let address = shown.split('\'').nth(1).expect("is quoted").to_owned();
    let options = ClientOptions { address: address.clone(), ..ClientOptions::default() };
    let clients: Vec<_> = (0..64).map(|_| Client::connect(&options).expect("lets us in")).collect();
    let mut refused = TcpStream::connect(&address).expect("listens");
    assert_eq!(refused.read(&mut [0; 9]).expect("is closed"), 0);
    assert!(lines.any(|line| line.contains("[WARN] agent.ipc: Too many clients, refusing 127.0.0.1:")));
    drop(clients);
    let mut late = eventually("room again", || Client::connect(&options).ok());
    assert_eq!(late.members().expect("answers").len(), 1);
    process.kill().expect("is our child");
    process.wait().expect("is our child");
}

#[test]
fn an_invalid_pattern_an_unknown_command_and_ignored_arguments_are_named() {
    use std::process::Command;
    let agent = Agent::start(&[]);
    let serf = |args: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_serf")).args(args).env("SERF_RPC_ADDR", &agent.rpc).output();
        let ran = ran.expect("can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
    };
    for (flag, name) in [("-name=[", "-name"), ("-status=(", "-status"), ("-tag=role=[", "-tag role")] {
        let (code, out, err) = serf(&["members", flag]);
        assert_eq!((code, out.as_str()), (Some(1), "Error retrieving members: client closed\n"), "as with HashiCorp's");
        assert!(err.starts_with("The pattern \"") && err.contains(&format!("\" of {name} cannot be used: ")), "{err}");
    }
    let (code, out, err) = serf(&["member"]);
    assert_eq!((code, out.as_str()), (Some(127), ""));
    assert!(err.starts_with("Usage: serf") && err.ends_with("\nUnknown command: \"member\"\n"), "{err}");
    for command in ["members", "info", "reachability"] {
        let (code, _, err) = serf(&[command, "some", "-thing"]);
        assert_eq!((code, err.as_str()), (Some(0), "Ignored arguments: some -thing\n"), "{command}");
    }
    let (code, out, _) = serf(&["agent", "-check", "join", "127.0.0.1"]);
    assert_eq!(code, Some(0));
    assert_eq!(out, "==> Warning: ignored arguments: join 127.0.0.1\n==> The settings can be used\n");
}
