//! IKEv2 handshakes a responder completes for one second of its CPU time: `adit run` and, where it is installed, strongSwan's charon. Before that the memory of an idle pair
//! of associations.
//!
//! `cargo bench --bench handshakes -- [SECONDS]`, as root: two namespaces and a wire between them; one initiator makes an IKE SA and a child SA (pre-shared key,
//! AES-128-GCM, x25519) with each of many identities, deletes them, and begins again. Both responders take their turns three times.

#![expect(clippy::print_stdout, reason = "its figures are what it is run for")]

use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use adit::io::netns::{self, Netns};
use adit_crypto::{Aead, SecretBytes, Suite};
use adit_proto::esp::replay::Window;
use adit_proto::esp::{InboundSa, Lifetime, Limits, OutboundSa};
use adit_proto::ike::{
    ChildMode, Command, Connection, ConnectionId, Endpoint, EndpointConfig, Event, LocalAuth, Path,
    Random, RekeyTimes, RemoteAuth, Retransmit,
};
use adit_proto::wire::esp::Spi;
use adit_proto::wire::ike::TrafficSelector;

const SECRET: &str = "a secret for a bench that everybody may know";
const CONNECTIONS: u32 = 200;
/// Handshakes under way at once.
const WINDOW: usize = 16;
const ROUNDS: usize = 3;
const INITIATOR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const RESPONDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Ticks of /proc/PID/stat in a second.
const TICKS: f64 = 100.0;
const PAGE_OCTETS: u64 = 4096;
const PAIRS: usize = 10_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(5));
    println!(
        "an idle pair of associations takes {} octets",
        pair_octets()?
    );
    let sites = Sites::new()?;
    let mut subjects = vec![("adit", start_adit as fn(&Sites) -> Outcome<Responder>)];
    if FilePath::new("/usr/sbin/charon-systemd").exists() {
        subjects.push(("charon", start_charon));
    }
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); subjects.len()];
    for round in 1..=ROUNDS {
        for ((name, start), rates) in subjects.iter().zip(&mut rates) {
            let responder = start(&sites)?;
            let before = responder.cpu_seconds()?;
            let done = handshakes(&sites, time)?;
            let cpu = responder.cpu_seconds()? - before;
            let rate = f64::from(done) / cpu;
            println!(
                "round {round}: {name:<7} {done} handshakes in {} s, {cpu:.2} s of CPU: {rate:.0} a second and core",
                time.as_secs()
            );
            rates.push(rate);
        }
    }
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    for ((name, _), median) in subjects.iter().zip(&medians) {
        println!("{name:<7} {median:.0} handshakes a second and core, median of {ROUNDS}");
    }
    if let [adit, charon] = medians[..] {
        println!("adit is {:.1} × charon", adit / charon);
    }
    Ok(())
}

/// Octets of memory that an idle pair of associations takes.
fn pair_octets() -> Outcome<u64> {
    let (suite, now) = (Suite::Aes128Gcm16, Instant::now());
    let before = resident_octets()?;
    let mut pairs = Vec::with_capacity(PAIRS);
    for number in 0..PAIRS {
        let spi = Spi::new(0x1000 + u32::try_from(number)?).ok_or("no such SPI")?;
        let aead = || Aead::new(suite, &[7; 20]);
        let lifetime = || Lifetime::new(Limits::default(), Limits::default(), now);
        let window = Window::new(4096, 0);
        pairs.push((
            InboundSa::new(spi, aead()?, true, window, lifetime()),
            OutboundSa::new(spi, aead()?, true, 1..=u64::MAX, lifetime()),
        ));
    }
    Ok((resident_octets()? - before) / pairs.len() as u64)
}

fn resident_octets() -> Outcome<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * PAGE_OCTETS)
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}

struct Sites {
    folder: tempfile::TempDir,
    names: [String; 2],
}

