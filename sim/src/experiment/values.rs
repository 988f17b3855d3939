//! Values of scenario files that TOML has no type for: durations, shares, latencies.

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use crate::net::Latency;
use crate::parse;

/// A duration such as `"150ms"`, `"2s"`, `"5m"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub(crate) struct Time(pub(crate) Duration);

/// A share: a number from 0 to 1, or a text such as `"5%"`. In parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share(pub(crate) u32);

/// A latency: a constant `"5ms"`, a range `"1ms..20ms"`, or a table with a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LatencyValue(pub(crate) Latency);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parser;
        impl Visitor<'_> for Parser {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"150ms\", \"2s\" or \"5m\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                parse::duration(text).map(Time).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Parser)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parser;
        impl Visitor<'_> for Parser {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share from 0 to 1, or in percent such as \"5%\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
                parse::share(text).map(Share).map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Share, E> {
                self.visit_str(&share.to_string())
            }

            fn visit_i64<E: de::Error>(self, share: i64) -> Result<Share, E> {
                self.visit_str(&share.to_string())
            }
        }
        deserializer.deserialize_any(Parser)
    }
}

impl<'de> Deserialize<'de> for LatencyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parser;
        impl<'de> Visitor<'de> for Parser {
            type Value = LatencyValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a latency such as \"5ms\" or \"1ms..20ms\", or a table with a distribution")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<LatencyValue, E> {
                let parse::LatencyRange { min, max } = parse::latency_range(text).map_err(E::custom)?;
                Ok(LatencyValue(Latency::Uniform { min, max }))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<LatencyValue, A::Error> {
                let table = Distributed::deserialize(de::value::MapAccessDeserializer::new(map))?;
                table.latency().map(LatencyValue).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Parser)
    }
}

/// A latency as a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Distributed {
    /// The distribution.
    distribution: Kind,
    /// Minimum; above zero.
    min: Time,
    /// Mean, of a normal distribution.
    mean: Option<Time>,
    /// Standard deviation, of a normal distribution.
    deviation: Option<Time>,
    /// Shape above 1, of a Pareto distribution: the smaller, the heavier the tail.
    shape: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Normal,
    Pareto,
}

impl Distributed {
    fn latency(&self) -> Result<Latency, String> {
        let min = self.min.0;
        if min.is_zero() {
            return Err("the minimum latency must be above zero".to_owned());
        }
        match (self.distribution, self.mean, self.deviation, self.shape) {
            (Kind::Normal, Some(Time(mean)), Some(Time(deviation)), None) if mean >= min => {
                Ok(Latency::Normal { min, mean, deviation })
            }
            (Kind::Normal, Some(_), Some(_), None) => Err("the mean is below the minimum".to_owned()),
            (Kind::Normal, ..) => Err("a normal latency has min, mean and deviation".to_owned()),
            (Kind::Pareto, None, None, Some(shape)) if shape > 1.0 && shape <= SHAPE_MAX => {
                Ok(Latency::Pareto { min, shape })
            }
            (Kind::Pareto, None, None, Some(_)) => Err(format!("shape must be above 1 and at most {SHAPE_MAX}")),
            (Kind::Pareto, ..) => Err("a Pareto latency has min and shape".to_owned()),
        }
    }
}

/// With a larger shape the distribution is a constant for all purposes.
const SHAPE_MAX: f64 = 1000.0;

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(0|[0-9.]+(ns|us|ms|s|m|min|h))$", "examples": ["150ms", "2s", "5m"] })
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 1 },
            { "type": "string", "pattern": r"^[0-9.]+ ?%?$", "examples": ["5%"] },
        ] })
    }
}

impl JsonSchema for LatencyValue {
    fn schema_name() -> Cow<'static, str> {
        "Latency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Distributed>();
        json_schema!({ "anyOf": [{ "type": "string", "examples": ["5ms", "1ms..20ms"] }, table] })
    }
}
