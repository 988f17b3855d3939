//! The codecs of a node: which it reads, and which it writes to which peer.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::types::UnknownWord;
use crate::wire::{Codec, Versions};

/// Which codecs a node writes and reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CodecChoice {
    /// Writes the native codec to members that announce it, replies in the codec of the request, and writes HashiCorp's
    /// codec otherwise. Reads both. Mixed clusters need no other setting.
    #[default]
    Auto,
    /// Writes and reads the native codec only.
    Native,
    /// Writes and reads HashiCorp's codec only, and announces the same versions as HashiCorp's nodes.
    HashiCorp,
}

impl fmt::Display for CodecChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::HashiCorp => "hashicorp",
        })
    }
}

impl FromStr for CodecChoice {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or(text, [Self::Auto, Self::Native, Self::HashiCorp], "auto, native or hashicorp")
    }
}

impl CodecChoice {
    /// Whether messages in this codec are read.
    pub const fn reads(self, codec: Codec) -> bool {
        match self {
            Self::Auto => true,
            Self::Native => matches!(codec, Codec::Native),
            Self::HashiCorp => matches!(codec, Codec::HashiCorp),
        }
    }

    /// The codec for a message: `versions` are those of the receiver, if known, and `answers` is the codec of the
    /// message that it answers, if any.
    pub fn writes(self, versions: Option<Versions>, answers: Option<Codec>) -> Codec {
        match self {
            Self::Native => Codec::Native,
            Self::HashiCorp => Codec::HashiCorp,
            Self::Auto => answers.unwrap_or_else(|| match versions {
                Some(versions) if versions.reads_native() => Codec::Native,
                _ => Codec::HashiCorp,
            }),
        }
    }

    /// The versions that a node with this choice announces.
    pub const fn versions(self) -> Versions {
        match self {
            Self::Auto | Self::Native => Versions::OURS,
            Self::HashiCorp => Versions::HASHICORP,
        }
    }
}
