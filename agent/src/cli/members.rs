//! `serf members`

use std::ffi::OsString;

use serf_tokio::serf_proto::Pattern;

use super::columns::columnize;
use super::{Command, Environment, Failure, Format, Outcome, Rpc, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;
use crate::quote::quote;
use crate::rpc::{Member, MemberFilter};
use crate::tags;

pub(super) const COMMAND: Command =
    Command { name: "members", synopsis: "Lists the members of the cluster", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let mut rpc = Rpc::new(env);
    let (mut detailed, mut format, mut tags) = (false, "text".to_owned(), Vec::new());
    let (mut role, mut filter) = (String::new(), MemberFilter::default());
    rpc.parse_all(
        vec![
            ("detailed", Slot::Bool(&mut detailed)),
            ("format", Slot::Text(&mut format)),
            ("name", Slot::Text(&mut filter.name)),
            ("role", Slot::Text(&mut role)),
            ("status", Slot::Text(&mut filter.status)),
            ("tag", Slot::Texts(&mut tags)),
        ],
        args,
        terminal,
    )?;
    filter.tags = tags::parse(&tags).map_err(|error| Failure::Said(format!("Error: {error}")))?;
    if !role.is_empty() {
        terminal.line("Deprecation warning: 'Role' has been replaced with 'Tags'");
        filter.tags.insert("role".into(), role);
    }
    let patterns = filter.clone();
    let listed = rpc.connect_eagerly()?.members_filtered(filter);
    let mut members =
        listed.map_err(because("Error retrieving members: ")).inspect_err(|_| explain(&patterns, terminal))?;
    // The agent's order has no meaning.
    members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Format::parse(&format)?.print_trimmed(terminal, || text(&members, detailed), || json(&members));
    Ok(())
}

/// Names the invalid pattern and the reason. The agent only closes the connection on one.
fn explain(patterns: &MemberFilter, terminal: &mut Terminal<'_>) {
    let flags = [("-name".to_owned(), &patterns.name), ("-status".into(), &patterns.status)];
    let tags = patterns.tags.iter().map(|(tag, pattern)| (format!("-tag {tag}"), pattern));
    for (flag, pattern) in flags.into_iter().chain(tags) {
        if let Err(why) = Pattern::new(pattern) {
            terminal
                .error_line(format_args!("The pattern {} of {flag} cannot be used: {why}", quote(pattern.as_bytes())));
        }
    }
}

fn text(members: &[Member], detailed: bool) -> String {
    let row = |member: &Member| {
        let mut row = vec![member.name.clone(), member.endpoint(), member.status.clone(), tags::join(&member.tags)];
        if detailed {
            let serf = member.delegate;
            row.push(format!("Protocol Version: {}", serf.current));
            row.push(format!("Available Protocol Range: [{}, {}]", serf.min, serf.max));
        }
        row
    };
    columnize(&members.iter().map(row).collect::<Vec<_>>())
}

fn json(members: &[Member]) -> Json {
    let members = if members.is_empty() { Json::Null } else { Json::List(members.iter().map(member_json).collect()) };
    Json::object([("members", members)])
}

/// A member in JSON, in the form that scripts know.
pub(super) fn member_json(member: &Member) -> Json {
    let protocol = |member: &Member| {
        let serf = member.delegate;
        let fields = [("max", serf.max), ("min", serf.min), ("version", serf.current)];
        Json::Object(fields.map(|(key, version)| (key.into(), Json::Number(version.into()))).into())
    };
    Json::object([
        ("name", Json::text(&member.name)),
        ("addr", Json::text(&member.endpoint())),
        ("port", Json::Number(member.port.into())),
        ("tags", Json::texts(&member.tags)),
        ("status", Json::text(&member.status)),
        ("protocol", protocol(member)),
    ])
}

const USAGE: &str = "
Usage: serf members [options]

  Lists the members that the agent knows, also those that failed or left
  not long ago. Patterns are regular expressions and must match from start
  to end.

Options:

  -detailed                 Shows protocol versions, too. Only in text.
  -format=text              How to show the list: 'text' or 'json'.
  -name=<regexp>            Lists only members with such a name.
  -role=<regexp>            Lists only members with such a tag 'role'. Write
                            '-tag role=<regexp>' instead.
  -status=<regexp>          Lists only members with such a status: alive,
                            leaving, left or failed.
  -tag <key>=<regexp>       Lists only members with such a tag. Can be given
                            several times; all must match.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
