//! Two sites that traffic goes between: what the demo and the bench share.

mod flow;
mod folder;
mod preflight;

use serde::{Deserialize, Serialize};

pub(crate) use self::flow::{Flow, Moved};
pub(crate) use self::folder::Folder;
pub(crate) use self::preflight::{Missing, prepare};

/// One of the two sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// The one on the left.
    West,
    /// The one on the right.
    East,
}

impl Side {
    /// Both, from left to right.
    pub(crate) const BOTH: [Self; 2] = [Self::West, Self::East];

    /// The other one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::West => Self::East,
            Self::East => Self::West,
        }
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::West => "west",
            Self::East => "east",
        }
    }

    /// Its number: the last one of its addresses.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::West => 1,
            Self::East => 2,
        }
    }
}
