//! In which codec a node speaks, and to whom.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::types::UnknownWord;
use crate::wire::{Codec, Versions};

/// Which codecs a node writes and reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CodecChoice {
    /// Writes our own codec to members that announce that they understand it, answers in the codec of what it answers, and writes
    /// HashiCorp's to everybody else: strangers and HashiCorp's nodes. Reads both. A cluster of both kinds of nodes needs no
    /// other setting.
    #[default]
    Auto,
    /// Writes and reads only our own codec.
    Native,
    /// Writes and reads only HashiCorp's codec, and announces no more than HashiCorp's nodes do.
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

    /// In which codec to write to somebody: `versions` are theirs, if we know them, and `answers` is the codec of what is
    /// answered, if anything is.
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

    /// What a node that makes this choice announces.
    pub const fn versions(self) -> Versions {
        match self {
            Self::Auto | Self::Native => Versions::OURS,
            Self::HashiCorp => Versions::HASHICORP,
        }
    }
}
