//! What a bench measures: tunnels of adit by mode, commands that bring up other tunnels, the bare wire.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use adit_crypto::{Secret, Suite};
use clap::ValueEnum;

use crate::io::address::Prefix;
use crate::sites::Side;

/// The interface of adit's tunnel, and the name of the tunnel.
pub(super) const INTERFACE: &str = "adit0";
/// The interface that a baseline's command has to bring up.
pub(super) const BASELINE_INTERFACE: &str = "bench0";

const LONGEST_KEYMAT_OCTETS: usize = 36;

/// An encapsulation, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The bare wire.
    None,
    /// GRE.
    Gre,
    /// GRE in UDP.
    GreUdp,
    /// ESP in tunnel mode.
    Esp,
    /// The same in UDP.
    EspUdp,
    /// GRE in ESP in transport mode.
    GreEsp,
    /// The same in UDP.
    GreEspUdp,
}

impl Mode {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gre => "gre",
            Self::GreUdp => "gre-udp",
            Self::Esp => "esp",
            Self::EspUdp => "esp-udp",
            Self::GreEsp => "gre-esp",
            Self::GreEspUdp => "gre-esp-udp",
        }
    }

    const fn is_udp(self) -> bool {
        matches!(self, Self::GreUdp | Self::EspUdp | Self::GreEspUdp)
    }

    const fn is_esp(self) -> bool {
        matches!(
            self,
            Self::Esp | Self::EspUdp | Self::GreEsp | Self::GreEspUdp
        )
    }
}

/// An offload of the TUN interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Offload {
    /// TCP super-packets from the kernel.
    Tso,
    /// UDP super-packets from the kernel.
    Uso,
    /// TCP super-packets to the kernel.
    TcpCoalesce,
    /// UDP super-packets to the kernel.
    UdpCoalesce,
    /// UDP super-packets to the wire.
    UdpSegmentation,
}

/// How adit's endpoints are configured, whatever the mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The cipher of ESP.
    pub suite: Suite,
    /// Offloads that are switched off.
    pub without: Vec<Offload>,
    /// Workers of each endpoint; none leaves it to adit.
    pub workers: Option<u16>,
    /// How long a worker spins before it sleeps; none leaves it to adit.
    pub busy_poll: Option<Duration>,
}

/// The outer address of a side (RFC 5737).
pub(super) const fn outer(side: Side) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, side.number()))
}

/// The address of a side inside the tunnel.
pub(super) const fn inner(side: Side) -> Prefix {
    Prefix {
        address: IpAddr::V4(Ipv4Addr::new(10, 9, 0, side.number())),
        length: 30,
    }
}

/// Writes the configurations of both sides, and the keys that they name, into `folder`.
pub(super) fn write_configurations(
    mode: Mode,
    endpoints: &Endpoints,
    folder: &Path,
) -> io::Result<()> {
    for side in Side::BOTH {
        let file = folder.join(format!("{}.toml", side.name()));
        fs::write(file, configuration(mode, side, endpoints))?;
        if mode.is_esp() {
            let ours = folder.join(key_file(side, "out"));
            let peers = folder.join(key_file(side.other(), "in"));
            write_keys(endpoints.suite, [&ours, &peers])?;
        }
    }
    Ok(())
}

fn configuration(mode: Mode, side: Side, endpoints: &Endpoints) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key} = {value}");
    };
    if let Some(workers) = endpoints.workers {
        line("workers", &workers.to_string());
    }
    if let Some(time) = endpoints.busy_poll {
        line("busy-poll", &format!("\"{}us\"", time.as_micros()));
    }
    let quoted = |text: &dyn std::fmt::Display| format!("\"{text}\"");
    let encapsulation = match mode {
        Mode::None | Mode::Gre | Mode::GreUdp => "gre",
        Mode::Esp | Mode::EspUdp => "esp",
        Mode::GreEsp | Mode::GreEspUdp => "gre-esp",
    };
    let prefix = format!("tunnel.{INTERFACE}.");
    let mut tunnel = |key: &str, value: &str| line(&format!("{prefix}{key}"), value);
    tunnel("mode", &quoted(&encapsulation));
    tunnel("interface", &quoted(&INTERFACE));
    tunnel("local", &quoted(&outer(side)));
    tunnel("remote", &quoted(&outer(side.other())));
    tunnel("addresses", &format!("[{}]", quoted(&inner(side))));
    tunnel("keepalive", "{ period = \"1s\", retries = 3 }");
    if mode.is_udp() {
        tunnel("udp", "true");
    }
    if mode.is_esp() {
        let [out, inbound] = [
            ("out", 0x1000 + u32::from(side.number())),
            ("in", 0x1000 + u32::from(side.other().number())),
        ]
        .map(|(name, spi)| {
            let file = key_file(side, name);
            format!("{name} = {{ spi = {spi:#x}, key-file = \"{file}\" }}")
        });
        tunnel("sa", &format!("{{ {out}, {inbound} }}"));
    }
    for offload in &endpoints.without {
        if let Some(value) = offload.to_possible_value() {
            tunnel(&format!("offload.{}", value.get_name()), offload.off());
        }
    }
    text
}

