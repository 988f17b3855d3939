//! The agent's configuration: what files and flags say ([`Layer`]), and what the agent runs on ([`Config`]).
//!
//! Rules, defaults and messages are those of HashiCorp's agent. A [`Layer`] is put together by [`Layer::merge`], checked by
//! [`Draft::check`], which is all that a reload needs, and becomes a [`Config`] by [`Config::resolve`].

mod address;
mod decode;
mod draft;
mod environment;
mod flags;
mod keyring;
mod layer;
mod resolve;
mod source;
mod tagsfile;

pub use self::address::AddressError;
pub(crate) use self::address::resolve as resolve_address;
pub use self::decode::{DecodeError, decode};
pub use self::draft::{Draft, DraftError};
pub use self::environment::{EnvironmentError, SECRETS};
pub use self::flags::{Flags, FlagsError};
pub use self::keyring::{KeyringError, read_keyring, write_keyring};
pub use self::layer::{Layer, MdnsLayer};
pub use self::resolve::{Config, ConfigError, Mdns, Profile, SizeLimits};
pub(crate) use self::resolve::{decode_base64, handler_timeout};
pub use self::source::{SourceError, read};
pub use self::tagsfile::{TagsFileError, read_tags_file, write_tags_file};
