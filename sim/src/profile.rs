//! Timing of the nodes: profile and pace, for the command line and for scenario files.

use clap::ValueEnum;
use clap::builder::Resettable;
use schemars::JsonSchema;
use serde::Deserialize;
use serf_proto::Options;

/// Timing profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Profile {
    // The help of the option says it in one sentence, hence no help of the values.
    /// One data centre.
    #[value(help = Resettable::Reset)]
    Lan,
    /// Distant data centres.
    #[value(help = Resettable::Reset)]
    Wan,
    /// One host.
    #[value(help = Resettable::Reset)]
    Local,
}

impl Profile {
    /// The options of nodes with this profile.
    pub(crate) fn options(self) -> Options {
        match self {
            Self::Lan => Options::lan(),
            Self::Wan => Options::wan(),
            Self::Local => Options::local(),
        }
    }

    /// Its name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Local => "local",
        }
    }
}

/// Whose pace the nodes have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// This library's.
    #[default]
    #[value(help = Resettable::Reset)]
    Library,
    /// HashiCorp's.
    #[value(help = Resettable::Reset)]
    Hashicorp,
}

impl Pace {
    /// Options with this pace.
    pub(crate) fn of(self, options: Options) -> Options {
        match self {
            Self::Library => options,
            Self::Hashicorp => options.hashicorp_pace(),
        }
    }

    /// Its name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Hashicorp => "hashicorp",
        }
    }
}

/// How the nodes start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StartKind {
    /// One after another; each joins through earlier ones.
    #[value(help = Resettable::Reset)]
    Cold,
    /// All at once; each knows all others.
    #[value(help = Resettable::Reset)]
    Converged,
}

impl StartKind {
    /// Its name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Converged => "converged",
        }
    }
}
