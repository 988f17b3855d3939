//! Scenarios that ship with the program.

/// A scenario that ships with the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shipped {
    /// Its name, for `sim run NAME`.
    pub(crate) name: &'static str,
    /// The file.
    pub(crate) text: &'static str,
}

macro_rules! shipped {
    ($($name:literal)*) => {
        /// All scenarios, sorted by name.
        pub(crate) const ALL: &[Shipped] =
            &[$(Shipped { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) }),*];
    };
}

shipped! {
    "bandwidth"
    "compare-settings"
    "crash"
    "data-centres-cut"
    "detection"
    "dissemination"
    "encryption"
    "event"
    "flap"
    "gray-link"
    "heavy-loss"
    "idle"
    "join"
    "leave"
    "lifeguard"
    "lifeguard-paper"
    "mass-restart"
    "one-way"
    "overloaded"
    "partition"
    "phases"
    "query"
    "rejoin"
    "restart"
    "restart-all"
    "rolling-deploy"
    "rotate"
    "rtt"
    "scale"
    "slow"
    "slow-nodes"
    "ten-thousand"
    "two-regions"
    "user-messages"
    "wan-tuning"
    "zone-cut"
    "zones"
}

/// The commented example that `sim init` writes.
pub(crate) const EXAMPLE: &str = include_str!("../../scenarios/example.toml");

/// Returns the scenario of this name.
pub(crate) fn find(name: &str) -> Option<Shipped> {
    ALL.iter().copied().find(|shipped| shipped.name == name)
}

impl Shipped {
    /// Returns the sentence of its key `about`.
    pub(crate) fn about(self) -> &'static str {
        let line = self.text.lines().find_map(|line| line.strip_prefix("about = \""));
        line.and_then(|line| line.strip_suffix('"')).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::experiment::campaign::Campaign;

    #[test]
    fn every_shipped_scenario_is_valid_and_says_what_it_shows() {
        assert!(ALL.is_sorted_by_key(|shipped| shipped.name));
        for Shipped { name, text } in ALL.iter().copied().chain([Shipped { name: "example", text: EXAMPLE }]) {
            let campaign =
                Campaign::parse(name, text, Path::new("."), &[], None).unwrap_or_else(|error| panic!("{error}"));
            assert!(!campaign.cells().is_empty(), "{name}");
            assert!(Shipped { name, text }.about().len() > 20, "{name}");
        }
    }
}
