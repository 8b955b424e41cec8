//! What IKE agreed upon, as the worker takes it over: two associations with their keys, selectors and encapsulation.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use adit_crypto::{Aead, Suite};
use adit_proto::esp::replay::Window;
use adit_proto::esp::{InboundSa, Lifetime, Limits, OutboundSa, Selectors};
use adit_proto::ike::selector::for_esp;
use adit_proto::ike::{ChildMode, ChildSa, Outbound};
use adit_proto::tunnel::{self, Ports};
use adit_proto::wire::ike::TrafficSelector;

use crate::config::Mode;
use crate::dataplane::NewPair;

/// A soft limit below the 2³² − 1 packets that there are without extended sequence numbers (RFC 4303 section 3.3.3): a rekey in time.
const PACKETS_WITHOUT_ESN: u64 = 3 << 30;

/// A soft limit far below the 2³² blocks of 64 bits, of which two are alike and give data away (RFC 8221 section 5).
const OCTETS_OF_SMALL_BLOCKS: u64 = 4 << 30;

/// IP's number of GRE.
const GRE: u8 = 47;

/// What a tunnel's child SAs are besides what IKE agreed upon.
#[derive(Clone, Copy, Debug)]
pub struct ChildPolicy {
    /// The encapsulation.
    pub mode: Mode,
    /// Packets of the replay window.
    pub replay_window: u32,
    /// How long nothing may leave before a NAT keepalive does, where we are behind a NAT.
    pub nat_keepalive: Duration,
    /// After so many packets or octets a new pair is made.
    pub soft: Limits,
    /// Up to so many hundredths of that are subtracted, at random.
    pub jitter_percent: u8,
}

impl ChildPolicy {
    /// The soft limits of a pair that is to be replaced after so many octets, with a random octet for the jitter.
    fn soft(&self, esn: bool, octets: Option<u64>, random: u8) -> Limits {
        let octets = self.soft.octets.into_iter().chain(octets).min();
        let packets = match (self.soft.packets, esn) {
            (limit, true) => limit,
            (None, false) => Some(PACKETS_WITHOUT_ESN),
            (Some(limit), false) => Some(limit.min(PACKETS_WITHOUT_ESN)),
        };
        let hundredths = u64::from(self.jitter_percent) * u64::from(random) / u64::from(u8::MAX);
        let earlier = |limit: u64| (limit - limit / 100 * hundredths.min(100)).max(1);
        Limits {
            packets: packets.map(earlier),
            octets: octets.map(earlier),
            time: None,
        }
    }
}

/// After how many octets a pair is replaced whatever is configured: before those that it may carry at most, and before its cipher is
/// worn out.
fn in_time(suite: Suite, octets_max: Option<u64>) -> Option<u64> {
    let small = (suite.align_octets() == 8).then_some(OCTETS_OF_SMALL_BLOCKS);
    let agreed = octets_max.map(|most| most / 10 * 9);
    small.into_iter().chain(agreed).min()
}

/// What the peer's NAT detection said of the way (RFC 7296 section 2.23).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nat {
    pub(super) local: bool,
    pub(super) peer: bool,
}

/// What is known of the peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) nat: Nat,
    /// It answers when it is asked over IKE.
    pub(super) answers_probes: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            nat: Nat::default(),
            answers_probes: true,
        }
    }
}

/// The pair as the worker takes it over, or in words why there is none.
pub(super) fn build(
    child: &ChildSa,
    policy: &ChildPolicy,
    peer: Peer,
    random: u8,
    now: Instant,
) -> Result<NewPair, String> {
    let nat = peer.nat;
    let aead = |keys: &adit_crypto::SecretBytes| {
        Aead::new(child.suite, keys.expose()).map_err(|error| error.to_string())
    };
    let lifetime = || {
        Lifetime::new(
            policy.soft(child.esn, in_time(child.suite, child.octets_max), random),
            Limits::default(),
            now,
        )
    };
    let last = if child.esn {
        u64::MAX
    } else {
        u64::from(u32::MAX)
    };
    let window = Window::new(policy.replay_window, 0);
    Ok(NewPair {
        inbound: InboundSa::new(
            child.spi_in,
            aead(&child.keys_in)?,
            child.esn,
            window,
            lifetime(),
        ),
        outbound: OutboundSa::new(
            child.spi_out,
            aead(&child.keys_out)?,
            child.esn,
            1..=last,
            lifetime(),
        ),
        selectors: selectors(policy.mode, child)?,
        mode: mode(policy.mode, child.mode, child.suite)?,
        udp: child.udp.map(|path| Ports {
            local: path.local.port(),
            remote: path.remote.port(),
        }),
        gre_ends: gre_ends(policy.mode, child),
        nat_keepalive: nat.local.then_some(policy.nat_keepalive),
        follows_peer: nat.peer && child.udp.is_some(),
        has_nat: nat.peer || nat.local,
        remote: Some(child.udp.unwrap_or(child.path).remote.ip()),
        replaces: child.replaces,
        answers_probes: peer.answers_probes,
        sends_now: child.outbound == Outbound::Now,
    })
}

