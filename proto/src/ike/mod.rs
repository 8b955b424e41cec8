//! IKEv2: who the peer is, which algorithms and keys are used with it, and for which traffic (RFC 7296).
//!
//! [`Endpoint`] is the protocol of all tunnels of one network namespace: datagrams, deadlines and commands go in, datagrams, deadlines and
//! events come out. It needs no clock, socket or thread. A datagram's way: receive.rs (header, SA, window, seal, fragments), then one file an exchange
//! and role: sa_init.rs and half_open.rs, ike_auth.rs and auth_answer.rs, create_child.rs with rekey_child.rs and rekey_ike.rs,
//! informational.rs. What a request of ours waits for is a struct of its own (awaited.rs), what waits for its turn a task (task.rs), and every
//! SA has a deadline in every phase (timer.rs, expire.rs).

pub mod auth;
mod auth_answer;
mod awaited;
mod child;
mod child_answer;
mod child_offer;
mod child_selectors;
mod command;
mod command_run;
mod connection;
pub mod cookie;
mod core;
mod create_child;
mod deadlines;
mod duplicate;
mod endpoint;
mod event;
mod expire;
mod failure;
pub mod fragment;
mod half_open;
mod half_open_count;
pub mod identity;
mod ike_auth;
mod informational;
pub mod keys;
mod message;
pub mod natd;
mod numbers;
mod outbox;
mod partial;
mod proof;
pub mod proposal;
mod receive;
#[cfg(test)]
mod recorded;
mod rekey_child;
mod rekey_ike;
mod remote_index;
mod repeat;
mod sa;
mod sa_init;
pub mod selector;
mod status;
mod status_of;
mod task;
#[cfg(test)]
pub(crate) mod tests;
mod timer;
mod window;

pub use command::{Command, CommandError, What};
pub use connection::{
    ChildMode, Connection, ConnectionId, LocalAuth, Path, RekeyTimes, RemoteAuth, Retransmit,
};
pub use endpoint::{Endpoint, EndpointConfig, Random, Transmit};
pub use event::{ChildSa, Event, IkeInfo, Outbound, Retired};
pub use failure::{DownWhy, Failure, PeerRefused};
pub use identity::Identity;
pub use proposal::{EspOffer, EspProposal, IkeOffer, IkeProposal, NoProposal, NotOffered};
pub use status::{ChildStatus, IkeAlgorithms, IkeCounters, IkeState, IkeStatus};
pub use timer::Timer;

pub(crate) use deadlines::Deadlines;
pub(crate) use half_open_count::{HalfOpenCount, Opener};
pub(crate) use numbers::Numbers;
pub(crate) use outbox::Outbox;
pub(crate) use remote_index::RemoteIndex;
pub(crate) use repeat::{Answered, Outstanding};

use crate::wire::ike::TrafficSelector;

/// The name of a notification, or its number.
fn notify_words(kind: u16) -> String {
    crate::wire::ike::notify_name(kind)
        .map_or_else(|| format!("notification {kind}"), str::to_owned)
}

/// Traffic selectors of both ends, for people.
fn selectors_in_words(ts_i: &[TrafficSelector], ts_r: &[TrafficSelector]) -> String {
    let words = |side: &[TrafficSelector]| {
        let shown: Vec<String> = side.iter().take(8).map(ToString::to_string).collect();
        shown.join(", ")
    };
    format!("{} === {}", words(ts_i), words(ts_r))
}

/// What we offer for IKE, in the words of the configuration.
fn offered_ike(connection: &Connection) -> String {
    let words: Vec<String> = connection.ike.iter().map(ToString::to_string).collect();
    words.join(", ")
}

/// What we offer for ESP.
fn offered_esp(connection: &Connection) -> String {
    let words: Vec<String> = connection.esp.iter().map(ToString::to_string).collect();
    words.join(", ")
}
