//! Scenario files of the simulator.

use sim::internals;

/// Parses a scenario file: an error is one line that names the file, and the same text has the same meaning again.
pub fn scenario(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // It names a file, whose content is that of the target `agent_config`.
    if text.contains("agent_config") {
        return;
    }
    let read = internals::scenario(text);
    if let Err(error) = &read {
        assert!(error.starts_with("scenario"), "{error:?}");
        assert!(!error.contains('\n'), "{error:?} has several lines");
    }
    assert_eq!(internals::scenario(text), read);
}
