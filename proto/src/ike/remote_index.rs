//! Which tunnels a peer may mean, by the address that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::connection::ConnectionId;

/// Tunnels by who may initiate to them: peers of some addresses, or anyone.
#[derive(Default)]
pub(crate) struct RemoteIndex {
    of_address: BTreeMap<IpAddr, BTreeSet<ConnectionId>>,
    of_anyone: BTreeSet<ConnectionId>,
}

impl RemoteIndex {
    /// Takes in a tunnel with peers at `remotes`, or anywhere.
    pub(crate) fn insert(&mut self, id: ConnectionId, remotes: Option<&[IpAddr]>) {
        let Some(remotes) = remotes else {
            self.of_anyone.insert(id);
            return;
        };
        for address in remotes {
            self.of_address.entry(*address).or_default().insert(id);
        }
    }

    /// Forgets a tunnel that was taken in with those `remotes`.
    pub(crate) fn remove(&mut self, id: ConnectionId, remotes: Option<&[IpAddr]>) {
        self.of_anyone.remove(&id);
        for address in remotes.unwrap_or_default() {
            if let Some(ids) = self.of_address.get_mut(address) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.of_address.remove(address);
                }
            }
        }
    }

    /// The tunnels that a peer at that address may mean, those of the address first.
    pub(crate) fn candidates(&self, address: IpAddr) -> impl Iterator<Item = ConnectionId> {
        let near = self.of_address.get(&address).into_iter().flatten();
        near.chain(&self.of_anyone).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_of_the_address_come_before_those_of_anyone() {
        let [near, far] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let [anyone, of_near, of_both] = [1, 2, 3].map(ConnectionId);
        let mut index = RemoteIndex::default();
        index.insert(anyone, None);
        index.insert(of_near, Some(&[near]));
        index.insert(of_both, Some(&[near, far]));
        let candidates =
            |index: &RemoteIndex, address| index.candidates(address).collect::<Vec<_>>();
        assert_eq!(candidates(&index, near), [of_near, of_both, anyone]);
        assert_eq!(candidates(&index, far), [of_both, anyone]);
        index.remove(of_both, Some(&[near, far]));
        index.remove(anyone, None);
        assert_eq!(candidates(&index, near), [of_near]);
        assert_eq!(candidates(&index, far), []);
    }
}
