//! The network of both versions with endpoints of this one.

use std::time::Instant;

use super::super::*;
pub(super) use crate::ike::tests::both::*;
use crate::ike::{
    ChildMode, Command, CommandError, EndpointConfig, Event, IkeStatus, Path, Transmit,
};
use crate::wire::isakmp::{ExchangeType, Header};

pub(super) type Net = crate::ike::tests::both::Net<Endpoint>;

pub(super) fn ike(words: &str) -> IkeProposal {
    words.parse().unwrap()
}

pub(super) fn esp(words: &str) -> EspProposal {
    words.parse().unwrap()
}

/// What side `A` or `B` is configured with.
pub(super) fn connection(side: usize) -> Connection {
    Connection {
        remotes: Some(vec![address(1 - side, 0).ip()]),
        local_id: identity(side),
        remote_id: Some(identity(1 - side)),
        psk: psk(),
        ike: vec![ike("aes256-sha256-x25519")],
        esp: vec![esp("aes256-sha256-ecp256"), esp("aes128-sha256")],
        mode: ChildMode::Tunnel,
        local_ts: lan(side),
        remote_ts: lan(1 - side),
        ike_lifetime: times(14_400),
        child_lifetime: times(3_600),
        retransmit: RETRANSMIT,
        child_kilobytes: None,
        nat_traversal: true,
        force_udp: false,
        easy_vpn: None,
    }
}

/// The same in transport mode, for packets of GRE from and to anywhere.
pub(super) fn transport(side: usize) -> Connection {
    Connection {
        mode: ChildMode::Transport,
        local_ts: gre(),
        remote_ts: gre(),
        ..connection(side)
    }
}

impl Net {
    /// Messages of that exchange that `side` sent.
    pub(super) fn messages(&mut self, side: usize, exchange: ExchangeType) -> usize {
        let is_meant = |header: &&Header| header.exchange == exchange;
        self.headers(side).iter().filter(is_meant).count()
    }
}

impl Speaker for Endpoint {
    type Connection = Connection;
    type Header = Header;

    fn with_tunnel(now: Instant, random: Seeded, connection: Connection) -> Self {
        let mut endpoint = Self::new(EndpointConfig::default(), Box::new(random));
        endpoint.add(now, TUNNEL, connection).unwrap();
        endpoint
    }

    fn connection(side: usize) -> Connection {
        connection(side)
    }

    fn header(octets: &[u8]) -> Header {
        Header::parse(octets).unwrap()
    }

    fn datagram(&mut self, now: Instant, path: Path, octets: &[u8]) {
        self.handle_datagram(now, path, octets);
    }

    fn timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        self.handle_command(now, command)
    }

    fn event(&mut self) -> Option<Event> {
        self.poll_event()
    }

    fn transmit(&mut self) -> Option<Transmit> {
        self.poll_transmit()
    }

    fn deadline(&self) -> Option<Instant> {
        self.poll_timeout().map(|(at, _)| at)
    }

    fn status(&self, now: Instant) -> Option<IkeStatus> {
        self.status(TUNNEL, now)
    }
}
