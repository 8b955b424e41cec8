//! A userspace GRE tunnel endpoint for Linux over TUN devices.
