//! `serf why`

use std::ffi::OsString;
use std::time::Duration;

use super::{Command, Environment, Failure, Format, Outcome, Rpc, TEXT, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;
use crate::quote::{quote, shown};
use crate::rpc::{ClientError, Evidence, UNSUPPORTED_COMMAND, Why};

pub(super) const COMMAND: Command =
    Command { name: "why", synopsis: "Tells why a member is suspected, failed or left", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut format) = (Rpc::new(env), TEXT.to_owned());
    let args = rpc.parse(vec![("format", Slot::Text(&mut format))], args)?;
    let format = Format::choose(&format, terminal)?;
    let [node] = args else { return Err(Failure::Misuse("A node name must be specified.")) };
    let node = node.to_string_lossy();
    let why = rpc.connect()?.why(&node).map_err(|error| match error {
        ClientError::Refused(why) if why == UNSUPPORTED_COMMAND => Failure::Said(NOT_OURS.into()),
        error => because("Error asking the agent: ")(error),
    })?;
    if why.status.is_empty() {
        let name = quote(node.as_bytes());
        let agent = shown(&why.agent);
        return Err(Failure::Said(format!("The agent {agent} knows no member with the name {name}")));
    }
    format.print(terminal, text(&node, &why), || json(&node, &why));
    Ok(())
}

/// Describes the evidence. Text of other nodes is escaped.
pub(super) fn text(node: &str, why: &Why) -> String {
    let Why { status, address, said_by, .. } = why;
    let (is_own_word, node, agent) = (said_by == node, shown(node), shown(&why.agent));
    let is_suspect = why.is_suspect();
    let how = if is_suspect { format!("{status}, but suspected") } else { status.clone() };
    let mut out = format!("{node} ({address}) is {how}, as {agent} sees it.\n");
    if why.suspected.is_none() && why.gone.is_none() {
        out.push_str(match status.as_str() {
            "alive" => "Nobody suspects it.",
            "leaving" => "It says that it leaves.",
            _ => "It happened before this agent came, or too long ago: nothing more is known.",
        });
        return out;
    }
    out.push('\n');
    if let Some(evidence) = &why.suspected {
        out.push_str(&line(evidence.ago, &format!("suspected: {}", evidence.description(&why.agent))));
    }
    if let Some(evidence) = &why.gone {
        let what = match status.as_str() {
            "left" if is_own_word => "left: it said so itself".to_owned(),
            _ if said_by.is_empty() => "declared failed".to_owned(),
            _ => format!("declared failed by {}", shown(said_by)),
        };
        out.push_str(&line(evidence.ago, &format!("{what}; {}", evidence.description(&why.agent))));
    }
    if !why.accusers.is_empty() {
        let names: Vec<_> = why.accusers.iter().map(|name| shown(name)).collect();
        let names = names.join(", ");
        out.push_str(&format!("\nWho suspected it: {names} (at its incarnation {})\n", why.incarnation));
    }
    if status == "left" && !is_own_word {
        out.push_str("\nIt was forced to leave since then, as 'serf force-leave' does.");
    }
    if is_suspect || status == "failed" {
        out.push_str(&format!("\nTo see what is wrong with it: serf doctor {address}"));
    }
    out.trim_end().to_owned()
}

fn line(ago: Duration, what: &str) -> String {
    format!("  {:>9} ago  {what}\n", rounded(ago))
}

/// Rounds a duration for display.
fn rounded(duration: Duration) -> String {
    match duration.as_secs() {
        0..100 => format!("{:.1} s", duration.as_secs_f64()),
        secs @ 100..6000 => format!("{} min", secs / 60),
        secs @ 6000..172_800 => format!("{} h", secs / 3600),
        secs => format!("{} days", secs / 86_400),
    }
}

fn json(node: &str, why: &Why) -> Json {
    let maybe = |text: &str| if text.is_empty() { Json::Null } else { Json::text(text) };
    let evidence = |evidence: &Option<Evidence>| {
        evidence.as_ref().map_or(Json::Null, |it| {
            Json::object([
                ("seconds_ago", Json::Float((it.ago.as_secs_f64() * 1e3).round() / 1e3)),
                ("how", Json::text(&it.how)),
                ("from", maybe(&it.from)),
                ("member", maybe(&it.member)),
            ])
        })
    };
    Json::object([
        ("node", Json::text(node)),
        ("agent", Json::text(&why.agent)),
        ("addr", Json::text(&why.address)),
        ("status", Json::text(&why.status)),
        ("incarnation", Json::Number(why.incarnation.into())),
        ("suspected", evidence(&why.suspected)),
        ("accusers", Json::names(&why.accusers)),
        ("gone", evidence(&why.gone)),
        ("said_by", maybe(&why.said_by)),
    ])
}

const NOT_OURS: &str = "This agent does not know the command 'why': it is HashiCorp's, or older than this program";

const USAGE: &str = "
Usage: serf why [options] name

  Tells why a member is suspected, failed or left: who accuses it, when,
  and how this agent learned of it. Every agent has its own view; one that
  joined later knows less. Needs an agent of this program: HashiCorp's does
  not keep this.

Options:

  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evidence_is_printed_in_words() {
        let evidence = |secs, how: &str| Evidence {
            ago: Duration::from_secs(secs),
            how: how.into(),
            from: "10.0.0.2:7946".into(),
            member: "b".into(),
        };
        let why = Why {
            agent: "a".into(),
            status: "failed".into(),
            address: "10.0.0.3:7946".into(),
            incarnation: 2,
            suspected: Some(evidence(9, "gossip")),
            accusers: vec!["b".into(), "a".into()],
            gone: Some(evidence(5, "own-timer")),
            said_by: "a".into(),
        };
        assert_eq!(
            text("c", &why),
            "c (10.0.0.3:7946) is failed, as a sees it.\n\n      \
             9.0 s ago  suspected: a received it from b (10.0.0.2:7946)\n      \
             5.0 s ago  declared failed by a; a received no refutation in time\n\n\
             Who suspected it: b, a (at its incarnation 2)\n\n\
             To see what is wrong with it: serf doctor 10.0.0.3:7946"
        );
        let forced = Why { status: "left".into(), ..why.clone() };
        assert!(text("c", &forced).contains("declared failed by a;"));
        assert!(text("c", &forced).ends_with("as 'serf force-leave' does."));
        let left = Why { status: "left".into(), suspected: None, accusers: vec![], said_by: "c".into(), ..why };
        assert!(text("c", &left).contains("left: it said so itself"));
        let alive = Why { status: "alive".into(), gone: None, ..left };
        assert_eq!(text("c", &alive), "c (10.0.0.3:7946) is alive, as a sees it.\nNobody suspects it.");
    }

    #[test]
    fn long_times_are_rounded() {
        let shown = [0, 99, 100, 7200, 400_000].map(|secs| rounded(Duration::from_secs(secs)));
        assert_eq!(shown, ["0.0 s", "99.0 s", "1 min", "2 h", "4 days"]);
    }
}
