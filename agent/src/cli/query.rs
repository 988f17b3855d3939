//! `serf query`

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::{Command, Environment, Failure, Outcome, Rpc, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;
use crate::platform::bytes_of;
use crate::quote::{shown, shown_payload};
use crate::rpc::{Client, ClientError, Query, QueryRecord, Record};

pub(super) const COMMAND: Command =
    Command { name: "query", synopsis: "Asks the cluster and shows the answers", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let mut rpc = Rpc::new(env);
    let (mut format, mut nodes, mut tags) = ("text".to_owned(), Vec::new(), Vec::new());
    let (mut timeout_ns, mut no_ack, mut relay_factor) = (0, false, 0);
    let args = rpc.parse(
        vec![
            ("format", Slot::Text(&mut format)),
            ("node", Slot::Texts(&mut nodes)),
            ("tag", Slot::Texts(&mut tags)),
            ("timeout", Slot::Nanos(&mut timeout_ns)),
            ("no-ack", Slot::Bool(&mut no_ack)),
            ("relay-factor", Slot::Int(&mut relay_factor)),
        ],
        args,
    )?;
    let tags = crate::tags::parse(&tags).map_err(|error| Failure::Said(format!("Error: {error}")))?;
    let (name, payload) = match args {
        [] => return Err(Failure::Misuse("A query name must be specified.")),
        [name] => (name, None),
        [name, payload] => (name, Some(bytes_of(payload))),
        _ => return Err(Failure::Misuse(super::TOO_MANY_ARGUMENTS)),
    };
    let relay_factor =
        u8::try_from(relay_factor).map_err(|_| Failure::Said("Relay factor must be between 0 and 255".into()))?;
    let query = Query {
        filter_nodes: nodes,
        filter_tags: Some(tags),
        request_ack: !no_ack,
        relay_factor,
        timeout_ns,
        name: name.to_string_lossy().into_owned(),
        payload,
    };
    let mut client = rpc.connect()?;
    let mut report: Box<dyn Report> = match format.as_str() {
        "text" => Box::new(TextReport { name: query.name.clone(), acks: (!no_ack).then_some(0), responses: 0 }),
        "json" => Box::new(JsonReport::default()),
        _ => return Err(Failure::Said(format!("Invalid format: {format}"))),
    };
    // SIGINT ends the command: the answers so far stay, totals are not printed.
    _ = ctrlc::set_handler(|| std::process::exit(1));
    client.query(query).map_err(because("Error sending query: "))?;
    report.started(terminal);
    match collect(&mut client, |record| report.record(record, terminal)) {
        Ok(()) => report.finished(terminal),
        Err(error) => return Err(because("Error collecting answers: ")(error)),
    }
    Ok(())
}

/// Passes the records of the only query to `show` until it is done. HashiCorp's agent may send records without a sender
/// at the deadline; they are skipped.
pub(super) fn collect(client: &mut Client, mut show: impl FnMut(QueryRecord)) -> Result<(), ClientError> {
    loop {
        match client.next_record(None)? {
            Some((_, Record::Query(QueryRecord::Done))) => return Ok(()),
            Some((_, Record::Query(QueryRecord::Ack { from } | QueryRecord::Response { from, .. })))
                if from.is_empty() => {}
            Some((_, Record::Query(record))) => show(record),
            _ => {}
        }
    }
}

/// Prints the answers to a query.
trait Report {
    fn started(&mut self, terminal: &mut Terminal<'_>);
    fn record(&mut self, record: QueryRecord, terminal: &mut Terminal<'_>);
    fn finished(&mut self, terminal: &mut Terminal<'_>);
}

struct TextReport {
    name: String,
    /// `None` when no acks were requested.
    acks: Option<u32>,
    responses: u32,
}

impl Report for TextReport {
    fn started(&mut self, terminal: &mut Terminal<'_>) {
        terminal.line(format_args!("Query '{}' dispatched", shown(&self.name)));
    }

    fn record(&mut self, record: QueryRecord, terminal: &mut Terminal<'_>) {
        match record {
            QueryRecord::Ack { from } => {
                self.acks = self.acks.map(|acks| acks + 1);
                terminal.line(format_args!("Ack from '{}'", shown(&from)));
            }
            QueryRecord::Response { from, payload } => {
                self.responses += 1;
                let payload = payload.unwrap_or_default();
                let payload = payload.strip_suffix(b"\n").unwrap_or(&payload);
                let label = format!("Response from '{}': ", shown(&from));
                let line = [label.as_bytes(), &shown_payload(payload), b"\n"].concat();
                terminal.bytes(&line);
            }
            QueryRecord::Done => {}
        }
    }

    fn finished(&mut self, terminal: &mut Terminal<'_>) {
        if let Some(acks) = self.acks {
            terminal.line(format_args!("Total Acks: {acks}"));
        }
        terminal.line(format_args!("Total Responses: {}", self.responses));
    }
}

#[derive(Default)]
struct JsonReport {
    acks: Vec<String>,
    responses: BTreeMap<String, Vec<u8>>,
}

impl Report for JsonReport {
    fn started(&mut self, _terminal: &mut Terminal<'_>) {}

    fn record(&mut self, record: QueryRecord, _terminal: &mut Terminal<'_>) {
        match record {
            QueryRecord::Ack { from } => self.acks.push(from),
            QueryRecord::Response { from, payload } => _ = self.responses.insert(from, payload.unwrap_or_default()),
            QueryRecord::Done => {}
        }
    }

    fn finished(&mut self, terminal: &mut Terminal<'_>) {
        let acks = self.acks.iter().map(|name| Json::text(name)).collect::<Vec<_>>();
        let responses = self.responses.iter().map(|(name, payload)| (name.clone(), Json::Text(payload.clone())));
        let answer = Json::Object(vec![
            ("Acks".into(), if acks.is_empty() { Json::Null } else { Json::List(acks) }),
            ("Responses".into(), Json::Object(responses.collect())),
        ]);
        terminal.line(answer.render());
    }
}

const USAGE: &str = "
Usage: serf query [options] name payload

  Asks the members a question and shows who got it and who answered what.
  Handlers of the event 'query' give the answers.

Options:

  -format=text              How to show the answers: 'text' as they come, or
                            'json' when the query is over.
  -node=NAME                Asks only this member. Can be given several times.
  -tag key=regexp           Asks only members with such a tag. Can be given
                            several times; all must match.
  -timeout=15s              How long to wait for answers. The agent's default
                            grows with the cluster.
  -no-ack                   Members shall not confirm that they got the query.
  -relay-factor=0           Over how many other members each answer is sent
                            a second time, 0 to 255.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";
