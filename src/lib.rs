//! A userspace GRE and IPsec tunnel endpoint for Linux over TUN devices.

pub mod bench;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dataplane;
pub mod demo;
pub mod ike_lane;
pub mod io;
pub mod keys;
pub mod links;
mod sites;