/// What the pair carries: with GRE its selectors are of the outer packet, and all that is inside passes.
fn selectors(mode: Mode, child: &ChildSa) -> Result<Selectors, String> {
    let protocol = match mode {
        Mode::GreEsp => GRE,
        Mode::Esp | Mode::Gre => 0,
    };
    let agreed = for_esp(&child.local_ts, &child.remote_ts, protocol);
    let agreed = agreed.map_err(|error| error.to_string())?;
    Ok(match mode {
        Mode::GreEsp => Selectors::any(),
        Mode::Esp | Mode::Gre => agreed,
    })
}

/// The addresses of the IP header around GRE in tunnel mode: what the selectors say where they are of single hosts, else those of IKE.
fn gre_ends(mode: Mode, child: &ChildSa) -> Option<(IpAddr, IpAddr)> {
    let host = |selectors: &[TrafficSelector], otherwise: IpAddr| match selectors {
        [only] if only.start == only.end => only.start,
        _ => otherwise,
    };
    let is_inside = mode == Mode::GreEsp && child.mode == ChildMode::Tunnel;
    is_inside.then(|| {
        (
            host(&child.local_ts, child.path.local.ip()),
            host(&child.remote_ts, child.path.remote.ip()),
        )
    })
}

fn mode(configured: Mode, agreed: ChildMode, suite: Suite) -> Result<tunnel::Mode, String> {
    match (configured, agreed) {
        (Mode::Esp, ChildMode::Tunnel) => Ok(tunnel::Mode::Esp(suite)),
        (Mode::GreEsp, ChildMode::Transport | ChildMode::Tunnel) => Ok(tunnel::Mode::GreEsp(suite)),
        (mode @ (Mode::Gre | Mode::Esp), agreed) => Err(format!(
            "child SA: mode {mode} does not go with {agreed:?} mode"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(packets: Option<u64>, jitter_percent: u8) -> ChildPolicy {
        ChildPolicy {
            mode: Mode::Esp,
            replay_window: 64,
            nat_keepalive: Duration::from_secs(20),
            soft: Limits {
                packets,
                octets: Some(1000),
                time: None,
            },
            jitter_percent,
        }
    }

    #[test]
    fn jitter_takes_at_most_its_hundredths_from_a_soft_limit() {
        let soft = |random| policy(Some(1000), 10).soft(true, None, random);
        assert_eq!(soft(0).packets, Some(1000));
        assert_eq!(soft(255).packets, Some(900));
        assert_eq!(soft(255).octets, Some(900));
    }

    #[test]
    fn a_pair_is_replaced_before_it_carried_what_the_peer_lets_it_carry() {
        let soft = |most| {
            let octets = in_time(Suite::Aes128Gcm16, Some(most));
            policy(None, 0).soft(false, octets, 0).octets
        };
        assert_eq!(soft(100), Some(90));
        assert_eq!(soft(1_000_000), Some(1000));
    }

    #[test]
    fn a_cipher_of_small_blocks_is_given_new_keys_after_four_gibibytes() {
        let most = |suite| in_time(suite, None);
        assert_eq!(most(Suite::TripleDesCbcHmacSha1), Some(4 << 30));
        assert_eq!(most(Suite::TripleDesCbcHmacMd5), Some(4 << 30));
        for suite in Suite::ALL {
            assert_eq!(most(*suite), None, "{suite:?}");
        }
    }

    #[test]
    fn without_extended_sequence_numbers_a_pair_is_replaced_before_they_run_out() {
        assert_eq!(
            policy(None, 0).soft(false, None, 0).packets,
            Some(PACKETS_WITHOUT_ESN)
        );
        assert_eq!(policy(Some(7), 0).soft(false, None, 0).packets, Some(7));
        assert_eq!(policy(None, 0).soft(true, None, 0).packets, None);
    }

    #[test]
    fn a_mode_that_was_not_agreed_upon_makes_no_pair() {
        let suite = Suite::Aes128Gcm16;
        assert_eq!(
            mode(Mode::Esp, ChildMode::Tunnel, suite),
            Ok(tunnel::Mode::Esp(suite))
        );
        assert!(mode(Mode::Esp, ChildMode::Transport, suite).is_err());
    }
}
