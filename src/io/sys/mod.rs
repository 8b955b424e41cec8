//! The one place with `unsafe`: system calls that neither rustix nor socket2 offers as safe functions.

pub(in crate::io) mod child;
pub(in crate::io) mod control;
pub(in crate::io) mod errqueue;
pub(in crate::io) mod ethtool;
pub(in crate::io) mod ioctl;
pub(in crate::io) mod namespace;
pub(in crate::io) mod option;
pub(in crate::io) mod receive;
pub(in crate::io) mod send;
