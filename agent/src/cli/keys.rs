//! `serf keys`

use std::ffi::OsString;

use super::columns::columnize;
use super::{Command, Environment, Failure, Format, Outcome, Rpc, TEXT, Terminal};
use crate::flags::Slot;
use crate::json::Json;
use crate::rpc::{Client, ClientError, KeyReport};

pub(super) const COMMAND: Command =
    Command { name: "keys", synopsis: "Changes the encryption keys of all members", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut format) = (Rpc::new(env), TEXT.to_owned());
    let (mut install, mut activate, mut remove, mut list) = (String::new(), String::new(), String::new(), false);
    rpc.parse_all(
        vec![
            ("install", Slot::Text(&mut install)),
            ("use", Slot::Text(&mut activate)),
            ("remove", Slot::Text(&mut remove)),
            ("list", Slot::Bool(&mut list)),
            ("format", Slot::Text(&mut format)),
        ],
        args,
        terminal,
    )?;
    let format = Format::choose(&format, terminal)?;
    let given = [!install.is_empty(), !activate.is_empty(), !remove.is_empty(), list];
    let action = match given {
        [false, false, false, false] => return Err(Failure::Usage),
        [true, false, false, false] => Action::Install(install),
        [false, true, false, false] => Action::Use(activate),
        [false, false, true, false] => Action::Remove(remove),
        [false, false, false, true] => Action::List,
        _ => return Err(Failure::Said("Only one of -install, -use, -remove, or -list allowed".into())),
    };
    let mut client = rpc.connect()?;
    if format == Format::Json {
        return in_json(action.perform(&mut client), terminal);
    }
    terminal.line(format_args!("==> {}", action.announcement()));
    match action.perform(&mut client) {
        Ok(report) => {
            terminal.line(format_args!("==> {}", action.success()));
            if let Action::List = action {
                terminal.line(format_args!("\n{}", key_table(&report)));
            }
            Ok(())
        }
        Err(error) => {
            if let ClientError::Keys(_, report) = &error
                && !report.messages.is_empty()
            {
                terminal.line(failure_table(report));
            }
            terminal.line(format_args!("\n{}: {error}", action.failure()));
            Err(Failure::Reported(1))
        }
    }
}

/// Prints the members' messages, also when some members failed.
fn in_json(result: Result<KeyReport, ClientError>, terminal: &mut Terminal<'_>) -> Outcome {
    let (error, report) = match result {
        Ok(report) => (None, report),
        Err(ClientError::Keys(why, report)) => (Some(why), *report),
        Err(error) => return Err(Failure::Said(error.to_string())),
    };
    let mut fields: Vec<_> = error.iter().map(|why| ("error", Json::text(why))).collect();
    if let Some(keys) = &report.keys {
        let keys = keys.iter().map(|(key, count)| (key.as_str(), Json::Number(*count)));
        fields.push(("keys", Json::object(keys)));
    }
    fields.push(("messages", Json::texts(&report.messages)));
    let counts = [("nodes", report.nodes), ("responses", report.responses), ("errors", report.errors)];
    fields.extend(counts.map(|(name, count)| (name, Json::Number(count))));
    terminal.json(&Json::object(fields));
    if error.is_some() { Err(Failure::Reported(1)) } else { Ok(()) }
}

/// An operation on keys.
enum Action {
    Install(String),
    Use(String),
    Remove(String),
    List,
}

impl Action {
    fn perform(&self, client: &mut Client) -> Result<KeyReport, ClientError> {
        match self {
            Self::Install(key) => client.install_key(key),
            Self::Use(key) => client.use_key(key),
            Self::Remove(key) => client.remove_key(key),
            Self::List => client.list_keys(),
        }
    }

    const fn announcement(&self) -> &'static str {
        match self {
            Self::Install(_) => "Installing key on all members...",
            Self::Use(_) => "Changing primary key on all members...",
            Self::Remove(_) => "Removing key on all members...",
            Self::List => "Asking all members for installed keys...",
        }
    }

    const fn success(&self) -> &'static str {
        match self {
            Self::Install(_) => "Successfully installed key!",
            Self::Use(_) => "Successfully changed primary key!",
            Self::Remove(_) => "Successfully removed key!",
            Self::List => "Keys gathered, listing cluster keys...",
        }
    }

    const fn failure(&self) -> &'static str {
        match self {
            Self::Install(_) => "Error installing key",
            Self::Use(_) => "Error changing primary key",
            Self::Remove(_) => "Error removing key",
            Self::List => "Failed to gather member keys",
        }
    }
}

fn key_table(report: &KeyReport) -> String {
    let keys = report.keys.iter().flatten();
    let rows: Vec<_> = keys.map(|(key, count)| vec![key.clone(), format!("[{count}/{}]", report.nodes)]).collect();
    columnize(&rows)
}

fn failure_table(report: &KeyReport) -> String {
    let rows: Vec<_> =
        report.messages.iter().map(|(node, text)| vec!["failed:".into(), node.clone(), text.clone()]).collect();
    columnize(&rows)
}

const USAGE: &str = "
Usage: serf keys [options]...

  Changes the keys that gossip is encrypted with, on all members at once.
  A member can have several keys: it understands messages under all of
  them and writes under one, the primary key.

  To replace a key, install the new one, make it primary, and remove the
  old one. Every step can be repeated safely. The command fails when any
  member fails or does not answer.

Options:

  -install=<key>            Adds a key, in base64. It is not used for writing yet.
  -use=<key>                Makes an installed key the primary one. Members that
                            lack it cannot follow any more.
  -remove=<key>             Drops a key. The primary key cannot be dropped.
  -list                     Shows all keys and how many members have each.
  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
