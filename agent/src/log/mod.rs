//! The agent's log: records, levels, and the output of `monitor`.

mod format;
mod level;
mod lines;
mod ring;
mod sink;
mod syslog;
mod trace;

use core::fmt;

use jiff::civil::DateTime;

pub use self::format::Format;
pub use self::level::Level;
pub use self::ring::{FollowerId, LogRing};
pub use self::sink::Log;
pub use self::syslog::Syslog;
pub use self::trace::TraceLog;

/// Formats a record as the agent prints it: `2026/11/21 02:20:12 [INFO] agent: Serf agent starting`, without newline.
///
/// `at` is local time; `component` is `agent`, `agent.ipc`, `agent.mdns`, `serf` or `memberlist`.
pub fn record(at: DateTime, level: Level, component: &str, text: impl fmt::Display) -> String {
    format!("{} [{level}] {component}: {text}", at.strftime("%Y/%m/%d %H:%M:%S"))
}

/// Formats the agent's own output: a mark before the first line of `text`.
pub fn output(text: &str) -> String {
    format!("==> {text}")
}

/// Formats details and log records: indented, an empty one as an empty line.
pub fn info(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("    {text}") }
}

/// The syslog severity of a level (`gsyslog` as `syslog.go` of the agent uses it).
pub const fn syslog_severity(level: Level) -> u8 {
    match level {
        Level::Trace => 7,
        Level::Debug => 6,
        Level::Info => 5,
        Level::Warn => 4,
        Level::Err => 3,
    }
}

/// The number of a syslog facility by its name, in any case; `None` for an unknown one.
pub fn syslog_facility(name: &str) -> Option<u8> {
    const NAMES: [&str; 24] = [
        "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP", "", "",
        "", "", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
    ];
    let at = NAMES.iter().position(|known| !known.is_empty() && known.eq_ignore_ascii_case(name))?;
    u8::try_from(at).ok()
}

/// The part of a record that goes to syslog, without time and level.
pub fn syslog_text(record: &str) -> &str {
    match (Level::of_record(record), record.split_once("] ")) {
        (Some(_), Some((_, text))) => text,
        _ => record,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_look_like_hashicorps() {
        let at = jiff::civil::date(2026, 11, 1).at(2, 0, 9, 999_999_999);
        let record = record(at, Level::Info, "agent", "Serf agent starting");
        assert_eq!(record, "2026/11/01 02:00:09 [INFO] agent: Serf agent starting");
        assert_eq!(syslog_text(&record), "agent: Serf agent starting");
        assert_eq!(info(&record), format!("    {record}"));
        assert_eq!(info(""), "");
    }

    #[test]
    fn syslog_numbers_are_those_of_the_standard() {
        assert_eq!(syslog_facility("local0"), Some(16));
        assert_eq!(syslog_facility("KERN"), Some(0));
        assert_eq!(syslog_facility("BOGUS"), None);
        assert_eq!(syslog_facility(""), None);
        // <133> in front of an INFO record of LOCAL0.
        assert_eq!(16 * 8 + syslog_severity(Level::Info), 133);
    }
}
