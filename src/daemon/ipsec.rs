//! The static security associations of a tunnel: keys, the sequence numbers reserved of them, the edge of the receive window.
//!
//! Numbers are reserved before the worker gets them, the edge is saved behind it: what a crash leaves is numbers that nobody used, and an
//! edge that is up to [`SAVE_EVERY`] old.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adit_crypto::{Aead, Suite};
use adit_proto::esp::replay::Window;
use adit_proto::esp::{InboundSa, Lifetime, Limits, OutboundSa, Prefix, Selectors};
use adit_proto::tunnel::{Mode, Ports};
use adit_proto::wire::esp::Spi;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use super::{Daemon, Message};
use crate::config::{self, StaticSas, TunnelConfig};
use crate::dataplane::{Ipsec, NewPair, TunnelId};
use crate::io::address;
use crate::keys::{InboundState, KeyFile, OutboundState, StateError};

/// How often the edge of the receive window is saved.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The keys of one tunnel, held from the daemon's start to its end.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    suite: Suite,
    outbound: Arc<KeyFile>,
    inbound: Arc<KeyFile>,
    states: Arc<Mutex<States>>,
    /// Where the worker leaves the greatest number that it accepted.
    edge: Arc<AtomicU64>,
}

#[derive(Debug)]
struct States {
    outbound: OutboundState,
    inbound: InboundState,
    /// The numbers that the last association got.
    lent: Range<u64>,
    /// Numbers that came back unused.
    spare: Option<Range<u64>>,
}

impl Keys {
    /// Reads the keys and takes hold of their states.
    pub(super) fn open(sas: &StaticSas) -> Result<Self, String> {
        let say = |error: &dyn std::fmt::Display| error.to_string();
        let out = KeyFile::read(&sas.out.key_file).map_err(|error| say(&error))?;
        let inbound = KeyFile::read(&sas.inbound.key_file).map_err(|error| say(&error))?;
        if out.suite() != inbound.suite() {
            return Err(format!(
                "sa.out is {}, sa.in is {}: both need the same suite",
                out.suite(),
                inbound.suite()
            ));
        }
        let most = if sas.out.esn {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        let states = States {
            outbound: OutboundState::open(&sas.out.key_file, &out, most)
                .map_err(|error| say(&error))?,
            inbound: InboundState::open(&sas.inbound.key_file, &inbound)
                .map_err(|error| say(&error))?,
            lent: 0..0,
            spare: None,
        };
        Ok(Self {
            suite: out.suite(),
            edge: Arc::new(AtomicU64::new(states.inbound.edge())),
            outbound: Arc::new(out),
            inbound: Arc::new(inbound),
            states: Arc::new(Mutex::new(states)),
        })
    }

    /// What both associations seal with.
    pub(super) fn suite(&self) -> Suite {
        self.suite
    }

    /// Whether any key of one is also a key of the other, or both keys of one are the same: its counter would start twice.
    pub(super) fn share_a_key(&self, other: Option<&Self>) -> bool {
        match other {
            None => self.outbound.is_same_key(&self.inbound),
            Some(other) => [&self.outbound, &self.inbound]
                .into_iter()
                .any(|ours| ours.is_same_key(&other.outbound) || ours.is_same_key(&other.inbound)),
        }
    }

    /// The associations as a worker takes them over, with sequence numbers that were never used.
    pub(super) fn associate(
        &self,
        config: &TunnelConfig,
        sas: &StaticSas,
        ports: Option<Ports>,
        mode: Mode,
    ) -> Result<(Ipsec, Box<NewPair>), String> {
        let numbers = self.lend().map_err(|error| error.to_string())?;
        let spi =
            |value| Spi::new(value).ok_or_else(|| format!("sa: SPI {value} below minimum 256"));
        let aead =
            |key: &KeyFile| Aead::new(key.suite(), key.keymat()).map_err(|error| error.to_string());
        let now = Instant::now();
        let lifetime = |soft, hard| Lifetime::new(limits(soft), limits(hard), now);
        let outbound = OutboundSa::new(
            spi(sas.out.spi)?,
            aead(&self.outbound)?,
            sas.out.esn,
            numbers.start..=numbers.end - 1,
            lifetime(sas.out.soft, sas.out.hard),
        );
        let window = Window::new(sas.inbound.replay_window, self.edge.load(Ordering::Relaxed));
        let inbound = InboundSa::new(
            spi(sas.inbound.spi)?,
            aead(&self.inbound)?,
            sas.inbound.esn,
            window,
            lifetime(config::Limits::default(), sas.inbound.hard),
        );
        let pair = NewPair {
            answers_probes: false,
            outbound,
            inbound,
            selectors: selectors(config),
            mode,
            udp: ports,
            gre_ends: None,
            follows_peer: config.udp.is_some_and(|udp| udp.nat.is_peer()),
            has_nat: config.udp.is_some_and(|udp| udp.nat != config::Nat::None),
            nat_keepalive: config
                .udp
                .filter(|udp| udp.nat.is_local())
                .map(|udp| udp.nat_keepalive),
            remote: None,
            replaces: None,
            sends_now: true,
        };
        Ok((ipsec(config, Some(self.edge.clone())), Box::new(pair)))
    }

    /// The numbers for a new association: those that came back, or the next block.
    fn lend(&self) -> Result<Range<u64>, StateError> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = match states.spare.take() {
            Some(numbers) => numbers,
            None => states.outbound.reserve()?,
        };
        states.lent = numbers.clone();
        Ok(numbers)
    }

