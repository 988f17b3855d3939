//! MessagePack, for HashiCorp's wire format and the agent's RPC: the head of a value, and a reader, a writer and a
//! walker based on it.
//!
//! No published crate writes the dialect without binary strings, decodes structs from maps and arrays alike, and
//! borrows. This code does not recurse, does not allocate, and never trusts a length before its bytes have arrived.

mod head;
mod reader;
mod walk;
pub mod write;

pub use self::head::{BadByte, Head, Kind, float, signed, unsigned};
pub use self::reader::{Fields, Reader};
pub use self::walk::{Walk, WalkError};
pub use crate::sink::{Full, Sink};
