//! What the fuzz targets do with one input; `tests/corpus.rs` replays the committed corpora through the same functions.

mod clock;
pub mod coalesce;
pub mod config;
pub mod decap;
pub mod esp_open;
pub mod gre;
pub mod ike_endpoint;
pub mod ike_message;
pub mod ip;
pub mod isakmp_attributes;
pub mod isakmp_message;
pub mod isakmp_mode_config;
mod isakmp_peer;
pub mod isakmp_quick_mode;
pub mod keepalive;
pub mod key_file;
pub mod natt;
pub mod split;
pub mod trailer;

/// A fuzz target: its name, which is also that of its corpus, and what it does with one input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 17] = [
    ("coalesce", coalesce::run),
    ("config", config::run),
    ("decap", decap::run),
    ("esp_open", esp_open::run),
    ("gre", gre::run),
    ("ike_endpoint", ike_endpoint::run),
    ("ike_message", ike_message::run),
    ("ip", ip::run),
    ("isakmp_attributes", isakmp_attributes::run),
    ("isakmp_message", isakmp_message::run),
    ("isakmp_mode_config", isakmp_mode_config::run),
    ("isakmp_quick_mode", isakmp_quick_mode::run),
    ("keepalive", keepalive::run),
    ("key_file", key_file::run),
    ("natt", natt::run),
    ("split", split::run),
    ("trailer", trailer::run),
];