    /// Takes the numbers of the last association back, of which it used none.
    pub(super) fn take_back(&self) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = std::mem::take(&mut states.lent);
        states.spare = (!lent.is_empty()).then_some(lent);
    }

    /// Reserves the next block of sequence numbers. Waits for the disk.
    fn reserve(&self) -> Result<Range<u64>, StateError> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.outbound.reserve()
    }

    /// Saves the edge if it has moved. Waits for the disk.
    pub(super) fn save(&self) -> Result<(), String> {
        let edge = self.edge.load(Ordering::Relaxed);
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.inbound.save(edge).map_err(|error| error.to_string())
    }
}

/// What a tunnel with ESP does with what its associations open; IKE makes them where there is no edge to keep.
pub(super) fn ipsec(config: &TunnelConfig, edge: Option<Arc<AtomicU64>>) -> Ipsec {
    let keepalive = config.keepalive.as_ref();
    Ipsec {
        has_ike: edge.is_none(),
        edge,
        accepts_clear: keepalive.is_some_and(|keepalive| keepalive.accept_clear),
        addresses: config
            .addresses
            .iter()
            .map(|prefix| prefix.address)
            .collect(),
    }
}

fn limits(config: config::Limits) -> Limits {
    Limits {
        packets: config.packets,
        octets: config.octets,
        time: config.time,
    }
}

/// What the configuration has the associations carry.
pub(super) fn selectors(config: &TunnelConfig) -> Selectors {
    Selectors::new(prefixes(&config.local_ts), prefixes(&config.remote_ts))
}

fn prefixes(networks: &[address::Prefix]) -> Vec<Prefix> {
    let network = |prefix: &address::Prefix| -> Prefix {
        let address: IpAddr = prefix.address;
        Prefix::new(address, prefix.length)
    };
    networks.iter().map(network).collect()
}

/// Keeps the process' memory out of core files and of other processes of the same user.
///
/// # Errors
/// What the system says when it refuses.
pub(super) fn forbid_dumps() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

impl Daemon {
    /// Gives a tunnel's worker more sequence numbers, reserved on a thread that may wait for the disk.
    pub(super) fn extend_sequence(&self, id: TunnelId) {
        let Some(keys) = self.tunnels.get(&id).and_then(|tunnel| tunnel.keys.clone()) else {
            return;
        };
        let (plane, messages) = (self.plane.clone(), self.messages.clone());
        tokio::task::spawn_blocking(move || match keys.reserve() {
            Ok(numbers) => plane.extend_sequence(id, numbers.end - 1),
            Err(error) => {
                // The loop is gone when the daemon stops.
                let _ = messages.blocking_send(Message::Unreserved(id, error));
            }
        });
    }

    /// Saves the edges of all tunnels from time to time.
    pub(super) fn save_edges(&self) {
        let keys: Vec<_> = self
            .tunnels
            .iter()
            .filter_map(|(&id, tunnel)| Some((id, tunnel.keys.clone()?)))
            .collect();
        if keys.is_empty() {
            return;
        }
        let messages = self.messages.clone();
        let saved = tokio::task::spawn_blocking(move || {
            for (id, keys) in keys {
                if let Err(why) = keys.save() {
                    // The loop is gone when the daemon stops.
                    let _ = messages.blocking_send(Message::KeyState(id, why));
                }
            }
        });
        let messages = self.messages.clone();
        tokio::spawn(async move {
            // It fails only with the runtime that it runs on.
            let _ = saved.await;
            tokio::time::sleep(SAVE_EVERY).await;
            let _ = messages.send(Message::SaveEdges).await;
        });
    }

    /// Refuses keys that stand twice: under one key no counter may start twice.
    pub(super) fn check_keys(&self) -> Result<(), (String, String)> {
        let keyed: Vec<_> = self
            .tunnels
            .values()
            .filter_map(|tunnel| Some((&tunnel.config.name, tunnel.keys.as_ref()?)))
            .collect();
        for (index, (name, keys)) in keyed.iter().enumerate() {
            if keys.share_a_key(None) {
                let why = "the key files of sa.out and sa.in hold the same key: each direction needs its own";
                return Err(((*name).clone(), why.to_owned()));
            }
            for (other, theirs) in keyed.iter().skip(index + 1) {
                if keys.share_a_key(Some(theirs)) {
                    let why = format!(
                        "a key file of sa.out or sa.in holds a key of tunnel {other:?} too: each needs its own"
                    );
                    return Err(((*name).clone(), why));
                }
            }
        }
        Ok(())
    }
}
