//! Formats the report: one line per check, with advice below it.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serf_tokio::Key;
use serf_tokio::serf_proto::{Keyring, Label};

use super::{Command, Environment, Failure, Format, Outcome, TEXT, Terminal, wrapped};
use crate::config::read_keyring;
use crate::doctor::{Examination, Report, Verdict};
use crate::flags::{self, Slot};
use crate::json::Json;
use crate::rpc::ClientOptions;

pub(super) const COMMAND: Command =
    Command { name: "doctor", synopsis: "Finds out why a node cannot be reached", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut encrypt, mut keyring_file, mut label) = (String::new(), String::new(), String::new());
    let (mut rpc_addr, mut rpc_auth) = (String::new(), env.rpc_auth.clone().unwrap_or_default());
    let (mut timeout_ns, mut format) = (DEFAULT_TIMEOUT_NS, TEXT.to_owned());
    let args = flags::parse(
        &mut [
            ("encrypt", Slot::Text(&mut encrypt)),
            ("keyring-file", Slot::Text(&mut keyring_file)),
            ("label", Slot::Text(&mut label)),
            ("timeout", Slot::Nanos(&mut timeout_ns)),
            ("format", Slot::Text(&mut format)),
            ("rpc-addr", Slot::Text(&mut rpc_addr)),
            ("rpc-auth", Slot::Text(&mut rpc_auth)),
        ],
        args,
    )?;
    let format = Format::choose(&format, terminal)?;
    let [address] = args else { return Err(Failure::Misuse("The gossip address of one node must be specified.")) };
    let label = Label::parse(&label).ok_or_else(|| Failure::Said("A label has 255 bytes at most".into()))?;
    let local = (!rpc_addr.is_empty()).then(|| ClientOptions {
        address: rpc_addr,
        auth_key: rpc_auth,
        ..ClientOptions::default()
    });
    let timeout = u64::try_from(timeout_ns).ok().filter(|nanos| *nanos > 0);
    let timeout = timeout.ok_or_else(|| Failure::Said("The timeout must be positive".into()))?;
    let report = Examination {
        address: address.to_string_lossy().into_owned(),
        keyring: keyring(&encrypt, &keyring_file)?,
        label,
        timeout: Duration::from_nanos(timeout),
        local,
    }
    .run();
    match format {
        Format::Text => terminal.line(text(&report)),
        Format::Json => terminal.json(&json(&address.to_string_lossy(), &report)),
    }
    if report.is_healthy() { Ok(()) } else { Err(Failure::Reported(1)) }
}

fn keyring(encrypt: &str, file: &str) -> Result<Keyring, Failure> {
    let refuse = |why: &dyn core::fmt::Display| Failure::Said(format!("Invalid encryption key: {why}"));
    let keys = match (encrypt.is_empty(), file.is_empty()) {
        (true, true) => Vec::new(),
        (false, true) => vec![Key::from_base64(encrypt).map_err(|error| refuse(&error))?],
        (true, false) => {
            let keys = read_keyring(Path::new(file)).map_err(|error| Failure::Said(error.to_string()))?;
            keys.iter().map(|key| Key::new(key)).collect::<Result<_, _>>().map_err(|error| refuse(&error))?
        }
        (false, false) => return Err(Failure::Said("Only one of -encrypt and -keyring-file allowed".into())),
    };
    Keyring::new(keys).map_err(|error| refuse(&error))
}

/// A line for each check; what to do about it below.
fn text(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        out.push_str(&format!("{:<8} {:<12} {}\n", finding.verdict.word(), finding.check, finding.found));
        if let Some(advice) = &finding.advice {
            out.push_str(&wrapped(advice, 22));
        }
    }
    let failed = report.findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
    out.push_str(&match failed {
        0 => "\nNothing is wrong with this node.".to_owned(),
        1 => "\n1 check failed.".to_owned(),
        _ => format!("\n{failed} checks failed. Begin with the first: others may follow from it."),
    });
    out
}

fn json(address: &str, report: &Report) -> Json {
    let checks = report.findings.iter().map(|finding| {
        Json::object([
            ("check", Json::text(finding.check)),
            ("result", Json::text(finding.verdict.word())),
            ("found", Json::text(&finding.found)),
            ("advice", finding.advice.as_deref().map_or(Json::Null, Json::text)),
        ])
    });
    Json::object([
        ("address", Json::text(address)),
        ("node", report.node.as_deref().map_or(Json::Null, Json::text)),
        ("healthy", Json::Bool(report.is_healthy())),
        ("checks", Json::List(checks.collect())),
    ])
}

const DEFAULT_TIMEOUT_NS: i64 = 3_000_000_000;

const USAGE: &str = "
Usage: serf doctor [options] address

  Looks at the node whose gossip address this is, from this host, and tells
  what is wrong and what to do: name, TCP, label, key, UDP in both directions,
  the longest packet that gets through, the members and the Lamport clocks
  of the node. With -rpc-addr the agent here is compared with it. It joins
  nothing and leaves nothing behind but lines in the node's log. Wall clocks
  are not compared: Serf does not send them.

  Exits with 0 when nothing is wrong, with 1 otherwise.

Options:

  -encrypt=key              The key of the cluster, in base64.
  -keyring-file=path        Its keys, in a file as for 'serf agent'.
  -label=name               The label of the cluster, if it has one.
  -timeout=3s               How long each step may take.
  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=addr            Address of the RPC of an agent to compare with.
                            None unless given.
  -rpc-auth=\"\"              Token of that agent's RPC.
";
