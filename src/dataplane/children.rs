//! The pairs of security associations of a tunnel: one that is sent by, and those that may still receive (RFC 7296 section 2.8).

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adit_proto::counters::{Counters, DropReason};
use adit_proto::esp::{InboundSa, Opened, OutboundSa, Selectors};
use adit_proto::liveness::{DownReason, Path};
use adit_proto::tunnel::{Mode, Ports};
use adit_proto::wire::esp::Spi;

use super::tunnel::Tunnel;
use super::worker::Worker;
use super::{IkeCommand, Ipsec, NewPair};

/// How long a replaced inbound association still receives what was on its way.
const GRACE: Duration = Duration::from_secs(5);
/// Indices of removed associations whose late packets are still known for what they are.
const REMEMBERED: usize = 4;

/// What a tunnel with ESP receives by.
#[derive(Debug)]
pub(super) struct Children {
    pairs: Vec<Pair>,
    /// The inbound index of the pair that is sent by.
    sending: Option<Spi>,
    /// What goes with its outbound association.
    terms: Option<Terms>,
    /// Indices of associations that a rekey took away.
    removed: Vec<Spi>,
    edge: Option<Arc<AtomicU64>>,
    pub(super) has_ike: bool,
    pub(super) accepts_clear: bool,
    pub(super) addresses: Vec<IpAddr>,
    /// Whether the peer is followed to where a newer packet comes from.
    pub(super) follows_peer: bool,
    pub(super) has_nat: bool,
    /// Where the peer was heard last, or is supposed to be.
    pub(super) peer: Option<SocketAddr>,
    /// Whether the last packet came from where the peer is supposed to be: an association may be shared by several remotes.
    pub(super) from_peer: bool,
    /// More numbers were asked for; the daemon goes on to ask the disk until they come.
    pub(super) asked: bool,
    /// No number is left, and the tunnel is down for it.
    pub(super) exhausted: bool,
    /// An association in use has reached a hard limit.
    pub(super) expired: bool,
}

#[derive(Debug)]
struct Pair {
    inbound: InboundSa,
    /// What we send by once the peer does.
    waiting: Option<Box<Outbound>>,
    /// What was sent by until another pair took over, which may be the one of the two that goes.
    former: Option<Box<Outbound>>,
    /// Edge and number of accepted packets when another pair came to replace this one.
    replaced: Option<(u64, u64)>,
    removed_at: Option<Instant>,
}

/// What we send by, and what goes with it.
#[derive(Debug)]
pub(super) struct Outbound {
    sa: OutboundSa,
    terms: Terms,
}

/// How an outbound association is used.
#[derive(Clone, Debug)]
struct Terms {
    selectors: Selectors,
    mode: Mode,
    udp: Option<Ports>,
    gre_ends: Option<(IpAddr, IpAddr)>,
}

impl Children {
    pub(super) fn new(ipsec: Ipsec) -> Self {
        Self {
            pairs: Vec::new(),
            sending: None,
            terms: None,
            removed: Vec::new(),
            edge: ipsec.edge,
            has_ike: ipsec.has_ike,
            accepts_clear: ipsec.accepts_clear,
            addresses: ipsec.addresses,
            follows_peer: false,
            has_nat: false,
            peer: None,
            from_peer: false,
            asked: false,
            exhausted: false,
            expired: false,
        }
    }

    /// Takes a pair in; what is to be sent by at once comes back.
    pub(super) fn install(&mut self, pair: NewPair) -> Option<Outbound> {
        let outbound = Outbound {
            sa: pair.outbound,
            terms: Terms {
                selectors: pair.selectors,
                mode: pair.mode,
                udp: pair.udp,
                gre_ends: pair.gre_ends,
            },
        };
        self.follows_peer = pair.follows_peer;
        self.has_nat = pair.has_nat || pair.gre_ends.is_some();
        if let Some(replaced) = pair.replaces.and_then(|spi| self.pair_mut(spi)) {
            let inbound = &replaced.inbound;
            replaced.replaced = Some((inbound.edge(), inbound.lifetime().used().0));
        }
        // A first pair has no other to send by until the peer does, which may have nothing to say.
        let (now, waiting) = if pair.sends_now || self.sending.is_none() {
            (Some(outbound), None)
        } else {
            (None, Some(Box::new(outbound)))
        };
        self.pairs.push(Pair {
            inbound: pair.inbound,
            waiting,
            former: None,
            replaced: None,
            removed_at: None,
        });
        now
    }

