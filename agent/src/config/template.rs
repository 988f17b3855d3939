//! Addresses of this host in place of templates: `{{ GetInterfaceIP "eth0" }}`.
//!
//! The forms of HashiCorp's go-sockaddr that Consul's and Nomad's documentation show. A template of any other form is
//! refused, instead of choosing an address that its author did not mean.

use core::net::IpAddr;

use serf_tokio::serf_proto::IpNet;
use serf_tokio::serf_runtime::net::HostAddress;
use thiserror::Error;

/// Why a template has no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The braces or quotes of the template are not closed.
    #[error("template {text:?} is not closed; write it as {EXAMPLE}")]
    Open {
        /// The text of the setting.
        text: String,
    },
    /// The template has a form that is not supported.
    #[error("template {{{{ {template} }}}} has an unsupported part, {part:?}; {FORMS}")]
    Unsupported {
        /// What is between the braces.
        template: String,
        /// The stage of its pipeline that is not supported.
        part: String,
    },
    /// No address of this host fits.
    #[error("template {{{{ {template} }}}} fits no address of this host, which has {}", listed(.found))]
    NoAddress {
        /// What is between the braces.
        template: String,
        /// The addresses of the host with their interfaces.
        found: Vec<(String, IpAddr)>,
    },
}

/// Replaces each template of a text by an address; an IPv6 address is put into brackets. `host` lists the addresses of
/// the host, without loopback, and is only called for a text that has a template.
///
/// # Errors
///
/// See [`TemplateError`].
pub(super) fn expand(text: &str, host: impl FnOnce() -> Vec<HostAddress>) -> Result<String, TemplateError> {
    if !text.contains("{{") {
        return Ok(text.into());
    }
    let mut host = host();
    // `GetPrivateInterfaces` and `GetPublicInterfaces` sort by default route, type and size, `GetInterfaceIP` by the
    // latter two. Ours: `GetAllInterfaces` too, for an order that does not depend on the system.
    host.sort_by_key(HostAddress::preference);
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (template, after) = after.split_once("}}").ok_or_else(|| TemplateError::Open { text: text.into() })?;
        let ip = evaluate(template.trim(), &host)?;
        expanded.push_str(before);
        let is_bare = ip.is_ipv6() && !before.ends_with('[');
        expanded.push_str(&if is_bare { format!("[{ip}]") } else { ip.to_string() });
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The first address that a pipeline gives.
fn evaluate(template: &str, host: &[HostAddress]) -> Result<IpAddr, TemplateError> {
    let unsupported = |part: &str| TemplateError::Unsupported { template: template.into(), part: part.into() };
    let stages = stages(template).ok_or_else(|| unsupported(template))?;
    let Some((source, filters)) = stages.split_first() else { return Err(unsupported(template)) };
    let (mut found, gives_text) = sources(source, host).ok_or_else(|| unsupported(&source.join(" ")))?;
    // A list of interfaces ends with the attribute to print; the functions that give an address have no further stage.
    let filters = match filters.split_last() {
        None if gives_text => &[][..],
        Some((last, filters)) if !gives_text && words(last) == ["attr", "address"] => filters,
        _ => return Err(unsupported(&stages.last().unwrap_or(source).join(" "))),
    };
    for filter in filters {
        let (keeps, matcher) = matcher(filter).ok_or_else(|| unsupported(&filter.join(" ")))?;
        found.retain(|address| matcher.matches(address) == keeps);
    }
    let all = || host.iter().map(|address| (address.interface.clone(), address.ip)).collect();
    let none = || TemplateError::NoAddress { template: template.into(), found: all() };
    found.first().map(|address| address.ip).ok_or_else(none)
}

/// The addresses that the first stage gives, and whether it gives the first one as text.
fn sources<'h>(stage: &[String], host: &'h [HostAddress]) -> Option<(Vec<&'h HostAddress>, bool)> {
    let all = |keep: &dyn Fn(&HostAddress) -> bool| host.iter().filter(|address| keep(address)).collect();
    let is_public = |address: &HostAddress| address.is_forwardable() && !address.is_private();
    Some(match words(stage)[..] {
        ["GetPrivateIP"] => (all(&HostAddress::is_private), true),
        ["GetPublicIP"] => (all(&is_public), true),
        // Ours: the exact name. go-sockaddr takes a regular expression, so that `eth0` would also fit `veth0`.
        ["GetInterfaceIP", name] if is_name(name) => {
            (all(&|address| address.interface == name && address.is_forwardable()), true)
        }
        ["GetPrivateInterfaces"] => (all(&HostAddress::is_private), false),
        ["GetPublicInterfaces"] => (all(&is_public), false),
        ["GetAllInterfaces"] => (all(&|_| true), false),
        _ => return None,
    })
}

