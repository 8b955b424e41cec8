//! Keepalives, the verdict on the peer, failover.