    /// Sends by the pair with that inbound index: what was sealed with until then stays with its own pair.
    fn switch(&mut self, spi: Spi, terms: Terms, before: Option<OutboundSa>) {
        let left = self.sending.replace(spi);
        let left_terms = self.terms.replace(terms);
        if let (Some(sa), Some(terms)) = (before, left_terms)
            && let Some(pair) = left.and_then(|left| self.pair_mut(left))
        {
            pair.former = Some(Box::new(Outbound { sa, terms }));
        }
    }

    /// What is to be sent by from now on, if the pair with that inbound index is not sent by already.
    pub(super) fn send_by(&mut self, spi: Spi) -> Option<Outbound> {
        let pair = self.pair_mut(spi)?;
        let outbound = pair.waiting.take().or_else(|| pair.former.take())?;
        Some(*outbound)
    }

    /// The newest pair that can be sent by in place of one that is gone: of those that stay, if there is any.
    fn successor(&self) -> Option<Spi> {
        let usable = |pair: &&Pair| pair.waiting.is_some() || pair.former.is_some();
        let pairs = self.pairs.iter().filter(usable);
        let pair = pairs.max_by_key(|pair| pair.removed_at.is_none())?;
        Some(pair.inbound.spi())
    }

    /// Lets a replaced pair receive for a while yet.
    pub(super) fn retire(&mut self, spi: Spi, now: Instant) {
        if let Some(pair) = self.pair_mut(spi) {
            pair.removed_at = Some(now + GRACE);
        }
    }

    /// Takes the pair away; whether it was the one to send by.
    pub(super) fn remove(&mut self, spi: Spi, counters: &Counters) -> bool {
        if let Some(index) = self.pairs.iter().position(|pair| pair.inbound.spi() == spi) {
            let pair = self.pairs.remove(index);
            counters.rekey_lost_packets.add(pair.lost());
            if pair.replaced.is_some() {
                self.removed.push(spi);
            }
        }
        let was_sending = self.sending == Some(spi);
        if was_sending {
            self.sending = None;
        }
        was_sending
    }

    /// Takes all pairs away, and gives their inbound indices.
    pub(super) fn clear(&mut self) -> Vec<Spi> {
        self.sending = None;
        self.terms = None;
        let mut spis = std::mem::take(&mut self.removed);
        spis.extend(self.pairs.drain(..).map(|pair| pair.inbound.spi()));
        spis
    }

    /// An index that need not be known any more, while there are too many of them.
    pub(super) fn forget(&mut self) -> Option<Spi> {
        (self.removed.len() > REMEMBERED).then(|| self.removed.remove(0))
    }

    /// The pair that is to be removed by now.
    pub(super) fn removable(&self, now: Instant) -> Option<Spi> {
        let due = |pair: &&Pair| pair.removed_at.is_some_and(|at| at <= now);
        self.pairs.iter().find(due).map(|pair| pair.inbound.spi())
    }

    /// Opens an ESP packet with this index in place; `Ok(true)` besides when it is the first by a pair that waits for one.
    #[inline]
    pub(super) fn open(
        &mut self,
        spi: Spi,
        packet: &mut [u8],
        now: Instant,
        counters: &Counters,
    ) -> Result<(Opened, bool), DropReason> {
        let Some(pair) = self
            .pairs
            .iter_mut()
            .rev()
            .find(|pair| pair.inbound.spi() == spi)
        else {
            counters.rekey_lost_packets.add(1);
            return Err(DropReason::UnknownSpi);
        };
        if self.expired || pair.inbound.is_over(now) {
            return Err(DropReason::SaExpired);
        }
        let opened = pair.inbound.open(packet)?;
        if opened.is_newest
            && let Some(edge) = &self.edge
        {
            edge.store(pair.inbound.edge(), Ordering::Relaxed);
        }
        Ok((opened, pair.waiting.is_some()))
    }

    /// The inbound indices by which packets may come.
    pub(super) fn spis(&self) -> impl Iterator<Item = Spi> {
        let pairs = self.pairs.iter().map(|pair| pair.inbound.spi());
        pairs.chain(self.removed.iter().copied())
    }

