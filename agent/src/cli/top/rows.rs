//! The rows of the table: their order, their filter and their cells.

use core::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::quote::shown;
use crate::rpc::Member;
use crate::tags;

/// A member, and what was requested about it one by one.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) member: Member,
    pub(super) lookup: Lookup,
}

/// What the agent told about one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lookup {
    /// The estimated round-trip time from the agent; `None` when a coordinate is unknown.
    pub(super) rtt: Option<Duration>,
    /// The accusers of a member that is suspected; `None` for one that is not.
    pub(super) accusers: Option<Vec<String>>,
}

/// A status as shown. Its order is that of the column: what needs attention comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    Failed,
    Suspected,
    Leaving,
    Alive,
    Left,
    Other,
}

impl Shown {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Suspected => "suspected",
            Self::Leaving => "leaving",
            Self::Alive => "alive",
            Self::Left => "left",
            Self::Other => "none",
        }
    }

    /// The filter after this one.
    pub(super) const fn next_filter(filter: Option<Self>) -> Option<Self> {
        match filter {
            None => Some(Self::Alive),
            Some(Self::Alive) => Some(Self::Suspected),
            Some(Self::Suspected) => Some(Self::Failed),
            Some(Self::Failed) => Some(Self::Leaving),
            Some(Self::Leaving) => Some(Self::Left),
            Some(_) => None,
        }
    }
}

/// A column by which rows can be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Address,
    Status,
    Zone,
    Rtt,
}

impl Column {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Name => Self::Address,
            Self::Address => Self::Status,
            Self::Status => Self::Zone,
            Self::Zone => Self::Rtt,
            Self::Rtt => Self::Name,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Address => "address",
            Self::Status => "status",
            Self::Zone => "zone",
            Self::Rtt => "rtt",
        }
    }
}

/// Whether a member still takes part.
pub(super) fn is_live(member: &Member) -> bool {
    matches!(member.status.as_str(), "alive" | "leaving")
}

impl Row {
    pub(super) fn status(&self) -> Shown {
        match self.member.status.as_str() {
            "alive" if self.lookup.accusers.is_some() => Shown::Suspected,
            "alive" => Shown::Alive,
            "leaving" => Shown::Leaving,
            "left" => Shown::Left,
            "failed" => Shown::Failed,
            _ => Shown::Other,
        }
    }

    pub(super) fn zone(&self, zone_tag: &str) -> &str {
        self.member.tags.get(zone_tag).map_or("", String::as_str)
    }

    /// Compares by `column`, then by name. Unknown round-trip times come last.
    pub(super) fn compare(&self, other: &Self, column: Column, zone_tag: &str) -> Ordering {
        let by_column = match column {
            Column::Name => Ordering::Equal,
            Column::Address => (self.member.addr, self.member.port).cmp(&(other.member.addr, other.member.port)),
            Column::Status => self.status().cmp(&other.status()),
            Column::Zone => self.zone(zone_tag).cmp(other.zone(zone_tag)),
            Column::Rtt => {
                let rtt = |row: &Self| row.lookup.rtt.unwrap_or(Duration::MAX);
                rtt(self).cmp(&rtt(other))
            }
        };
        by_column.then_with(|| self.member.name.cmp(&other.member.name))
    }

    /// Whether the name, the address or a tag contains `text`, which is in lower case.
    pub(super) fn contains(&self, text: &str) -> bool {
        let has = |value: &str| value.to_lowercase().contains(text);
        text.is_empty()
            || has(&self.member.name)
            || has(&self.member.endpoint())
            || self.member.tags.iter().any(|(key, value)| has(&format!("{key}={value}")))
    }

    /// Formats the cells. All text of the member is escaped.
    pub(super) fn cells(&self, zone_tag: &str) -> Cells {
        #[cfg(test)]
        super::tests::FORMATTED.set(super::tests::FORMATTED.get() + 1);
        Cells {
            name: shown(&self.member.name).into_owned(),
            address: self.member.endpoint(),
            status: self.status(),
            zone: shown(self.zone(zone_tag)).into_owned(),
            rtt: self.lookup.rtt.map(|rtt| (millis(rtt), heat(rtt))),
            tags: shown(&tags::join(&self.member.tags)).into_owned(),
        }
    }
}

/// The members by status and by zone. Counted once for each answer of the agent, not for each frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    statuses: BTreeMap<Shown, usize>,
    /// The live members and all of each zone. The name is empty for those without the tag.
    pub(super) zones: BTreeMap<String, (usize, usize)>,
}

impl Counts {
    pub(super) fn of(rows: &[Row], zone_tag: &str) -> Self {
        let mut counts = Self::default();
        for row in rows {
            *counts.statuses.entry(row.status()).or_default() += 1;
            let (live, all) = counts.zones.entry(row.zone(zone_tag).to_owned()).or_default();
            *live += usize::from(is_live(&row.member));
            *all += 1;
        }
        counts
    }

    pub(super) fn status(&self, status: Shown) -> usize {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    /// Whether any member has the tag.
    pub(super) fn has_zones(&self) -> bool {
        self.zones.keys().any(|name| !name.is_empty())
    }
}

/// The cells of a row.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) status: Shown,
    pub(super) zone: String,
    /// The round-trip time in words, and its heat.
    pub(super) rtt: Option<(String, usize)>,
    pub(super) tags: String,
}

/// Milliseconds with three digits or so.
fn millis(rtt: Duration) -> String {
    let millis = rtt.as_secs_f64() * 1e3;
    match millis {
        ..10.0 => format!("{millis:.2} ms"),
        ..100.0 => format!("{millis:.1} ms"),
        _ => format!("{millis:.0} ms"),
    }
}

/// The heat of a round-trip time: 1 to 5.
fn heat(rtt: Duration) -> usize {
    1 + HEAT_STEPS.iter().filter(|step| rtt >= **step).count()
}

/// Round-trip times at which the heat rises: within a rack, a region, a continent, between continents.
const HEAT_STEPS: [Duration; 4] =
    [Duration::from_millis(1), Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(150)];
