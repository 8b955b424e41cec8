//! What the fuzz targets do with one input; `tests/corpus.rs` replays the committed corpora through the same functions.

pub mod coalesce;
pub mod config;
pub mod decap;
pub mod gre;
pub mod ip;
pub mod keepalive;
pub mod split;

/// A fuzz target: its name, which is also that of its corpus, and what it does with one input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 7] = [
    ("coalesce", coalesce::run),
    ("config", config::run),
    ("decap", decap::run),
    ("gre", gre::run),
    ("ip", ip::run),
    ("keepalive", keepalive::run),
    ("split", split::run),
];