    /// Whether there is a pair.
    pub(super) fn has_pair(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// The inbound index of the pair that is sent by.
    pub(super) fn sending(&self) -> Option<Spi> {
        self.sending
    }

    /// The inbound association of the newest pair.
    pub(super) fn newest(&self) -> Option<&InboundSa> {
        self.pairs.last().map(|pair| &pair.inbound)
    }

    /// When an inbound association reaches a bound of time, or a pair is to be removed.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let bounds = self.pairs.iter().filter(|pair| pair.removed_at.is_none());
        let bounds = bounds.filter_map(|pair| pair.inbound.lifetime().poll_timeout());
        let removals = self.pairs.iter().filter_map(|pair| pair.removed_at);
        bounds.chain(removals).min()
    }

    /// Whether the inbound association of the pair that is sent by is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let current = |pair: &&Pair| Some(pair.inbound.spi()) == self.sending;
        let current = self.pairs.iter().find(current);
        current.is_some_and(|pair| pair.inbound.is_over(now))
    }

    /// The inbound index of a pair not yet replaced that has passed a soft limit since the last call.
    pub(super) fn aged(&mut self, now: Instant) -> Option<Spi> {
        self.pairs.iter_mut().find_map(|pair| {
            let aged = pair.replaced.is_none() && pair.inbound.lifetime_mut().has_aged(now);
            aged.then(|| pair.inbound.spi())
        })
    }

    fn pair_mut(&mut self, spi: Spi) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.inbound.spi() == spi)
    }
}

impl Pair {
    /// Packets that the peer sent by the association after it was replaced and that never came.
    fn lost(&self) -> u64 {
        let Some((edge, accepted)) = self.replaced else {
            return 0;
        };
        let numbered = self.inbound.edge().saturating_sub(edge);
        let came = self.inbound.lifetime().used().0.saturating_sub(accepted);
        numbered.saturating_sub(came)
    }
}

impl Tunnel {
    /// Sends by these from now on, which belong to the pair with this inbound index.
    fn send_by(&mut self, spi: Spi, outbound: Outbound) {
        let Outbound { sa, terms } = outbound;
        self.parameters.mode = terms.mode;
        self.parameters.udp = terms.udp;
        self.parameters.gre_ends = terms.gre_ends;
        let ends = terms.gre_ends.map(|(local, remote)| Path { local, remote });
        self.liveness.set_gre_ends(ends);
        self.encap.set_mode(terms.mode, terms.udp, terms.gre_ends);
        if let (Some(peer), Some(_)) = (self.followed(), terms.udp) {
            self.encap.set_remote_port(peer.port());
        }
        // What is in GRE is nothing that the selectors speak of.
        let selectors = match terms.mode {
            Mode::Esp(_) => terms.selectors.clone(),
            Mode::Gre | Mode::GreEsp(_) => Selectors::any(),
        };
        self.decap.set_selectors(selectors.clone());
        self.encap.set_selectors(selectors);
        let before = self.encap.set_sa(Some(sa));
        if let Some(ipsec) = &mut self.ipsec {
            ipsec.switch(spi, terms, before);
        }
    }

    /// Takes a pair of associations in.
    pub(super) fn install(&mut self, pair: NewPair, now: Instant) {
        let Some(ipsec) = &mut self.ipsec else { return };
        if !ipsec.has_pair() {
            // Its time without user data begins.
            self.idle.note_used(now);
        }
        self.idle.keep_mapping(pair.nat_keepalive, now);
        self.liveness.set_answers_probes(now, pair.answers_probes);
        ipsec.expired = false;
        ipsec.exhausted = false;
        let spi = pair.inbound.spi();
        if let Some(outbound) = ipsec.install(pair) {
            self.send_by(spi, outbound);
        }
    }
}

impl Worker {
    /// Does what IKE wants of the tunnel in `slot`.
    pub(super) fn obey_ike(&mut self, slot: usize, command: IkeCommand, now: Instant) {
        match command {
            IkeCommand::Install(pair) => self.install(slot, *pair, now),
            IkeCommand::SendBy(spi) => self.send_by(slot, spi),
            IkeCommand::Retire(spi, replaced) => self.retire(slot, spi, replaced, now),
            IkeCommand::Alive => self.hear_ike(slot, now),
            IkeCommand::Follow(peer) => self.follow_ike(slot, peer),
            IkeCommand::Down(reason) => self.ike_down(slot, reason, now),
        }
    }

