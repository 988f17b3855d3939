//! Members and coordinates in their encoded form.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::decode::{DecodeError, Decoder};
use super::encode::Encoder;

/// A member of the cluster in the agent's view (`Member` in `cmd/serf/command/agent/ipc.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its address; `None` unless the agent sent 4 or 16 bytes.
    pub addr: Option<IpAddr>,
    /// Its gossip port.
    pub port: u16,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// `alive`, `leaving`, `left`, `failed` or `none`.
    pub status: String,
    /// Its range of memberlist protocol versions, and the one in use.
    pub protocol: Versions,
    /// Its range of Serf protocol versions, and the one in use.
    pub delegate: Versions,
}

/// A range of protocol versions and the one in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The oldest supported version.
    pub min: u8,
    /// The newest supported version.
    pub max: u8,
    /// The version in use.
    pub current: u8,
}

impl Member {
    /// Its approximate size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let tags = self.tags.iter().map(|(key, value)| key.len() + value.len() + 2 * size_of::<String>());
        size_of::<Self>() + self.name.len() + self.status.len() + tags.sum::<usize>()
    }

    /// Writes the member with its keys in HashiCorp's order.
    pub fn encode(&self, to: &mut Encoder<'_>) {
        to.map(11);
        to.text("Addr");
        match self.addr {
            Some(IpAddr::V4(ip)) => to.bytes(Some(&ip.octets())),
            Some(IpAddr::V6(ip)) => to.bytes(Some(&ip.octets())),
            None => to.nil(),
        };
        to.text("DelegateCur").uint(self.delegate.current.into());
        to.text("DelegateMax").uint(self.delegate.max.into());
        to.text("DelegateMin").uint(self.delegate.min.into());
        to.text("Name").text(&self.name);
        to.text("Port").uint(self.port.into());
        to.text("ProtocolCur").uint(self.protocol.current.into());
        to.text("ProtocolMax").uint(self.protocol.max.into());
        to.text("ProtocolMin").uint(self.protocol.min.into());
        to.text("Status").text(&self.status);
        to.text("Tags").texts(&self.tags);
    }

    /// Reads a member; missing fields are empty or 0.
    ///
    /// # Errors
    ///
    /// A value has the wrong type.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut member = Self {
            name: String::new(),
            addr: None,
            port: 0,
            tags: BTreeMap::new(),
            status: String::new(),
            protocol: Versions::default(),
            delegate: Versions::default(),
        };
        from.fields(|key, from| {
            match key {
                b"Addr" => member.addr = from.bytes()?.and_then(|bytes| parse_ip(&bytes)),
                b"DelegateCur" => member.delegate.current = from.uint_below("a version")?,
                b"DelegateMax" => member.delegate.max = from.uint_below("a version")?,
                b"DelegateMin" => member.delegate.min = from.uint_below("a version")?,
                b"Name" => member.name = from.text()?,
                b"Port" => member.port = from.uint_below("a port")?,
                b"ProtocolCur" => member.protocol.current = from.uint_below("a version")?,
                b"ProtocolMax" => member.protocol.max = from.uint_below("a version")?,
                b"ProtocolMin" => member.protocol.min = from.uint_below("a version")?,
                b"Status" => member.status = from.text()?,
                b"Tags" => member.tags = from.texts()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(member)
    }

    /// Its address and port in the usual notation.
    pub fn endpoint(&self) -> String {
        match self.addr {
            Some(ip) => SocketAddr::new(ip, self.port).to_string(),
            None => format!("<nil>:{}", self.port),
        }
    }
}

/// A network coordinate: a point in a space whose distances are round trip times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coordinate {
    /// The position, in seconds; 8 numbers, empty when unknown.
    pub vec: Vec<f64>,
    /// The estimated error of the position, without a unit: 1.5 at first, less with more measurements.
    pub error: f64,
    /// An offset added to every distance, in seconds.
    pub adjustment: f64,
    /// The height above the space: the latency of the host's access link, in seconds.
    pub height: f64,
}

impl Coordinate {
    /// The estimated round trip time to `other`, in seconds (`DistanceTo` in `coordinate/coordinate.go`).
    pub fn seconds_to(&self, other: &Self) -> f64 {
        let squares: f64 = self.vec.iter().zip(&other.vec).map(|(a, b)| (a - b) * (a - b)).sum();
        let distance = squares.sqrt() + self.height + other.height;
        let adjusted = distance + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { distance }
    }

    /// Writes the coordinate.
    pub fn encode(&self, to: &mut Encoder<'_>) {
        to.map(4);
        to.text("Adjustment").float(self.adjustment);
        to.text("Error").float(self.error);
        to.text("Height").float(self.height);
        to.text("Vec");
        if self.vec.is_empty() {
            to.nil();
            return;
        }
        to.list(self.vec.len());
        for &axis in &self.vec {
            to.float(axis);
        }
    }

    /// Reads a coordinate.
    ///
    /// # Errors
    ///
    /// A value has the wrong type.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut coordinate = Self::default();
        from.fields(|key, from| {
            match key {
                b"Adjustment" => coordinate.adjustment = from.float()?,
                b"Error" => coordinate.error = from.float()?,
                b"Height" => coordinate.height = from.float()?,
                b"Vec" => coordinate.vec = from.list(Decoder::float)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(coordinate)
    }
}

/// Parses an address of 4 or 16 bytes. An IPv4-mapped address becomes IPv4, as Go prints it.
fn parse_ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|octets| IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
}
