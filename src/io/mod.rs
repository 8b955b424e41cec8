//! What the operating system offers: TUN devices, raw and UDP sockets, namespaces, links, addresses and routes (Linux).
//!
//! One file a kind of object, synchronous throughout. The data path ([`tun`], [`raw`], [`udp`]) neither allocates nor waits. What speaks
//! netlink ([`netlink`], [`link`], [`address`], [`route`], [`monitor`]) belongs to the control threads, and works in the namespace in
//! which the thread was that opened it: see [`netns::within`]. `unsafe` lives in `sys` alone.

pub mod address;
pub mod child;
pub mod datagram;
pub mod ethtool;
pub mod link;
pub mod monitor;
pub mod neighbour;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod raw;
pub mod route;
pub mod tun;
pub mod udp;

mod sys;