impl Offload {
    const fn off(self) -> &'static str {
        match self {
            Self::Tso | Self::Uso | Self::TcpCoalesce | Self::UdpCoalesce => "false",
            Self::UdpSegmentation => "\"off\"",
        }
    }
}

fn key_file(side: Side, direction: &str) -> String {
    format!("{}-{direction}.key", side.name())
}

/// Writes the same random key into both files, each as two machines would have it.
fn write_keys(suite: Suite, paths: [&Path; 2]) -> io::Result<()> {
    let keymat = Secret::<LONGEST_KEYMAT_OCTETS>::random().map_err(io::Error::other)?;
    for path in paths {
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(path)?;
        write!(file, "{} 0x", suite.name())?;
        for octet in keymat.expose().iter().take(suite.keymat_octets()) {
            write!(file, "{octet:02x}")?;
        }
        writeln!(file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Endpoints {
        Endpoints {
            suite: Suite::Aes128Gcm16,
            without: Vec::new(),
            workers: None,
            busy_poll: None,
        }
    }

    #[test]
    fn each_mode_has_the_name_that_the_command_line_takes() {
        for mode in Mode::value_variants() {
            assert_eq!(mode.to_possible_value().unwrap().get_name(), mode.name());
        }
    }

    #[test]
    fn a_gre_configuration_says_what_gre_needs_and_no_more() {
        let wanted = "tunnel.adit0.mode = \"gre\"
tunnel.adit0.interface = \"adit0\"
tunnel.adit0.local = \"192.0.2.1\"
tunnel.adit0.remote = \"192.0.2.2\"
tunnel.adit0.addresses = [\"10.9.0.1/30\"]
tunnel.adit0.keepalive = { period = \"1s\", retries = 3 }
";
        assert_eq!(configuration(Mode::Gre, Side::West, &plain()), wanted);
    }

    #[test]
    fn both_sides_share_a_key_for_each_direction_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        write_configurations(Mode::EspUdp, &plain(), folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("west-out.key"), read("east-in.key"));
        assert_eq!(read("east-out.key"), read("west-in.key"));
        assert_ne!(read("west-out.key"), read("east-out.key"));
        let line = read("west-out.key");
        assert!(line.starts_with("aes128gcm16 0x"));
        assert_eq!(line.len(), "aes128gcm16 0x\n".len() + 2 * 20);
        let mode = fs::metadata(folder.path().join("west-out.key"));
        assert_eq!(mode.unwrap().permissions().mode() & 0o777, 0o600);
        let (west, east) = (read("west.toml"), read("east.toml"));
        assert!(west.contains("adit0.udp = true"));
        assert!(west.contains("out = { spi = 0x1001, key-file = \"west-out.key\" }"));
        assert!(east.contains("in = { spi = 0x1001, key-file = \"east-in.key\" }"));
    }

    #[test]
    fn what_is_asked_of_the_endpoints_is_written_down() {
        let endpoints = Endpoints {
            without: vec![Offload::Uso, Offload::UdpSegmentation],
            workers: Some(2),
            busy_poll: Some(Duration::from_micros(50)),
            ..plain()
        };
        let text = configuration(Mode::Gre, Side::East, &endpoints);
        for line in [
            "workers = 2",
            "busy-poll = \"50us\"",
            "tunnel.adit0.offload.uso = false",
            "tunnel.adit0.offload.udp-segmentation = \"off\"",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}
