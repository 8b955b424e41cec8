//! Why the demo ended before its end.

use std::fmt;
use std::io;
use std::process::ExitStatus;

use crate::control::ClientError;
use crate::io::netlink::NetlinkError;
use crate::sites::Missing;
use crate::sites::Side;

/// Why the demo ended before its end.
#[derive(Debug)]
pub(super) enum DemoError {
    /// The system lacks something.
    Missing(Missing),
    /// A namespace of this name exists.
    Taken(String),
    /// The user ended it by this signal.
    Interrupted(&'static str),
    /// An endpoint ended before its time.
    Died {
        /// Where.
        side: Side,
        /// How.
        status: ExitStatus,
        /// The last lines of its log.
        last_words: Vec<String>,
    },
    /// Something did not come about in time; what was seen instead.
    Late(String),
    /// The system refused something.
    System(String),
    /// The kernel refused to change or show an interface, an address or a route.
    Netlink(NetlinkError),
    /// An endpoint could not be asked.
    Client(ClientError),
    /// Nobody takes the output.
    Output(io::Error),
}

impl DemoError {
    /// Says what an error of the system is about.
    pub(super) fn of(what: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System(format!("{what}: {error}"))
    }

    /// The signal by which the user ended the demo.
    pub(super) fn signal(&self) -> Option<&'static str> {
        if let Self::Interrupted(signal) = self {
            Some(signal)
        } else {
            None
        }
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(f),
            Self::Taken(name) => write!(
                f,
                "namespace {name} exists, perhaps of an earlier `adit demo --keep`; to remove it: \
                 ip netns pids {name} | xargs -r kill; ip netns delete {name}"
            ),
            Self::Interrupted(signal) => {
                write!(f, "{signal}: the demo was interrupted, and has cleaned up")
            }
            Self::Died {
                side,
                status,
                last_words,
            } => {
                write!(
                    f,
                    "the endpoint of {} ended before the demo did ({status})",
                    side.name()
                )?;
                if !last_words.is_empty() {
                    write!(f, "; its last words:\n  {}", last_words.join("\n  "))?;
                }
                Ok(())
            }
            Self::Late(what) | Self::System(what) => f.write_str(what),
            Self::Netlink(error) => error.fmt(f),
            Self::Client(error) => error.fmt(f),
            Self::Output(error) => write!(f, "output: {error}"),
        }
    }
}

impl From<Missing> for DemoError {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl From<NetlinkError> for DemoError {
    fn from(error: NetlinkError) -> Self {
        Self::Netlink(error)
    }
}

impl From<ClientError> for DemoError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for DemoError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
