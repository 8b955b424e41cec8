//! Which tunnel an inbound packet belongs to: a GRE packet by the socket that it came from, its source address and its key; an ESP packet
//! by the socket and its SPI.

use std::collections::HashMap;
use std::net::IpAddr;

use adit_proto::counters::DropReason;
use adit_proto::wire::esp::Spi;
use adit_proto::wire::gre::GreKey;

/// Where a packet came from: the worker's socket and the outer source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) socket: usize,
    pub(super) address: IpAddr,
}

/// The tunnels of a worker by source and key, with the last answer remembered: trains come from one peer.
#[derive(Debug, Default)]
pub(super) struct Table {
    tunnels: HashMap<(Source, Option<GreKey>), usize>,
    by_source: HashMap<Source, Vec<usize>>,
    last: Option<(Source, Option<GreKey>, usize)>,
    associations: HashMap<(usize, Spi), usize>,
    last_association: Option<(usize, Spi, usize)>,
}

impl Table {
    /// The slot of a packet's tunnel, or why it has none.
    #[inline]
    pub(super) fn find(
        &mut self,
        source: Source,
        key: Option<GreKey>,
    ) -> Result<usize, DropReason> {
        if let Some((last_source, last_key, slot)) = self.last
            && last_source == source
            && last_key == key
        {
            return Ok(slot);
        }
        self.search(source, key)
    }

    fn search(&mut self, source: Source, key: Option<GreKey>) -> Result<usize, DropReason> {
        match self.tunnels.get(&(source, key)) {
            Some(&slot) => {
                self.last = Some((source, key, slot));
                Ok(slot)
            }
            None if self.by_source.contains_key(&source) => Err(DropReason::UnknownKey),
            None => Err(DropReason::UnknownPeer),
        }
    }

    /// The slot of the tunnel whose inbound association has this index on that socket.
    #[inline]
    pub(super) fn find_association(&mut self, socket: usize, spi: Spi) -> Option<usize> {
        if let Some((last_socket, last_spi, slot)) = self.last_association
            && last_socket == socket
            && last_spi == spi
        {
            return Some(slot);
        }
        let slot = self.associations.get(&(socket, spi)).copied()?;
        self.last_association = Some((socket, spi, slot));
        Some(slot)
    }

    /// Enters an inbound association.
    pub(super) fn insert_association(&mut self, socket: usize, spi: Spi, slot: usize) {
        self.last_association = None;
        self.associations.insert((socket, spi), slot);
    }

    /// Takes an inbound association out.
    pub(super) fn remove_association(&mut self, socket: usize, spi: Spi) {
        self.last_association = None;
        self.associations.remove(&(socket, spi));
    }

    /// The slots of this worker's tunnels with a peer at `source`, whatever their keys, standby peers included.
    pub(super) fn at_source(&self, source: Source) -> &[usize] {
        self.by_source.get(&source).map_or(&[], Vec::as_slice)
    }

    /// Enters a tunnel.
    pub(super) fn insert(&mut self, source: Source, key: Option<GreKey>, slot: usize) {
        self.last = None;
        self.tunnels.insert((source, key), slot);
        self.insert_standby(source, slot);
    }

    /// Enters a peer of `slot` whose packets are not found by source and key: answers of a standby peer, or what is only counted.
    pub(super) fn insert_standby(&mut self, source: Source, slot: usize) {
        let slots = self.by_source.entry(source).or_default();
        if !slots.contains(&slot) {
            slots.push(slot);
        }
    }

    /// Takes a tunnel out, and a standby peer of its slot too.
    pub(super) fn remove(&mut self, source: Source, key: Option<GreKey>, slot: usize) {
        self.last = None;
        self.tunnels.remove(&(source, key));
        self.remove_standby(source, slot);
    }

    /// Takes a standby peer out, and the source with the last tunnel that had it.
    pub(super) fn remove_standby(&mut self, source: Source, slot: usize) {
        if let Some(slots) = self.by_source.get_mut(&source) {
            slots.retain(|&held| held != slot);
            if slots.is_empty() && !self.tunnels.keys().any(|&(other, _)| other == source) {
                self.by_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source {
            socket: 0,
            address: IpAddr::from([192, 0, 2, last]),
        }
    }

    #[test]
    fn a_known_source_with_another_key_is_told_apart_from_an_unknown_source() {
        let mut table = Table::default();
        table.insert(source(1), Some(GreKey(42)), 7);
        assert_eq!(table.find(source(1), Some(GreKey(42))), Ok(7));
        assert_eq!(
            table.find(source(1), Some(GreKey(43))),
            Err(DropReason::UnknownKey)
        );
        assert_eq!(table.find(source(1), None), Err(DropReason::UnknownKey));
        assert_eq!(
            table.find(source(2), Some(GreKey(42))),
            Err(DropReason::UnknownPeer)
        );
    }

    #[test]
    fn a_removed_tunnel_is_not_remembered() {
        let mut table = Table::default();
        table.insert(source(1), None, 7);
        assert_eq!(table.find(source(1), None), Ok(7));
        table.remove(source(1), None, 7);
        assert_eq!(table.find(source(1), None), Err(DropReason::UnknownPeer));
        assert!(table.at_source(source(1)).is_empty());
    }

    #[test]
    fn a_standby_peer_answers_keepalives_but_carries_no_packets() {
        let mut table = Table::default();
        table.insert_standby(source(3), 7);
        assert_eq!(table.at_source(source(3)), [7]);
        assert_eq!(table.find(source(3), None), Err(DropReason::UnknownKey));
    }

    #[test]
    fn an_association_is_found_on_its_socket_only_until_it_is_removed() {
        let spi = Spi::new(0x1001).unwrap();
        let mut table = Table::default();
        table.insert_association(2, spi, 7);
        assert_eq!(table.find_association(2, spi), Some(7));
        assert_eq!(table.find_association(2, spi), Some(7));
        assert_eq!(table.find_association(3, spi), None);
        table.remove_association(2, spi);
        assert_eq!(table.find_association(2, spi), None);
    }

    #[test]
    fn the_same_address_on_another_socket_is_another_source() {
        let mut table = Table::default();
        table.insert(source(1), None, 0);
        let elsewhere = Source {
            socket: 1,
            ..source(1)
        };
        assert_eq!(table.find(elsewhere, None), Err(DropReason::UnknownPeer));
    }
}
