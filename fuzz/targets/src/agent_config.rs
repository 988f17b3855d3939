//! Configuration files of the agent.

use serf_agent::config::{Config, Draft, Settings, decode};

/// Reads one or two configuration files, divided by a zero byte, and resolves what both say.
pub fn agent_config(data: &[u8]) {
    let mut settings = Settings::defaults();
    for file in data.splitn(2, |byte| *byte == 0) {
        let Ok(layer) = decode(file) else { return };
        let before = settings.clone();
        settings.merge(Settings::default());
        assert_eq!(settings, before, "a file without settings changes some");
        settings.merge(layer);
    }
    let draft = Draft::check(settings.clone(), |_| true);
    let Ok(draft) = draft else { return };
    assert_eq!(Draft::check(settings.clone(), |_| true).as_ref(), Ok(&draft));
    // A host name would be looked up.
    if is_literal(&settings.bind) && is_literal(&settings.advertise) {
        let resolved = Config::resolve(draft.clone());
        assert_eq!(Config::resolve(draft), resolved);
    }
}

/// Whether an address is given as a number, or by a template.
fn is_literal(addr: &str) -> bool {
    addr.starts_with("{{") || !addr.contains(|letter: char| letter.is_alphabetic())
}