    /// Takes a pair of associations in; with the first one the tunnel begins to look whether data flows.
    fn install(&mut self, slot: usize, pair: NewPair, now: Instant) {
        let (spi, remote) = (pair.inbound.spi(), pair.remote);
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        self.outbox.send();
        tunnel.install(pair, now);
        if let Some(&socket) = tunnel.sockets.first() {
            self.table.insert_association(socket, spi, slot);
            let in_use = tunnel.liveness.path().map(|path| path.remote);
            if remote.is_none() || remote == in_use {
                tunnel.liveness.handle_established(now);
            }
        }
        self.attend(slot, now);
    }

    /// Sends by the pair with this inbound index, if it has waited for that.
    pub(super) fn send_by(&mut self, slot: usize, spi: Spi) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let outbound = tunnel.ipsec.as_mut().and_then(|ipsec| ipsec.send_by(spi));
        if let Some(outbound) = outbound {
            self.outbox.send();
            tunnel.send_by(spi, outbound);
        }
    }

    /// Takes the pair away, after a time of grace where another has replaced it.
    fn retire(&mut self, slot: usize, spi: Spi, replaced: bool, now: Instant) {
        let Some(tunnel) = self.tunnel_mut(slot) else {
            return;
        };
        let Some(ipsec) = &mut tunnel.ipsec else {
            return;
        };
        if !replaced {
            self.remove_pair(slot, spi, now);
        } else {
            ipsec.retire(spi, now);
            // Of two that crossed it may be this one that is sent by, and the peer knows it for no longer than we do.
            let successor = ipsec.successor().filter(|_| ipsec.sending() == Some(spi));
            if let Some(successor) = successor {
                self.send_by(slot, successor);
            }
        }
        self.attend(slot, now);
    }

    /// Takes the pairs away whose time of grace is over.
    pub(super) fn remove_pairs(&mut self, slot: usize, now: Instant) {
        while let Some(ipsec) = self.tunnel_mut(slot).and_then(|it| it.ipsec.as_ref())
            && let Some(spi) = ipsec.removable(now)
        {
            self.remove_pair(slot, spi, now);
        }
    }

    fn remove_pair(&mut self, slot: usize, spi: Spi, now: Instant) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(ipsec) = &mut tunnel.ipsec else {
            return;
        };
        let nothing_left = ipsec.remove(spi, &tunnel.counters);
        let sockets = &tunnel.sockets;
        let mut forget = |spi| {
            if let Some(&socket) = sockets.first() {
                self.table.remove_association(socket, spi);
            }
        };
        if !ipsec.spis().any(|known| known == spi) {
            forget(spi);
        }
        if let Some(oldest) = ipsec.forget() {
            forget(oldest);
        }
        if !nothing_left {
            return;
        }
        self.outbox.send();
        tunnel.encap.set_sa(None);
        let successor = ipsec.successor();
        let outbound = successor.and_then(|spi| Some((spi, ipsec.send_by(spi)?)));
        match outbound {
            Some((spi, outbound)) => tunnel.send_by(spi, outbound),
            None => tunnel.liveness.handle_down(now, DownReason::NoSa),
        }
    }

    /// Takes all pairs away.
    fn ike_down(&mut self, slot: usize, reason: DownReason, now: Instant) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(ipsec) = &mut tunnel.ipsec else {
            return;
        };
        self.outbox.send();
        for spi in ipsec.clear() {
            if let Some(&socket) = tunnel.sockets.first() {
                self.table.remove_association(socket, spi);
            }
        }
        tunnel.encap.set_sa(None);
        tunnel.liveness.handle_down(now, reason);
        self.attend(slot, now);
    }

    /// The peer of IKE is elsewhere now, and where IKE comes through its NAT, ESP in UDP does.
    fn follow_ike(&mut self, slot: usize, peer: SocketAddr) {
        let Some(tunnel) = self.tunnel_mut(slot) else {
            return;
        };
        let is_in_udp = tunnel.parameters.udp.is_some();
        let follows = |ipsec: &Children| ipsec.follows_peer && ipsec.peer != Some(peer);
        if is_in_udp && tunnel.ipsec.as_ref().is_some_and(follows) {
            self.follow(slot, peer);
        }
    }

    /// A fresh, authenticated IKE message came from the peer.
    fn hear_ike(&mut self, slot: usize, now: Instant) {
        if let Some(tunnel) = self.tunnel_mut(slot) {
            tunnel.liveness.handle_alive(now);
            self.attend(slot, now);
        }
    }
}
