//! Vocabulary types that all modules may use: names, tags, keys, identifiers, snapshot records. Parsing and formatting
//! only; no state, no protocol.

#[cfg(feature = "generate")]
mod generate;
mod ids;
mod key;
mod name;
mod snapshot;
mod tags;
mod word;

#[cfg(feature = "generate")]
pub use self::generate::EntropyError;
pub use self::ids::{JoinId, KeyringChange, QueryId, StreamId};
pub use self::key::{Key, KeyError};
pub use self::name::Name;
pub use self::snapshot::{AfterLeave, Record, Replay, Snapshot};
pub use self::tags::Tags;
pub(crate) use self::tags::{tag, tags};
pub use self::word::UnknownWord;
