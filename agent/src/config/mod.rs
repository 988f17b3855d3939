//! The agent's configuration: the settings of a source ([`Settings`]), and the configuration that the agent runs on
//! ([`Config`]).
//!
//! Rules, defaults and messages are those of HashiCorp's agent. Every setting is a row of the table in `settings.rs`.
//! Files, the environment and flags are merged by [`Settings::merge`], checked by [`Draft::check`], which is all that a
//! reload needs, and converted to a [`Config`] by [`Config::resolve`].

#[macro_use]
mod row;

mod address;
mod decode;
mod draft;
mod environment;
mod flags;
mod inspect;
mod keyring;
mod origin;
#[cfg(test)]
mod page;
mod protocol;
mod resolve;
mod seed;
mod settings;
mod source;
mod tagsfile;
mod template;

pub use self::address::AddressError;
pub(crate) use self::address::resolve as resolve_address;
pub use self::decode::{DecodeError, FieldError, decode};
pub use self::draft::{Draft, DraftError};
pub(crate) use self::environment::secrets;
pub use self::environment::{EnvironmentError, VariableError};
pub(crate) use self::flags::usage;
pub use self::flags::{Flags, FlagsError};
pub(crate) use self::inspect::{Finding, Severity, inspect};
pub use self::keyring::{KeyringError, parse_keyring, read_keyring, render_keyring, write_keyring};
pub(crate) use self::origin::Effective;
pub use self::resolve::{Config, ConfigError, Mdns, Profile, SizeLimits};
pub(crate) use self::resolve::{count, decode_base64, duration, given, log_level};
pub(crate) use self::seed::Seed;
pub use self::seed::SeedError;
pub use self::settings::Settings;
pub use self::source::{SourceError, read};
pub use self::tagsfile::{TagsFileError, read_tags_file, write_tags_file};
pub use self::template::TemplateError;
