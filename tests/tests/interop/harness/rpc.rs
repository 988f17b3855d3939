//! RPC client of HashiCorp's agents. Small and independent of our implementation, so that both sides of a test cannot
//! share a bug.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rmpv::Value;

/// A connection for requests with a single answer.
pub(crate) struct Rpc {
    reader: BufReader<TcpStream>,
    seq: u64,
}

/// Whether an answer has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Some,
    /// Even if the command failed.
    Always,
}

impl Rpc {
    /// Connects and performs the handshake; fails if the agent does not listen.
    pub(crate) fn connect(agent: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(agent)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut rpc = Self { reader: BufReader::new(stream), seq: 0 };
        let shaken = rpc.ask("handshake", Some(map([("Version", 1.into())])), Body::None);
        shaken.map_err(std::io::Error::other)?;
        Ok(rpc)
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn ask(&mut self, command: &str, request: Option<Value>, body: Body) -> Result<Value, String> {
        self.send(command, request);
        let header = self.read()?;
        let error = text(&header, "Error");
        if body == Body::Always || (body == Body::Some && error.is_empty()) {
            let answer = self.read()?;
            return if error.is_empty() { Ok(answer) } else { Err(format!("{error}: {answer}")) };
        }
        if error.is_empty() { Ok(Value::Nil) } else { Err(error) }
    }

    /// Sends a command whose answer is a stream of records, and returns the records as they arrive.
    pub(crate) fn stream(mut self, command: &str, request: Value) -> Result<Receiver<Value>, String> {
        self.ask(command, Some(request), Body::None)?;
        let seq = self.seq;
        Ok(self.records(seq, channel().0, |_| None))
    }

    /// Streams all events; `answer` may answer a query by its name and payload.
    pub(crate) fn events(
        mut self,
        answer: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<Receiver<Value>, String> {
        self.ask("stream", Some(map([("Type", "*".into())])), Body::None)?;
        let seq = self.seq;
        // The agent answers before its subscription is active; once it accepts the next command, it is.
        self.send("stop", Some(map([("Stop", 0.into())])));
        let (ready, listens) = channel();
        let records = self.records(seq, ready, move |record| {
            let is_query = text(record, "Event") == "query";
            let payload = is_query.then(|| answer(&text(record, "Name"), &bytes(record, "Payload")))??;
            Some(map([("ID", field(record, "ID").clone()), ("Payload", Value::Binary(payload))]))
        });
        listens.recv().map_err(|error| error.to_string())?;
        Ok(records)
    }

    /// Reads the records of `seq` on a thread, until the agent ends; signals every answer to another command.
    fn records(
        mut self,
        seq: u64,
        answered: Sender<()>,
        respond: impl Fn(&Value) -> Option<Value> + Send + 'static,
    ) -> Receiver<Value> {
        let (sender, receiver) = channel();
        _ = self.reader.get_ref().set_read_timeout(None);
        std::thread::spawn(move || {
            while let Ok(header) = self.read() {
                if field(&header, "Seq").as_u64() != Some(seq) {
                    assert_eq!(text(&header, "Error"), "", "an agent accepts the command");
                    // The receiver is dropped after the first signal.
                    _ = answered.send(());
                    continue;
                }
                let Ok(record) = self.read() else { break };
                let response = respond(&record);
                if sender.send(record).is_err() {
                    break;
                }
                if let Some(response) = response {
                    self.send("respond", Some(response));
                }
            }
        });
        receiver
    }

    fn send(&mut self, command: &str, request: Option<Value>) {
        self.seq += 1;
        let mut packet = Vec::new();
        let header = map([("Command", command.into()), ("Seq", self.seq.into())]);
        for value in core::iter::once(header).chain(request) {
            rmpv::encode::write_value(&mut packet, &value).expect("a vector takes everything");
        }
        // The answer reports a failed write.
        _ = self.reader.get_ref().write_all(&packet);
    }

    fn read(&mut self) -> Result<Value, String> {
        rmpv::decode::read_value(&mut self.reader).map_err(|error| error.to_string())
    }
}

/// Encodes a map with string keys.
pub(crate) fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.map(|(key, value)| (key.into(), value)).into())
}

/// Returns a field of a record; nil if it is missing.
pub(crate) fn field<'a>(record: &'a Value, key: &str) -> &'a Value {
    let fields = record.as_map().map_or(&[][..], Vec::as_slice);
    fields.iter().find(|(name, _)| name.as_str() == Some(key)).map_or(&Value::Nil, |(_, value)| value)
}

/// Returns a text field.
pub(crate) fn text(record: &Value, key: &str) -> String {
    String::from_utf8_lossy(field(record, key).as_slice().unwrap_or_default()).into_owned()
}

/// Returns a bytes field; empty if it is missing.
pub(crate) fn bytes(record: &Value, key: &str) -> Vec<u8> {
    field(record, key).as_slice().unwrap_or_default().to_vec()
}
