//! Two endpoints on a wire that loses, doubles and delays, on a clock that tests move.

mod cve;
mod dpd;
mod easy_server;
mod easy_vpn;
mod establish;
mod hostile;
mod lives;
mod lossy;
mod net;
mod rekeys;
mod replayed;
mod stepped;
