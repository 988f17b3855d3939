//! `serf monitor`

use std::ffi::OsString;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::members::member_json;
use super::{Command, Environment, Failure, Format, Outcome, Rpc, TEXT, Terminal, because};
use crate::flags::Slot;
use crate::json::Json;
use crate::quote::{quote, shown};
use crate::rpc::{DecodeError, Decoder, EventRecord, Head, Record};

pub(super) const COMMAND: Command =
    Command { name: "monitor", synopsis: "Shows the agent's log and events as they come", usage: || USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut level, mut format) = (Rpc::new(env), "INFO".to_owned(), TEXT.to_owned());
    rpc.parse_all(vec![("log-level", Slot::Text(&mut level)), ("format", Slot::Text(&mut format))], args, terminal)?;
    let format = Format::choose(&format, terminal)?;
    let mut client = rpc.connect()?;
    _ = ctrlc::set_handler(|| std::process::exit(0));
    client.stream("*").map_err(because("Error starting stream: "))?;
    client.monitor(&level).map_err(because("Error starting monitor: "))?;
    while !terminal.deserted {
        match client.next_record(None) {
            Ok(Some((_, record))) if format == Format::Json => {
                if let Some(json) = record_json(&record) {
                    terminal.line(json.render_line());
                }
            }
            Err(_) if format == Format::Json => {
                terminal.line(super::failure_json("Remote side ended the monitor").render_line());
                return Err(Failure::Reported(1));
            }
            // Ours is one line already; HashiCorp's agent logs remote text raw.
            Ok(Some((_, Record::Log(line)))) => terminal.line(shown(&line)),
            Ok(Some((_, Record::Event { body, .. }))) => {
                terminal.line(format_args!("Event Info:{}", describe(&body).unwrap_or_default()));
            }
            Ok(_) => {}
            Err(_) => {
                terminal.line("\nRemote side ended the monitor! This usually means that the");
                terminal.line("remote side has exited or crashed.");
                return Err(Failure::Reported(1));
            }
        }
    }
    Ok(())
}

/// A log record or an event as one line of JSON. An event of an unknown kind is left out.
fn record_json(record: &Record) -> Option<Json> {
    Some(match record {
        Record::Log(line) => Json::object([("log", Json::text(line))]),
        Record::Event { event, .. } => match event.as_ref()? {
            EventRecord::Members { event, members } => {
                let members = Json::List(members.iter().map(member_json).collect());
                Json::object([("event", Json::text(event)), ("members", members)])
            }
            EventRecord::User { lamport, name, payload, coalesce } => Json::object([
                ("event", Json::text("user")),
                ("ltime", time(*lamport)),
                ("name", Json::text(name)),
                payload_json(payload.as_deref()),
                ("coalesce", Json::Bool(*coalesce)),
            ]),
            EventRecord::Query { id, lamport, name, payload } => Json::object([
                ("event", Json::text("query")),
                ("id", time(*id)),
                ("ltime", time(*lamport)),
                ("name", Json::text(name)),
                payload_json(payload.as_deref()),
            ]),
            EventRecord::Partition { share, zones_lost, members } => Json::object([
                ("event", Json::text("partition")),
                ("state", Json::text(share.state())),
                ("alive", Json::Number(share.alive.into())),
                ("largest", Json::Number(share.largest.into())),
                ("majority", Json::Bool(share.majority)),
                ("zones_lost", Json::names(zones_lost)),
                ("members", Json::List(members.iter().map(member_json).collect())),
            ]),
        },
        Record::Query(_) => return None,
    })
}