/// What `include` and `exclude` compare.
enum Matcher<'t> {
    Name(&'t str),
    Network(IpNet),
    Ipv4(bool),
}

impl Matcher<'_> {
    fn matches(&self, address: &HostAddress) -> bool {
        match self {
            Self::Name(name) => address.interface == *name,
            Self::Network(network) => network.contains(&address.ip),
            Self::Ipv4(is_ipv4) => address.ip.is_ipv4() == *is_ipv4,
        }
    }
}

/// A filter, and whether it keeps what matches.
fn matcher(stage: &[String]) -> Option<(bool, Matcher<'_>)> {
    let [verb, selector, value] = words(stage)[..] else { return None };
    let keeps = match verb {
        "include" => true,
        "exclude" => false,
        _ => return None,
    };
    let matcher = match (selector, value) {
        ("name", name) if is_name(name) => Matcher::Name(name),
        ("network", network) => Matcher::Network(network.parse().ok()?),
        ("type", "ipv4") => Matcher::Ipv4(true),
        ("type", "ipv6") => Matcher::Ipv4(false),
        _ => return None,
    };
    Some((keeps, matcher))
}

/// Whether the text is a plain name and no regular expression.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || "-_.:@".contains(char))
}

fn words(stage: &[String]) -> Vec<&str> {
    stage.iter().map(String::as_str).collect()
}

