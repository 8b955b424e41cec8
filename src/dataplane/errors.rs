//! The error queue of an outer socket: ICMP that anybody may have forged, believed only where it quotes a packet of ours.

use adit_proto::tunnel::icmp::{self, Quotation, Sent};

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
            let Ok(Some(error)) = outer.receiver.receive_error(&mut self.errors) else {
                return;
            };
            let (Some(remote), ErrorKind::TooBig { mtu }) = (error.destination, error.kind) else {
                continue;
            };
            let (local, payload) = (error.source, error.quoted);
            for &slot in self.table.at_source(Source {
                socket,
                address: remote,
            }) {
                let Some(tunnel) = self.tunnels.get(slot).and_then(Option::as_deref) else {
                    continue;
                };
                let ours = &tunnel.parameters;
                let quoted = Quotation {
                    // The kernel looked for the socket of a quoted UDP packet by its addresses, and tells only one of them.
                    source: local.unwrap_or(ours.local),
                    destination: remote,
                    payload,
                };
                let sent = match tunnel.encap.sa() {
                    Some(sa) => Sent::Esp(sa.spi()),
                    None => Sent::Gre(ours.key_out),
                };
                if let Some(octets) = icmp::too_big(ours.local, ours.remote, sent, &quoted, mtu) {
                    self.config.notify(WorkerNotice::PathMtu(tunnel.id, octets));
                }
            }
        }
    }
}
