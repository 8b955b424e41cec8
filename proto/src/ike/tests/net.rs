//! The network of both versions with endpoints of this one.

use std::net::IpAddr;
use std::time::Instant;

use super::super::*;
pub(super) use super::both::*;
use crate::wire::ike::{ExchangeType, Flags, Header, Writer, write_message};

pub(super) type Net = super::both::Net<Endpoint>;
pub(super) type Side = super::both::Side<Endpoint>;

/// What side `A` or `B` is configured with.
pub(super) fn connection(side: usize) -> Connection {
    Connection {
        remotes: Some(vec![address(1 - side, 0).ip()]),
        local_id: identity(side),
        remote_id: Some(identity(1 - side)),
        local_auth: LocalAuth::Psk(psk()),
        remote_auth: RemoteAuth::Psk(psk()),
        ike: IkeOffer::defaults(),
        esp: EspOffer::defaults(),
        mode: ChildMode::Tunnel,
        local_ts: vec![lan(side)],
        remote_ts: vec![lan(1 - side)],
        ike_lifetime: times(14_400),
        child_lifetime: times(3_600),
        retransmit: RETRANSMIT,
        fragment_octets: 1280,
        force_udp: false,
    }
}

/// The same in transport mode, for packets of GRE from and to anywhere.
pub(super) fn transport(side: usize) -> Connection {
    Connection {
        mode: ChildMode::Transport,
        local_ts: vec![gre()],
        remote_ts: vec![gre()],
        ..connection(side)
    }
}

/// Where a datagram of nobody comes from.
pub(super) fn stranger(last: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, last])
}

impl Net {
    /// One notification in the clear for the IKE_SA_INIT of `A`, as whoever saw it can send one.
    pub(super) fn forge(&mut self, kind: u16, data: &[u8]) {
        self.forge_payloads(Writer::new().notify(0, &[], kind, data), 0);
    }

    /// Those payloads for the IKE_SA_INIT of `A`, in the name of a responder with that SPI.
    pub(super) fn forge_payloads(&mut self, writer: &mut Writer, spi_r: u64) {
        let status = self.sides[A].endpoint.status(TUNNEL, self.now).unwrap();
        let flags = Flags {
            response: true,
            ..Flags::default()
        };
        let header = Header::new(status.spi_i, spi_r, ExchangeType::IkeSaInit, flags, 0);
        let (first, chain) = writer.finish();
        let forged = flight(self, A, write_message(&header, first, &chain));
        self.deliver(&forged);
    }

    /// Requests of that exchange that `side` sent.
    pub(super) fn requests(&mut self, side: usize, exchange: ExchangeType) -> usize {
        let is_meant = |header: &&Header| header.exchange == exchange && !header.flags.response;
        self.headers(side).iter().filter(is_meant).count()
    }
}

impl Speaker for Endpoint {
    type Connection = Connection;
    type Header = Header;

    fn with_tunnel(now: Instant, random: Seeded, connection: Connection) -> Self {
        let mut endpoint = Self::new(EndpointConfig::default(), Box::new(random));
        let add = Command::Add(TUNNEL, Box::new(connection));
        endpoint.handle_command(now, add).unwrap();
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
