//! The control socket: one JSON object a line, request then answer, over a Unix socket of mode 0600.

mod client;
pub mod ike;
pub mod report;
mod server;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::DEFAULT_SOCKET;

pub use client::{Client, ClientError};
pub use ike::TraceLine;
pub use report::{Event, Status, TunnelStatus};
pub use server::{Bound, Call, SocketError, serve};

/// What a client asks of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The state of one tunnel or of all.
    Status {
        /// The tunnel's name; all tunnels without it.
        tunnel: Option<String>,
    },
    /// From here on, each event as it happens.
    Events,
    /// Brings a tunnel up.
    Up {
        /// The tunnel's name.
        tunnel: String,
    },
    /// Takes a tunnel down and its interface away.
    Down {
        /// The tunnel's name.
        tunnel: String,
    },
    /// Deletes a tunnel's SAs; they are made anew as its `start` says.
    Clear {
        /// The tunnel's name.
        tunnel: String,
    },
    /// Has SAs of a tunnel replaced; done when the exchange has begun.
    Rekey {
        /// The tunnel's name.
        tunnel: String,
        /// Which ones.
        what: What,
    },
    /// From here on, each [`TraceLine`] about a tunnel; the daemon itself only says whether it has that tunnel.
    Debug {
        /// The tunnel's name.
        tunnel: String,
    },
}

/// Which SAs are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The IKE SA.
    Ike,
    /// The child SAs in use.
    Child,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// Done as asked.
    Done,
    /// The state asked for.
    Status(Box<Status>),
    /// One event.
    Event(Box<Event>),
    /// One line of what IKE does.
    Trace(Box<TraceLine>),
    /// Not done, and why.
    Refused(String),
}

/// Where the daemon listens when neither the command line nor the configuration says so:
/// [`DEFAULT_SOCKET`] for root, `$XDG_RUNTIME_DIR/adit.sock` for others.
#[must_use]
pub fn default_socket() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from(DEFAULT_SOCKET);
    }
    std::env::var_os("XDG_RUNTIME_DIR")
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join("adit.sock")
}