impl Sites {
    fn new() -> Outcome<Self> {
        let id = std::process::id();
        let sites = Self {
            folder: tempfile::tempdir()?,
            names: [format!("hs{id}a"), format!("hs{id}b")],
        };
        let [a, b] = &sites.names;
        for name in &sites.names {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        ip(&[
            "link", "add", "wire", "netns", a, "type", "veth", "peer", "name", "wire", "netns", b,
        ])?;
        // charon makes no route without an address of its own network.
        ip(&["-n", b, "address", "add", "10.2.0.1/16", "dev", "lo"])?;
        for (name, address) in [(a, INITIATOR), (b, RESPONDER)] {
            ip(&[
                "-n",
                name,
                "address",
                "add",
                &format!("{address}/24"),
                "dev",
                "wire",
            ])?;
            ip(&["-n", name, "link", "set", "wire", "up"])?;
        }
        Ok(sites)
    }

    fn write(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// A program at the responder's site.
    fn program(&self, name: &str) -> Program {
        let mut program = Program::new("ip");
        program.args(["netns", "exec", &self.names[1], name]);
        program
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        program
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        for name in &self.names {
            // One that was never made cannot be deleted.
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Outcome<()> {
    let output = Program::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    )
    .into())
}

struct Responder(Child);

impl Responder {
    fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: f64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        Ok(ticks / TICKS)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // It is gone when it cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_adit(sites: &Sites) -> Outcome<Responder> {
    let secret = sites.write("adit.psk", SECRET)?;
    let mut text = String::from("ike = { half-open-per-source = 1000, cookie-threshold = 1000 }\n");
    for number in 0..CONNECTIONS {
        let inner = inner(number);
        text += &format!(
            "[tunnel.t{number}]\nmode = \"esp\"\nremote = \"{INITIATOR}\"\nstart = \"passive\"\nlocal-ts = [\"10.2.0.0/16\"]\nremote-ts = [\"{inner}/32\"]\n\
             routes = [\"{inner}/32\"]\ndpd = false\n\
             ike = {{ version = 2, psk-file = \"{}\", local-id = \"responder.example\", remote-id = \"i{number}.example\", \
             proposals = [\"aes128gcm16-prfsha256-x25519\"], esp-proposals = [\"aes128gcm16\"] }}\n",
            secret.display()
        );
    }
    let config = sites.write("adit.toml", &text)?;
    let socket = sites.folder.path().join("adit.sock");
    let mut program = sites.program(env!("CARGO_BIN_EXE_adit"));
    program
        .arg("run")
        .arg("-c")
        .arg(config)
        .arg("--socket")
        .arg(&socket);
    let responder = Responder(program.spawn()?);
    wait_until(|| {
        let status = sites
            .program(env!("CARGO_BIN_EXE_adit"))
            .arg("status")
            .arg("--socket")
            .arg(&socket)
            .status();
        status.is_ok_and(|status| status.success())
    })?;
    Ok(responder)
}

fn start_charon(sites: &Sites) -> Outcome<Responder> {
    let vici = format!("unix://{}/vici", sites.folder.path().display());
    let conf = format!(
        "charon-systemd {{\n load = random nonce openssl gcm hmac kdf drbg curve25519 kernel-libipsec kernel-netlink socket-default vici\n\
         cookie_threshold = 0\n cookie_threshold_ip = 0\n block_threshold = 0\n syslog {{\n daemon {{\n default = -1\n }}\n auth {{\n default = -1\n }}\n }}\n\
         plugins {{\n vici {{\n socket = {vici}\n }}\n kernel-libipsec {{\n load = yes\n }}\n }}\n}}\n"
    );
    let conf = sites.write("strongswan.conf", &conf)?;
    sites.write(
        "swanctl/swanctl.conf",
        &format!(
            "connections {{\n c {{\n version = 2\n local_addrs = {RESPONDER}\n remote_addrs = {INITIATOR}\n proposals = aes128gcm16-prfsha256-x25519\n mobike = no\n\
             unique = never\n local {{\n auth = psk\n id = responder.example\n }}\n remote {{\n auth = psk\n id = %any\n }}\n\
             children {{\n net {{\n local_ts = 10.2.0.0/16\n remote_ts = 10.1.0.0/16\n esp_proposals = aes128gcm16\n }}\n }}\n }}\n}}\n\
             secrets {{\n ike-1 {{\n secret = \"{SECRET}\"\n }}\n}}\n"
        ),
    )?;
    let socket = sites.folder.path().join("vici");
    // The one before has left it.
    let _ = fs::remove_file(&socket);
    let mut program = sites.program("/usr/sbin/charon-systemd");
    let responder = Responder(program.env("STRONGSWAN_CONF", &conf).spawn()?);
    let mut load = sites.program("swanctl");
    load.env("STRONGSWAN_CONF", &conf)
        .env("SWANCTL_DIR", sites.folder.path().join("swanctl"));
    load.args(["--load-all", "--uri", &vici]);
    wait_until(|| load.status().is_ok_and(|status| status.success()))?;
    Ok(responder)
}

fn wait_until(mut done: impl FnMut() -> bool) -> Outcome<()> {
    let until = Instant::now() + Duration::from_secs(30);
    while !done() {
        if Instant::now() > until {
            return Err("a responder does not get ready".into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn inner(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 1, 0, 1).to_bits() + number)
}

struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, out: &mut [u8]) {
        if adit_crypto::random(out).is_err() {
            std::process::abort();
        }
    }
}

/// Handshakes that were completed in `time`.
fn handshakes(sites: &Sites, time: Duration) -> Outcome<u32> {
    let namespace = Netns::Named(sites.names[0].clone()).open()?;
    let open = |port| {
        netns::within(Some(namespace.as_fd()), || {
            UdpSocket::bind((INITIATOR, port))
        })
    };
    let sockets = [open(500)??, open(4500)??];
    for socket in &sockets {
        socket.set_nonblocking(true)?;
    }
    let mut initiator = Initiator::new(sockets)?;
    let until = Instant::now() + time;
    while Instant::now() < until {
        initiator.turn()?;
    }
    Ok(initiator.done)
}

struct Initiator {
    endpoint: Endpoint,
    sockets: [UdpSocket; 2],
    idle: VecDeque<ConnectionId>,
    done: u32,
}

impl Initiator {
    fn new(sockets: [UdpSocket; 2]) -> Outcome<Self> {
        let config = EndpointConfig {
            half_open_max: 1000,
            half_open_per_source: 1000,
            cookie_threshold: 1000,
            ..EndpointConfig::default()
        };
        let mut endpoint = Endpoint::new(config, Box::new(SystemRandom));
        let secret = Arc::new(SecretBytes::new(SECRET.as_bytes().to_vec()));
        let hour = RekeyTimes {
            rekey: Duration::from_secs(3600),
            jitter: Duration::ZERO,
            hard: Duration::from_secs(4000),
        };
        let everything = |address: Ipv4Addr, last: Ipv4Addr| TrafficSelector {
            protocol: 0,
            start_port: 0,
            end_port: u16::MAX,
            start: IpAddr::V4(address),
            end: IpAddr::V4(last),
        };
        for number in 0..CONNECTIONS {
            let inner = inner(number);
            let connection = Connection {
                remotes: Some(vec![RESPONDER.into()]),
                local_id: format!("i{number}.example").parse()?,
                remote_id: Some("responder.example".parse()?),
                local_auth: LocalAuth::Psk(secret.clone()),
                remote_auth: RemoteAuth::Psk(secret.clone()),
                ike: vec!["aes128gcm16-prfsha256-x25519".parse()?],
                esp: vec!["aes128gcm16".parse()?],
                mode: ChildMode::Tunnel,
                local_ts: vec![everything(inner, inner)],
                remote_ts: vec![everything(
                    Ipv4Addr::new(10, 2, 0, 0),
                    Ipv4Addr::new(10, 2, 255, 255),
                )],
                ike_lifetime: hour,
                child_lifetime: hour,
                retransmit: Retransmit {
                    first: Duration::from_millis(500),
                    base_per_mille: 1800,
                    tries: 5,
                    most: Duration::from_secs(10),
                },
                fragment_octets: 1280,
                force_udp: false,
            };
            endpoint.handle_command(
                Instant::now(),
                Command::Add(ConnectionId(number), Box::new(connection)),
            )?;
        }
        Ok(Self {
            endpoint,
            sockets,
            idle: (0..CONNECTIONS).map(ConnectionId).collect(),
            done: 0,
        })
    }

    fn turn(&mut self) -> Outcome<()> {
        let now = Instant::now();
        let path = Path {
            local: SocketAddr::new(INITIATOR.into(), 500),
            remote: SocketAddr::new(RESPONDER.into(), 500),
        };
        while self.idle.len() > CONNECTIONS as usize - WINDOW
            && let Some(id) = self.idle.pop_front()
        {
            self.endpoint
                .handle_command(now, Command::Initiate(id, path))?;
        }
        let mut octets = [0; 4096];
        let mut heard = false;
        for (index, socket) in self.sockets.iter().enumerate() {
            while let Ok((length, remote)) = socket.recv_from(&mut octets) {
                heard = true;
                let marker = 4 * index;
                let local = socket.local_addr()?;
                let message = octets.get(marker..length).unwrap_or_default();
                self.endpoint
                    .handle_datagram(now, Path { local, remote }, message);
            }
        }
        self.endpoint.handle_timeout(now);
        self.take_events(now)?;
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let [plain, marked] = &self.sockets;
            if transmit.path.local.port() == 500 {
                plain.send_to(&transmit.octets, transmit.path.remote)?;
            } else {
                let message = [&[0; 4], &*transmit.octets].concat();
                marked.send_to(&message, transmit.path.remote)?;
            }
        }
        if !heard {
            thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }

    fn take_events(&mut self, now: Instant) -> Outcome<()> {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::ChildInstalled(id, _) => {
                    self.done += 1;
                    self.endpoint.handle_command(now, Command::Clear(id))?;
                }
                Event::Down(id, _) => self.idle.push_back(id),
                Event::Failed(_, failure) | Event::Refused(_, failure) => {
                    return Err(failure.to_string().into());
                }
                Event::Established(..)
                | Event::SwitchOutbound(..)
                | Event::ChildRetired(..)
                | Event::Alive(_)
                | Event::PeerMoved(..)
                | Event::Configured(..)
                | Event::Trace(..) => {}
            }
        }
        Ok(())
    }
}
