//! A client of HashiCorp's agents. Small, and none of ours: nothing that both sides of a test might get wrong in the same way.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rmpv::Value;

/// A connection that asks and waits for the answer.
pub(crate) struct Rpc {
    reader: BufReader<TcpStream>,
    seq: u64,
}

/// Whether an answer has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Some,
    /// Also when the command failed.
    Always,
}

impl Rpc {
    /// Connects and shakes hands; an error when the agent does not listen (yet, or any more).
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

    /// Sends a command that is answered with any number of records, and gives them as they come.
    pub(crate) fn stream(mut self, command: &str, request: Value) -> Result<Receiver<Value>, String> {
        self.ask(command, Some(request), Body::None)?;
        let seq = self.seq;
        Ok(self.records(seq, channel().0, |_| None))
    }

    /// Listens to all events; `answer` may answer a query by its name and payload.
    pub(crate) fn events(
        mut self,
        answer: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<Receiver<Value>, String> {
        self.ask("stream", Some(map([("Type", "*".into())])), Body::None)?;
        let seq = self.seq;
        // The agent answers before it begins to listen; when it takes the next command it does.
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

    /// Reads the records of `seq` on a thread, until the agent ends; tells of every answer to another command.
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
                    assert_eq!(text(&header, "Error"), "", "an agent takes what it is told");
                    // Whoever waited has stopped waiting after the first.
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
        // What became of it, the answer says.
        _ = self.reader.get_ref().write_all(&packet);
    }

    fn read(&mut self) -> Result<Value, String> {
        rmpv::decode::read_value(&mut self.reader).map_err(|error| error.to_string())
    }
}

/// A map with strings for keys.
pub(crate) fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.map(|(key, value)| (key.into(), value)).into())
}

/// A field of a record; nil when there is none.
pub(crate) fn field<'a>(record: &'a Value, key: &str) -> &'a Value {
    let fields = record.as_map().map_or(&[][..], Vec::as_slice);
    fields.iter().find(|(name, _)| name.as_str() == Some(key)).map_or(&Value::Nil, |(_, value)| value)
}

/// A field that is text.
pub(crate) fn text(record: &Value, key: &str) -> String {
    String::from_utf8_lossy(field(record, key).as_slice().unwrap_or_default()).into_owned()
}

/// A field that is bytes; none stands for empty.
pub(crate) fn bytes(record: &Value, key: &str) -> Vec<u8> {
    field(record, key).as_slice().unwrap_or_default().to_vec()
}
