//! RPC from the client's side: order, addresses, numbers of clients, limits.

mod addresses;
mod crowd;
mod keys;
mod limits;
mod order;
mod queries;
mod reaping;

use std::io::Read;
use std::net::TcpStream;

use rmpv::Value;
use serf_agent::rpc::UserEvent;

use crate::process::Agent;

fn user_event(name: &str) -> UserEvent {
    UserEvent { name: name.into(), payload: Some(b"x".to_vec()), coalesce: false }
}

/// The next object that an agent sends.
fn object(from: &mut impl Read) -> Value {
    rmpv::decode::read_value(from).expect("is msgpack")
}

fn field<'v>(value: &'v Value, key: &str) -> &'v Value {
    let pairs = value.as_map().expect("is a map");
    pairs.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value).expect(key)
}

/// The number and the error of a header.
fn header(value: &Value) -> (u64, &str) {
    let error = field(value, "Error").as_str().expect("is text");
    (field(value, "Seq").as_u64().expect("is a number"), error)
}

fn connect(agent: &Agent) -> TcpStream {
    let socket = TcpStream::connect(&agent.rpc).expect("listens");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("is open");
    socket
}
