//! What the tests of both versions of IKE share: two endpoints on a wire in memory.

mod configured;
mod net;
mod side;
pub(crate) mod weather;

pub(crate) use configured::*;
pub(crate) use net::*;
pub(crate) use side::*;
