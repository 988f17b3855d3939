//! MessagePack, for HashiCorp's wire format and the agent's RPC: the table of first bytes, and a reader, a writer and a
//! walker on top of it.
//!
//! No crate on the registry writes the dialect from before there were binary strings, reads structs from maps and arrays
//! alike, and borrows what it reads. Nothing here recurses or allocates, and nothing believes a length before its bytes
//! have come.

mod head;
mod reader;
mod walk;
pub mod write;

pub use self::head::{BadByte, Head, Kind, float, signed, unsigned};
pub use self::reader::{Fields, Reader};
pub use self::walk::{Walk, WalkError};
pub use crate::sink::{Full, Sink};
