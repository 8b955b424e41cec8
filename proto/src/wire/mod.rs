//! Headers as they stand on the wire.
//!
//! * [`gre`]: RFC 2784 with the key and sequence number of RFC 2890.
//! * [`ip`]: RFC 791 and RFC 8200, the fixed headers.

pub mod gre;
pub mod ip;
