//! `serf keygen`

use std::ffi::OsString;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Command, Environment, Failure, Format, Outcome, Terminal};
use crate::json::Json;

pub(super) const COMMAND: Command =
    Command { name: "keygen", synopsis: "Makes a key for encrypted gossip", usage: || USAGE, run };

fn run(args: &[OsString], _env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| Failure::Said(format!("Error reading random data: {error}")))?;
    let key = STANDARD.encode(key);
    Format::parse_lenient(args).print(terminal, &key, || Json::object([("key", Json::text(&key))]));
    Ok(())
}

/// A key for AES-256.
const KEY_BYTES: usize = 32;

const USAGE: &str = "
Usage: serf keygen

  Prints a new random key for -encrypt, for a keyring file or for
  'serf keys -install'.

Options:

  -format=text              How to show it: 'text' or 'json'.
";
