//! Vocabulary types, which every other module may use: names, tags, keys, identifiers, the records of a snapshot. They are
//! parsed and printed here; nothing here has a state or knows the protocol.

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
pub use self::word::UnknownWord;