fn time(number: u64) -> Json {
    Json::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The key and value of a payload. One that is not UTF-8 is encoded in base64 under another key, so that nothing is
/// lost.
fn payload_json(payload: Option<&[u8]>) -> (&'static str, Json) {
    let payload = payload.unwrap_or_default();
    match core::str::from_utf8(payload) {
        Ok(text) => ("payload", Json::text(text)),
        Err(_) => ("payload_base64", Json::text(&STANDARD.encode(payload))),
    }
}

/// Formats the fields of an event, one per line, values as Go's `%#v` formats them when it decodes without types.
fn describe(body: &[u8]) -> Result<String, DecodeError> {
    let from = &mut Decoder::new(body);
    let mut lines = String::new();
    let Head::Map(pairs) = from.head()? else { return Ok(lines) };
    for _ in 0..pairs {
        let key = from.text()?;
        lines.push_str(&format!("\n\t{}: {}", shown(&key), value(from, "[]byte", "<nil>")?));
    }
    Ok(lines)
}

fn value(from: &mut Decoder<'_>, bytes_type: &str, nil: &str) -> Result<String, DecodeError> {
    Ok(match from.head()? {
        Head::Nil => nil.into(),
        Head::Bool(value) => value.to_string(),
        Head::Uint(value) => format!("{value:#x}"),
        Head::Int(value) => value.to_string(),
        Head::Float(value) => value.to_string(),
        Head::Text(text) => quote(text),
        Head::Bytes(bytes) => {
            let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:#x}")).collect();
            format!("{bytes_type}{{{}}}", bytes.join(", "))
        }
        Head::List(items) => {
            from.enter()?;
            let items = (0..items).map(|_| value(from, "[]uint8", "interface {}(nil)"));
            let items = items.collect::<Result<Vec<_>, _>>()?;
            from.leave();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Head::Map(pairs) => {
            from.enter()?;
            let nested = |from: &mut Decoder<'_>| value(from, "[]uint8", "interface {}(nil)");
            let pairs = (0..pairs).map(|_| Ok(format!("{}:{}", nested(from)?, nested(from)?)));
            let mut pairs = pairs.collect::<Result<Vec<_>, DecodeError>>()?;
            from.leave();
            pairs.sort();
            format!("map[interface {{}}]interface {{}}{{{}}}", pairs.join(", "))
        }
        Head::Extension => "?".into(),
    })
}

const USAGE: &str = "
Usage: serf monitor [options]

  Shows the agent's last log lines and goes on with new ones and with
  events as they come, until interrupted. The level may be finer than what
  the agent itself writes.

Options:

  -log-level=info           From which level on: trace, debug, info, warn, err.
  -format=text              How to show the result: 'text' or 'json'.
  -rpc-addr=127.0.0.1:7373  Address of the agent's RPC.
  -rpc-auth=\"\"              Token of the agent's RPC.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_look_like_gos_values() {
        // {"Event": "user", "LTime": 155, "Payload": bin "v\x01", "Coalesce": true, "M": [{"Addr": bin 127, "B": nil}]}
        let body = b"\x85\xa5Event\xa4user\xa5LTime\xcc\x9b\xa7Payload\xc4\x02v\x01\xa8Coalesce\xc3\
            \xa1M\x91\x82\xa1B\xc0\xa4Addr\xc4\x01\x7f";
        assert_eq!(
            describe(body).expect("is msgpack"),
            "\n\tEvent: \"user\"\n\tLTime: 0x9b\n\tPayload: []byte{0x76, 0x1}\n\tCoalesce: true\
             \n\tM: []interface {}{map[interface {}]interface {}{\"Addr\":[]uint8{0x7f}, \"B\":interface {}(nil)}}"
        );
    }

    #[test]
    fn records_in_json_are_a_line_each_and_lose_no_byte() {
        let user = |payload: &[u8]| Record::Event {
            event: Some(EventRecord::User {
                lamport: 5,
                name: "deploy".into(),
                payload: Some(payload.to_vec()),
                coalesce: true,
            }),
            body: Vec::new(),
        };
        let line = |record: &Record| record_json(record).expect("is shown").render_line();
        assert_eq!(
            line(&user(b"v1\n")),
            r#"{"event":"user","ltime":5,"name":"deploy","payload":"v1\n","coalesce":true}"#
        );
        assert!(line(&user(b"\xff")).contains(r#""payload_base64":"/w==""#));
        assert_eq!(line(&Record::Log("a\nb".into())), r#"{"log":"a\nb"}"#);
    }

    #[test]
    fn endless_nesting_is_an_error() {
        let body = [b"\x81\xa1a".as_slice(), &[0x91; 100_000]].concat();
        assert_eq!(describe(&body), Err(DecodeError::Deep));
    }
}
