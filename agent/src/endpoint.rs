//! Parses `host:port` as Go does, with Go's error messages.

use std::io;
use std::time::Duration;

use thiserror::Error;

/// Why a text is not `host:port` (`AddrError` of Go's `net`).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("address {text}: {why}")]
pub struct EndpointError {
    /// The text, or the part of it that is wrong.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Splits `host:port`, `[v6]:port` or `:port` (`SplitHostPort` in Go's `net`).
///
/// # Errors
///
/// The port is missing, or the colons and brackets are misplaced.
pub(crate) fn split(text: &str) -> Result<(&str, &str), EndpointError> {
    let fail = |why| EndpointError { text: text.into(), why };
    let colon = text.rfind(':').ok_or_else(|| fail(MISSING_PORT))?;
    let (host, skipped) = if let Some(inner) = text.strip_prefix('[') {
        let length = inner.find(']').ok_or_else(|| fail("missing ']' in address"))?;
        let end = length + 1;
        match text.as_bytes().get(end + 1) {
            Some(b':') if end + 1 == colon => {}
            Some(b':') => return Err(fail(TOO_MANY_COLONS)),
            _ => return Err(fail(MISSING_PORT)),
        }
        (&inner[..length], end + 1)
    } else {
        let host = &text[..colon];
        if host.contains(':') {
            return Err(fail(TOO_MANY_COLONS));
        }
        (host, 0)
    };
    let skip_open = usize::from(skipped > 0);
    if text[skip_open..].contains('[') {
        return Err(fail("unexpected '[' in address"));
    }
    if text[skipped..].contains(']') {
        return Err(fail("unexpected ']' in address"));
    }
    Ok((host, &text[colon + 1..]))
}

/// Parses a port number.
///
/// # Errors
///
/// The text is not a number, or above 65535.
pub(crate) fn port(text: &str) -> Result<u16, EndpointError> {
    if text.is_empty() {
        return Ok(0);
    }
    if let Some((_, port)) = SERVICES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
        return Ok(*port);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EndpointError { text: format!("tcp/{text}"), why: "unknown port" });
    }
    text.parse().map_err(|_| EndpointError { text: text.into(), why: "invalid port" })
}

/// The system's error message as Go prints it: without the number, in lower case.
pub(crate) fn go_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Enables TCP keepalive: the system probes a silent connection, and breaks it when the peer vanished without a FIN,
/// such as by a power cut or a lost NAT entry. As Go's `net` does for every connection (`defaultTCPKeepAlive` in
/// `dial.go`).
pub(crate) fn keep_alive<'s, S>(socket: &'s S)
where
    socket2::SockRef<'s>: From<&'s S>,
{
    let probes = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    // Without keepalive the connection still works.
    _ = socket2::SockRef::from(socket).set_tcp_keepalive(&probes);
}

/// Why a file could not be read, in the form of Go's `os.ReadFile`.
pub(crate) fn read_failure(path: &std::path::Path, error: &io::Error) -> String {
    let step = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open" };
    format!("{step} {}: {}", path.display(), go_words(error))
}

/// The idle time before the first probe, and the interval of probes. The system decides how many are sent: 9 on Linux,
/// so that a vanished client is detected after two and a half minutes.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Service names that Go accepts as ports on every system.
const SERVICES: [(&str, u16); 14] = [
    ("domain", 53),
    ("ftp", 21),
    ("ftps", 990),
    ("gopher", 70),
    ("http", 80),
    ("https", 443),
    ("imap2", 143),
    ("imap3", 220),
    ("imaps", 993),
    ("pop3", 110),
    ("pop3s", 995),
    ("smtp", 25),
    ("ssh", 22),
    ("telnet", 23),
];

/// The port is missing: callers retry [`split`] with a default port appended.
pub(crate) const MISSING_PORT: &str = "missing port in address";
const TOO_MANY_COLONS: &str = "too many colons in address";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_split_and_fail_as_in_go() {
        let why = |text| split(text).expect_err("splits").why;
        assert_eq!(split("127.0.0.1:80"), Ok(("127.0.0.1", "80")));
        assert_eq!(split(":80"), Ok(("", "80")));
        assert_eq!(split("[::1]:80"), Ok(("::1", "80")));
        assert_eq!(split("host:"), Ok(("host", "")));
        assert_eq!(why("127.0.0.1"), MISSING_PORT);
        assert_eq!(why("[::1]"), MISSING_PORT);
        assert_eq!(why("::1"), TOO_MANY_COLONS);
        assert_eq!(why("bad:::x"), TOO_MANY_COLONS);
        assert_eq!(why("[::1]:1:2"), TOO_MANY_COLONS);
        assert_eq!(why("[::1:80"), "missing ']' in address");
        assert_eq!(why("a[b:80"), "unexpected '[' in address");
        assert_eq!(why("a]b:80"), "unexpected ']' in address");
    }

    #[test]
    fn ports_are_numbers_up_to_65535() {
        assert_eq!(port("7373"), Ok(7373));
        assert_eq!(port("HTTP"), Ok(80));
        assert_eq!(port("99999").expect_err("is a port").to_string(), "address 99999: invalid port");
        assert_eq!(port("x").expect_err("is a port").to_string(), "address tcp/x: unknown port");
    }

    #[test]
    fn messages_of_the_system_lose_number_and_capital() {
        assert_eq!(go_words(&io::Error::from_raw_os_error(111)), "connection refused");
    }
}