/// Splits a pipeline into stages and these into words; a quoted word may have blanks and bars. `None` for a quote that
/// is not closed.
fn stages(template: &str) -> Option<Vec<Vec<String>>> {
    let (mut stages, mut rest) = (vec![Vec::new()], template);
    loop {
        rest = rest.trim_start();
        let first = rest.chars().next();
        let end = match first {
            None => return stages.iter().all(|stage| !stage.is_empty()).then_some(stages),
            Some('|') => {
                stages.push(Vec::new());
                rest = &rest[1..];
                continue;
            }
            Some(quote @ ('"' | '`')) => 1 + rest[1..].find(quote)? + 1,
            Some(_) => rest.find([' ', '\t', '|', '"', '`']).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(end);
        stages.last_mut()?.push(word.trim_matches(['"', '`']).into());
        rest = after;
    }
}

fn listed(found: &[(String, IpAddr)]) -> String {
    if found.is_empty() {
        return "none but loopback".into();
    }
    found.iter().map(|(interface, ip)| format!("{ip} ({interface})")).collect::<Vec<_>>().join(", ")
}

const EXAMPLE: &str = "{{ GetInterfaceIP \"eth0\" }}";

const FORMS: &str = "there are GetPrivateIP, GetPublicIP, GetInterfaceIP \"eth0\", and GetPrivateInterfaces, \
                     GetPublicInterfaces or GetAllInterfaces with | include or | exclude of \"name\", \"network\" or \
                     \"type\", and | attr \"address\" at the end";

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Vec<HostAddress> {
        [
            ("docker0", "172.17.0.1", 16, false),
            ("eth1", "192.168.7.9", 24, false),
            ("eth1", "fe80::9", 64, false),
            ("eth0", "203.0.114.5", 24, true),
            ("eth0", "10.1.0.5", 16, true),
            ("eth0", "fd00::5", 64, true),
            ("wg0", "2a00::1", 64, false),
        ]
        .map(|(interface, ip, prefix_bits, is_default)| HostAddress {
            ip: ip.parse().unwrap(),
            interface: interface.into(),
            prefix_bits,
            is_default,
        })
        .into()
    }

    fn expanded(text: &str) -> Result<String, TemplateError> {
        expand(text, host)
    }

    #[test]
    fn the_common_forms_give_the_address_that_go_sockaddr_gives() {
        for (text, address) in [
            ("10.9.9.9:1", "10.9.9.9:1"),
            ("{{ GetPrivateIP }}", "10.1.0.5"),
            ("{{GetPrivateIP}}:7947", "10.1.0.5:7947"),
            ("{{ GetPublicIP }}", "203.0.114.5"),
            ("{{ GetInterfaceIP \"docker0\" }}", "172.17.0.1"),
            ("{{ GetInterfaceIP `eth1` }}:80", "192.168.7.9:80"),
            ("{{ GetInterfaceIP \"eth0\" }}", "10.1.0.5"),
            ("{{ GetInterfaceIP \"wg0\" }}:80", "[2a00::1]:80"),
            ("[{{ GetInterfaceIP \"wg0\" }}]:80", "[2a00::1]:80"),
            ("{{ GetPrivateInterfaces | include \"network\" \"192.168.0.0/16\" | attr \"address\" }}", "192.168.7.9"),
            ("{{ GetPrivateInterfaces|exclude \"name\" \"eth0\"|attr \"address\" }}", "172.17.0.1"),
            (
                "{{ GetAllInterfaces | include \"type\" \"ipv6\" | include \"name\" \"eth0\" | attr \"address\" }}",
                "[fd00::5]",
            ),
            ("{{ GetPublicInterfaces | include \"type\" \"ipv6\" | attr \"address\" }}", "[2a00::1]"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(address), "{text}");
        }
    }

    #[test]
    fn a_template_of_another_form_is_refused_with_the_part_that_is_not_known() {
        for (template, part) in [
            ("GetPrivateIPs", "GetPrivateIPs"),
            ("GetInterfaceIP \"eth.*\"", "GetInterfaceIP eth.*"),
            ("GetInterfaceIP", "GetInterfaceIP"),
            ("GetPrivateIP | attr \"address\"", "attr address"),
            ("GetAllInterfaces", "GetAllInterfaces"),
            ("GetAllInterfaces | include \"rfc\" \"6890\" | attr \"address\"", "include rfc 6890"),
            ("GetAllInterfaces | include \"network\" \"10/8\" | attr \"address\"", "include network 10/8"),
            ("GetAllInterfaces | sort \"size\" | attr \"address\"", "sort size"),
            ("GetAllInterfaces | | attr \"address\"", "GetAllInterfaces | | attr \"address\""),
            ("", ""),
        ] {
            let refused = TemplateError::Unsupported { template: template.into(), part: part.into() };
            assert_eq!(expanded(&format!("{{{{ {template} }}}}")), Err(refused));
        }
        assert!(matches!(expanded("{{ GetPrivateIP"), Err(TemplateError::Open { .. })));
    }

    #[test]
    fn a_template_that_fits_no_address_names_those_of_the_host() {
        let why = expanded("{{ GetInterfaceIP \"eth9\" }}").unwrap_err().to_string();
        let start = "template {{ GetInterfaceIP \"eth9\" }} fits no address of this host, which has 10.1.0.5 (eth0), ";
        assert!(why.starts_with(start), "{why}");
        let none = expand("{{ GetPrivateIP }}", Vec::new).unwrap_err().to_string();
        assert!(none.ends_with("which has none but loopback"), "{none}");
    }
}
