//! `serf monitor`

use std::ffi::OsString;

use super::{Command, Environment, Failure, Outcome, Rpc, Terminal, because};
use crate::flags::Slot;
use crate::quote::quote;
use crate::rpc::{DecodeError, Decoder, Head, Record};

pub(super) const COMMAND: Command =
    Command { name: "monitor", synopsis: "Shows the agent's log and events as they come", usage: USAGE, run };

fn run(args: &[OsString], env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let (mut rpc, mut level) = (Rpc::new(env), "INFO".to_owned());
    rpc.parse(vec![("log-level", Slot::Text(&mut level))], args)?;
    let mut client = rpc.connect()?;
    _ = ctrlc::set_handler(|| std::process::exit(0));
    client.stream("*").map_err(because("Error starting stream: "))?;
    client.monitor(&level).map_err(because("Error starting monitor: "))?;
    while !terminal.deserted {
        match client.next_record(None) {
            Ok(Some((_, Record::Log(line)))) => terminal.line(line),
            Ok(Some((_, Record::Event { body, .. }))) => {
                terminal.line(format_args!("Event Info:{}", describe(&body).unwrap_or_default()));
            }
            Ok(_) => {}
            Err(_) => {
                terminal.line("\nRemote side ended the monitor! This usually means that the");
                terminal.line("remote side has exited or crashed.");
                return Err(Failure::Told);
            }
        }
    }
    Ok(())
}

/// The fields of an event, each on a line of its own, values as Go's `%#v` shows what it decoded without knowing types.
fn describe(body: &[u8]) -> Result<String, DecodeError> {
    let from = &mut Decoder::new(body);
    let mut lines = String::new();
    let Head::Map(pairs) = from.head()? else { return Ok(lines) };
    for _ in 0..pairs {
        let key = from.text()?;
        lines.push_str(&format!("\n\t{key}: {}", value(from, "[]byte", "<nil>")?));
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
    fn endless_nesting_is_an_error() {
        let body = [b"\x81\xa1a".as_slice(), &[0x91; 100_000]].concat();
        assert_eq!(describe(&body), Err(DecodeError::Deep));
    }
}
