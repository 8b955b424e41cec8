//! Packets ready to send: contiguous, in memory that is allocated once.

/// Complete outer packets, one behind the other, each labelled with where it goes.
#[derive(Debug)]
pub struct Train {
    octets: Box<[u8]>,
    used: usize,
    cars: Vec<Car>,
    packets_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Car {
    end: usize,
    label: Label,
}

/// What a packet of the train is to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The owner's number for where it goes.
    pub destination: u32,
    /// Octets of the inner packet; 0 for a fragment after the first.
    pub inner_octets: u32,
}

impl Train {
    /// Room for `packets` packets of `octets` octets in all.
    #[must_use]
    pub fn new(packets: usize, octets: usize) -> Self {
        Self {
            octets: vec![0; octets].into_boxed_slice(),
            used: 0,
            cars: Vec::with_capacity(packets),
            packets_max: packets,
        }
    }

    /// Whether that many packets with that many octets in all still fit.
    #[inline]
    #[must_use]
    pub fn has_room(&self, packets: usize, octets: usize) -> bool {
        self.packets_max - self.cars.len() >= packets && self.octets.len() - self.used >= octets
    }

    /// Room for a packet of up to `octets` octets, holding what was there before; `None` if the train has to leave first.
    #[inline]
    pub fn reserve(&mut self, octets: usize) -> Option<&mut [u8]> {
        if self.cars.len() == self.packets_max {
            return None;
        }
        self.octets
            .get_mut(self.used..self.used.checked_add(octets)?)
    }

    /// Makes the next `octets` of the reserved room a packet. A reserved room may become several packets.
    #[inline]
    pub fn commit(&mut self, octets: usize, label: Label) {
        let end = self.used.saturating_add(octets);
        if end <= self.octets.len() && self.cars.len() < self.packets_max {
            self.cars.push(Car { end, label });
            self.used = end;
        }
    }

    /// The packets in order, each with its label.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = (&[u8], Label)> {
        let mut start = 0;
        self.cars.iter().map(move |car| {
            let packet = self.octets.get(start..car.end).unwrap_or_default();
            start = car.end;
            (packet, car.label)
        })
    }

    /// Octets of all packets.
    #[inline]
    #[must_use]
    pub fn octets(&self) -> usize {
        self.used
    }

    /// Whether there is nothing to send.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cars.is_empty()
    }

    /// Removes the first `packets` packets, or all that there are; the others move to the front.
    pub fn remove_first(&mut self, packets: usize) {
        let Some(last) = packets.checked_sub(1) else {
            return;
        };
        match self.cars.get(last) {
            Some(&Car { end: removed, .. }) if packets < self.cars.len() => {
                self.octets.copy_within(removed..self.used, 0);
                self.used -= removed;
                self.cars.drain(..packets);
                self.cars.iter_mut().for_each(|car| car.end -= removed);
            }
            _ => self.clear(),
        }
    }

    /// Makes all room free again.
    #[inline]
    pub fn clear(&mut self) {
        self.used = 0;
        self.cars.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(destination: u32) -> Label {
        Label {
            destination,
            inner_octets: 1,
        }
    }

    #[test]
    fn packets_come_in_the_order_of_their_commits() {
        let mut train = Train::new(3, 10);
        train.reserve(5).unwrap().copy_from_slice(b"abcde");
        train.commit(3, label(7));
        train.commit(2, label(8));
        train.reserve(4).unwrap()[..1].copy_from_slice(b"f");
        train.commit(1, label(9));
        let packets: Vec<_> = train.packets().collect();
        let expected = [(&b"abc"[..], label(7)), (b"de", label(8)), (b"f", label(9))];
        assert_eq!(packets, expected);
        assert_eq!(train.packets().len(), 3);
    }

    #[test]
    fn what_is_behind_the_first_packets_stays_in_order() {
        let mut train = Train::new(3, 10);
        train.reserve(6).unwrap().copy_from_slice(b"abcdef");
        for (octets, destination) in [(3, 7), (2, 8), (1, 9)] {
            train.commit(octets, label(destination));
        }
        train.remove_first(0);
        assert_eq!(train.packets().len(), 3);
        train.remove_first(1);
        assert!(train.octets() == 3 && train.has_room(1, 7));
        train.reserve(1).unwrap().copy_from_slice(b"g");
        train.commit(1, label(10));
        let packets: Vec<_> = train.packets().collect();
        let expected = [(&b"de"[..], label(8)), (b"f", label(9)), (b"g", label(10))];
        assert_eq!(packets, expected);
        train.remove_first(4);
        assert!(train.is_empty() && train.has_room(3, 10));
    }

    #[test]
    fn a_full_train_takes_nothing_until_it_is_cleared() {
        let mut train = Train::new(2, 100);
        train.commit(60, label(0));
        assert!(train.reserve(41).is_none() && !train.has_room(1, 41));
        assert!(train.reserve(40).is_some() && train.has_room(1, 40) && !train.has_room(2, 40));
        train.commit(1, label(0));
        assert!(train.reserve(1).is_none() && !train.has_room(1, 1));
        train.clear();
        assert!(train.is_empty() && train.has_room(2, 100));
        assert!(train.reserve(101).is_none());
    }

    #[test]
    fn more_than_there_is_room_for_is_not_committed() {
        let mut train = Train::new(1, 4);
        train.commit(5, label(0));
        train.commit(usize::MAX, label(0));
        assert!(train.is_empty());
    }
}
