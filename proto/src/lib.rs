//! What the RFCs say, without an operating system: octets, time and randomness in; octets, deadlines and events out.
//!
//! * [`wire`]: headers as they stand on the wire (RFC 791, 2784, 2890, 3948, 4303, 8200).
//! * [`tunnel`]: one packet into the tunnel and out of it again (RFC 2784, 2983, 6040, 7676).
//! * [`offload`]: super-packets into segments and back (virtio-net header, TSO, USO).
//! * [`liveness`]: keepalives, the verdict on the peer, failover.
//! * [`esp`]: one packet sealed and opened (RFC 4301, 4303).
//! * [`ike`]: who the peer is, and with which keys (RFC 7296).
//! * [`ikev1`]: the same in the dialect of routers (RFC 2409).
//! * [`counters`]: what was forwarded, and the one reason for each packet that was not.
#![forbid(unsafe_code)]

pub mod counters;
pub mod esp;
pub mod ike;
pub mod ikev1;
pub mod liveness;
pub mod offload;
pub mod tunnel;
pub mod wire;
