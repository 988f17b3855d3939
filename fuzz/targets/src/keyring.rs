//! Keyring files of the agent.

use serf_agent::config::{parse_keyring, render_keyring};
use serf_proto::{Key, Keyring};

/// Parses a keyring file: its keys are valid, and are read again when they are written.
pub fn keyring(data: &[u8]) {
    let Ok(keys) = parse_keyring(data) else { return };
    let text = render_keyring(keys.iter().map(Vec::as_slice));
    assert_eq!(parse_keyring(text.as_bytes()).as_ref(), Ok(&keys), "of {text}");
    let keys: Vec<Key> = keys.iter().map(|key| Key::new(key).expect("its length was checked")).collect();
    assert!(!keys.is_empty());
    // There may be too many.
    _ = Keyring::new(keys);
}
