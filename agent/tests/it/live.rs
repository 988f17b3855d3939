//! Compares our command line with HashiCorp's, side by side against HashiCorp's agent. Skipped, with a message, where
//! `/usr/bin/serf` is not installed (`apt-get install serf`); `SERF_REFERENCE` names another one.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::ports::free_address;

/// HashiCorp's binary, if it is installed.
fn reference() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("SERF_REFERENCE").unwrap_or_else(|| "/usr/bin/serf".into()));
    if path.exists() {
        return Some(path);
    }
    eprintln!("NOT RUN: {} is not installed", path.display());
    None
}

/// HashiCorp's agent, killed on drop.
struct Agent {
    process: Child,
    rpc: String,
    bind: String,
}

impl Agent {
    fn start(reference: &PathBuf, name: &str, more: &[&str]) -> Self {
        let (rpc, bind) = (free_address(), free_address());
        let mut process = Command::new(reference)
            .args(["agent", "-node", name, "-profile=local", "-bind", &bind, "-rpc-addr", &rpc])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("was piped")).lines();
        let running = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Log data will now stream"));
        assert!(running, "{name} did not start");
        // Drains the pipe: a full one would block the agent.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, rpc, bind }
    }

    fn ask(&self, binary: &str, args: &[&str]) -> Output {
        let mut command = Command::new(binary);
        command.args(args).env("SERF_RPC_ADDR", &self.rpc).env_remove("SERF_RPC_AUTH");
        command.output().expect("can be run")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn our_commands_do_and_say_what_hashicorps_do() {
    let Some(reference) = reference() else { return };
    let seed = Agent::start(&reference, "n1", &["-tag=role=web", "-event-handler=query:load=echo load"]);
    let _other = Agent::start(&reference, "n2", &["-join", &seed.bind]);
    for args in [
        ["members", "-name=n1"].as_slice(),
        &["members", "-name=n1", "-detailed"],
        &["members", "-name=n1", "-format=json"],
        &["members", "-name=none"],
        &["members", "-name=["],
        &["members", "-format=xml"],
        &["info", "-format=xml"],
        &["event", "deploy", "v1"],
        &["query", "-timeout=300ms", "-node=n1", "load"],
        &["query", "-timeout=300ms", "-format=json", "-node=n1", "load"],
        &["query", "-format=xml", "load"],
        &["tags", "-set", "a=b=c"],
        &["tags", "-delete", "a"],
        &["tags", "-set", "nope"],
        &["join", &seed.bind],
        &["join", "127.0.0.1:1"],
        &["force-leave", "nobody"],
        &["rtt", "nobody"],
        &["keys", "-install=zzz"],
        &["monitor", "-log-level=foo"],
        &["members", "-rpc-auth=wrong"],
        &["members", "-rpc-addr=127.0.0.1:1"],
        &["members", "-rpc-addr=127.0.0.1"],
    ] {
        let ours = seed.ask(env!("CARGO_BIN_EXE_serf"), args);
        let theirs = seed.ask(&reference.to_string_lossy(), args);
        let seen = |output: &Output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let mut lines: Vec<String> = text(&output.stdout).split_inclusive('\n').map(str::to_owned).collect();
            // HashiCorp's agent sends acks and answers in any order.
            if args[0] == "query" {
                lines.sort_unstable();
            }
            let told: String = text(&output.stderr).split_inclusive('\n').filter(|line| !is_ours(line)).collect();
            (output.status.code(), lines.concat(), told)
        };
        assert_eq!(seen(&ours), seen(&theirs), "{args:?}");
    }
    assert!(seed.ask(env!("CARGO_BIN_EXE_serf"), &["leave"]).status.success());
}

/// Lines that only our commands write to standard error.
fn is_ours(line: &str) -> bool {
    ["Ignored arguments: ", "The pattern ", "Unknown command: "].iter().any(|start| line.starts_with(start))
}

/// The part of an output that is compared: all up to the first line of a help text.
fn before_help(bytes: &[u8]) -> Vec<String> {
    let mut kept = Vec::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        kept.push(line.to_owned());
        if line.starts_with("Usage:") {
            break;
        }
    }
    kept
}

#[test]
fn mistakes_are_reported_as_by_hashicorps_program() {
    let Some(reference) = reference() else { return };
    let nobody = "-rpc-addr=127.0.0.1:1";
    let mut cases: Vec<Vec<&str>> = vec![
        vec![],
        vec!["help"],
        vec!["Members"],
        vec![""],
        vec!["-x", "members"],
        vec!["--", "members"],
        vec!["members", "--", "-h"],
        vec!["--", "-v"],
        vec!["query", nobody, "-relay-factor=256"],
        vec!["query", nobody, "-relay-factor=256", "q"],
        vec!["query", nobody, "-timeout=5", "q"],
        vec!["keys", nobody, "-list", "-use=x"],
        vec!["tags", nobody, "-set=x"],
        vec!["members", nobody, "-tag=x"],
        vec!["members", nobody, "-detailed=maybe"],
    ];
    for command in [
        "event",
        "force-leave",
        "info",
        "join",
        "keygen",
        "keys",
        "leave",
        "members",
        "monitor",
        "query",
        "reachability",
        "rtt",
        "tags",
        "version",
    ] {
        for more in [
            &["-h"][..],
            &["--help"],
            &["x", "-help"],
            &["-help=1"],
            &["-h=false"],
            &["-bogus"],
            &["--bogus=1"],
            &["---x"],
            &["-="],
            &["-rpc-addr"],
            &["-rpc-auth"],
            &[nobody],
            &[nobody, ""],
            &[nobody, "-"],
            &[nobody, "x", "y", "z"],
            &["-rpc-addr=127.0.0.1", "x"],
            &["-rpc-addr=127.0.0.1:http", "x"],
            &["-rpc-addr=1:2:3", "x"],
            &["-rpc-addr=[::1", "x"],
        ] {
            // Every generated key differs.
            if command != "keygen" || matches!(more, ["-h" | "--help"]) {
                cases.push([command].iter().chain(more).copied().collect());
            }
        }
    }
    for args in cases {
        let seen = |binary: &str| {
            let mut command = Command::new(binary);
            command.args(&args).env_remove("SERF_RPC_ADDR").env_remove("SERF_RPC_AUTH");
            let output = command.output().expect("can be run");
            let versions = |line: String| line.replace("0.8.2-dev", env!("CARGO_PKG_VERSION"));
            let out: Vec<_> = before_help(&output.stdout).into_iter().map(versions).collect();
            let told = before_help(&output.stderr).into_iter().filter(|line| !is_ours(line)).collect::<Vec<_>>();
            (output.status.code(), out, told)
        };
        assert_eq!(seen(env!("CARGO_BIN_EXE_serf")), seen(&reference.to_string_lossy()), "{args:?}");
    }
}
