//! Why a measurement ended before its end.

use std::fmt;
use std::io;

use crate::io::netlink::NetlinkError;
use crate::sites::{Missing, Side};

/// Why a measurement ended before its end.
#[derive(Debug)]
pub(super) enum BenchError {
    /// The system lacks something.
    Missing(Missing),
    /// The user ended it by this signal.
    Interrupted(&'static str),
    /// A tunnel's process ended before its time.
    Died {
        /// Where.
        side: Side,
        /// How, and the last lines of its log.
        how: String,
    },
    /// Something did not come about in time, and what was seen instead.
    Late(String),
    /// The system refused something.
    System(String),
    /// Nobody takes the output.
    Output(io::Error),
}

impl BenchError {
    /// Says what an error of the system is about.
    pub(super) fn of<E: fmt::Display>(what: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::System(format!("{what}: {error}"))
    }

    /// Whether it ends the whole bench, not only what was being measured.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Missing(_) | Self::Interrupted(_) | Self::Output(_) => true,
            Self::Died { .. } | Self::Late(_) | Self::System(_) => false,
        }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(f),
            Self::Interrupted(signal) => {
                write!(f, "{signal}: the bench was interrupted, and has cleaned up")
            }
            Self::Died { side, how } => {
                write!(f, "the tunnel's process of {} ended: {how}", side.name())
            }
            Self::Late(what) | Self::System(what) => f.write_str(what),
            Self::Output(error) => write!(f, "output: {error}"),
        }
    }
}

impl From<Missing> for BenchError {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl From<NetlinkError> for BenchError {
    fn from(error: NetlinkError) -> Self {
        Self::System(error.to_string())
    }
}

impl From<io::Error> for BenchError {
    fn from(error: io::Error) -> Self {
        Self::System(error.to_string())
    }
}
