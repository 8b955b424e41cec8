//! The error queue of a raw socket: ICMP that anybody may have forged, believed only where it quotes a packet of ours.

use adit_proto::tunnel::icmp::{self, Quotation};

use super::WorkerNotice;
use super::table::Source;
use super::worker::Worker;
use crate::io::raw::ErrorKind;

/// Errors taken in one turn; the rest waits for the next.
const TURN_ERRORS: usize = 64;

impl Worker {
    /// Takes what waits in the error queue of `socket`. A packet that is too big for the path lowers its tunnel's path MTU; everything
    /// else is no news: it proves neither life nor death.
    pub(super) fn take_errors(&mut self, socket: usize) {
        for _ in 0..TURN_ERRORS {
            let Some(outer) = self.sockets.get(socket).and_then(Option::as_ref) else {
                return;
            };
            let Ok(Some(error)) = outer.raw.receive_error(&mut self.errors) else {
                return;
            };
            let (Some(local), Some(remote)) = (error.source, error.destination) else {
                continue;
            };
            let ErrorKind::TooBig { mtu } = error.kind else {
                continue;
            };
            let quoted = Quotation {
                source: local,
                destination: remote,
                gre: error.quoted,
            };
            for &slot in self.table.at_source(Source {
                socket,
                address: remote,
            }) {
                let Some(tunnel) = self.tunnels.get(slot).and_then(Option::as_deref) else {
                    continue;
                };
                let ours = &tunnel.parameters;
                if let Some(octets) =
                    icmp::too_big(ours.local, ours.remote, ours.key_out, &quoted, mtu)
                {
                    self.config.notify(WorkerNotice::PathMtu(tunnel.id, octets));
                }
            }
        }
    }
}
