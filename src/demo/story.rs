//! The story of the demo, step by step.

use std::io;
use std::time::{Duration, Instant};

use super::error::DemoError;
use super::measure::{Kept, KeptSite, Measurements, Outage, Recovery, SLACK, computed_worst_case};
use super::ping::{Pinged, ping};
use super::print::{Teller, throughput};
use super::sites::Sites;
use super::watch::{Seen, Watch, unix_us};
use super::{Options, endpoint};
use crate::cli::units;
use crate::control::{Client, ClientError, Event, Request, Response, TunnelStatus};
use crate::sites::{self, Flow, Side};

/// Until an endpoint listens, until a tunnel is up, until it is up again.
const COMES_WITHIN: Duration = Duration::from_secs(6);
const LOOK_AFTER: Duration = Duration::from_millis(100);
/// Until the end of an endpoint is seen, whose socket is closed before.
const NOTICED_WITHIN: Duration = Duration::from_millis(300);
const ECHOES: u16 = 3;

/// Tells the story and fills in what it finds. Whatever it made is gone when it returns, unless it is to be kept.
pub(super) fn tell(
    options: &Options,
    teller: &mut Teller<'_>,
    found: &mut Measurements,
) -> Result<(), DemoError> {
    found.own_user_namespace = sites::prepare()?;
    teller.picture()?;
    let watch = Watch::start()?;
    let sites = Sites::make(options.keep && !found.own_user_namespace)?;
    watch.monitor(&sites)?;
    let mut story = Story {
        options,
        teller,
        found,
        watch,
        sites,
    };
    story.run().map_err(|error| story.cause(error))
}

struct Story<'a, 'b> {
    options: &'a Options,
    teller: &'a mut Teller<'b>,
    found: &'a mut Measurements,
    watch: Watch,
    sites: Sites,
}

impl Story<'_, '_> {
    fn run(&mut self) -> Result<(), DemoError> {
        self.start()?;
        self.found.pings = self.ping("before the cut")?;
        self.stream()?;
        self.cut()?;
        self.mend()?;
        self.found.pings_after = self.ping("after the recovery")?;
        self.finish()
    }

    /// An endpoint that has ended is the cause of whatever failed next, which may be noticed first.
    fn cause(&mut self, error: DemoError) -> DemoError {
        if error.signal().is_some() {
            return error;
        }
        let noticed = self
            .watch
            .wait(&mut self.sites, NOTICED_WITHIN, |_, _| false);
        match noticed {
            Err(died @ DemoError::Died { .. }) => died,
            _ => error,
        }
    }

    /// Starts both endpoints and waits for both tunnels.
    fn start(&mut self) -> Result<(), DemoError> {
        self.found.cpus = endpoint::two_cpus();
        let begun = unix_us();
        self.sites.start(self.found.cpus, !self.options.keep)?;
        let place = if self.found.own_user_namespace {
            " (in a user namespace, without root)"
        } else {
            ""
        };
        let cpus = self.found.cpus.map_or_else(String::new, |[west, east]| {
            format!(", on CPU {west} and CPU {east}")
        });
        self.teller.say(format!(
            "two network namespaces{place}, one endpoint in each{cpus}"
        ))?;
        for side in Side::BOTH {
            self.listen_to(side)?;
        }
        if !self.watch.wait(&mut self.sites, COMES_WITHIN, is_up)? {
            return Err(self.did_not_come_up());
        }
        for side in Side::BOTH {
            let up = self.watch.seen(side).up.map_or(begun, |up| up.unix_us);
            self.found.up_us.insert(side, up.saturating_sub(begun));
        }
        let [west, east] =
            Side::BOTH.map(|side| units::micros(self.found.up_us.get(&side).copied().unwrap_or(0)));
        let tunnel = self.tunnel(Side::West)?;
        let mtu = tunnel
            .mtu
            .map_or_else(|| "unknown".to_owned(), |mtu| mtu.to_string());
        let (path, overhead) = (tunnel.path_mtu.unwrap_or(0), tunnel.overhead);
        self.teller.say(format!(
            "the tunnel is up: west {west}, east {east} after its start"
        ))?;
        self.teller.detail(format!(
            "MTU {mtu} = {path} - {overhead} (IPv4, GRE with key, checksum and sequence); routes are in the tables"
        ))?;
        Ok(())
    }

    /// Subscribes to the events of an endpoint as soon as it listens; a tunnel that is up by then sends none.
    fn listen_to(&mut self, side: Side) -> Result<(), DemoError> {
        let socket = self.socket(side)?;
        let started = Instant::now();
        loop {
            match self.watch.subscribe(side, &socket) {
                Ok(()) => break,
                Err(DemoError::Client(ClientError::Connect(..)))
                    if started.elapsed() < COMES_WITHIN =>
                {
                    self.watch
                        .wait(&mut self.sites, LOOK_AFTER / 10, |_, _| false)?;
                }
                Err(error) => return Err(error),
            }
        }
        let tunnel = self.tunnel(side)?;
        if tunnel.state == "up" {
            let ago = Duration::from_millis(tunnel.state_ms);
            let at = Instant::now().checked_sub(ago).unwrap_or_else(Instant::now);
            self.watch.note(side, Event::new(&tunnel.name, "up", at));
        }
        Ok(())
    }

    fn did_not_come_up(&self) -> DemoError {
        let waiting = Side::BOTH
            .into_iter()
            .filter(|&side| !is_up(side, &self.watch.seen(side)));
        let states: Vec<String> = waiting
            .map(|side| {
                let state = self.tunnel(side).map_or_else(
                    |error| error.to_string(),
                    |tunnel| {
                        let why = tunnel.reason.or(tunnel.last_error);
                        why.map_or(tunnel.state.clone(), |why| {
                            format!("{}: {why}", tunnel.state)
                        })
                    },
                );
                format!("{} is {state}", side.name())
            })
            .collect();
        DemoError::Late(format!(
            "the tunnel did not come up within {COMES_WITHIN:?}: {}",
            states.join("; ")
        ))
    }

    /// From each site to the other, IPv4 and IPv6.
    fn ping(&mut self, when: &str) -> Result<Vec<Pinged>, DemoError> {
        let mut pings = Vec::new();
        for side in Side::BOTH {
            let pairs = side.hosts().into_iter().zip(side.other().hosts());
            for (source, destination) in pairs {
                let namespace = self.sites.site(side).namespace();
                match ping(namespace, source, destination, ECHOES) {
                    Ok(ping) => {
                        if !ping.complete() {
                            let lost = usize::from(ping.sent).saturating_sub(ping.rtt_us.len());
                            let lost = units::count(lost as u64, "echo request");
                            self.broken(format!(
                                "{lost} from {source} to {destination} lost {when}"
                            ));
                        }
                        pings.push(ping);
                    }
                    Err(error) => {
                        self.broken(format!(
                            "no echo from {source} to {destination} {when}: {error}"
                        ));
                    }
                }
                self.watch
                    .wait(&mut self.sites, Duration::ZERO, |_, _| false)?;
            }
        }
        self.teller
            .say("echo requests through the tunnel, both ways")?;
        self.teller.pings(&pings)?;
        Ok(pings)
    }

    /// One TCP stream from west to east.
    fn stream(&mut self) -> Result<(), DemoError> {
        let [source, _] = Side::West.hosts();
        let [destination, _] = Side::East.hosts();
        let flow = Flow::start(
            (self.sites.site(Side::West).namespace(), source),
            (self.sites.site(Side::East).namespace(), destination),
        )
        .map_err(DemoError::of("a TCP connection through the tunnel"))?;
        let wanted = Duration::from_secs(self.options.seconds);
        let started = Instant::now();
        while started.elapsed() < wanted {
            let left = wanted.saturating_sub(started.elapsed());
            self.watch
                .wait(&mut self.sites, left.min(LOOK_AFTER * 2), |_, _| false)?;
            self.teller.progress(format!(
                "TCP from west to east: {}",
                throughput(&flow.moved())
            ))?;
        }
        let moved = flow.moved();
        flow.finish();
        self.teller
            .say(format!("TCP from west to east: {}", throughput(&moved)))?;
        if cfg!(debug_assertions) {
            self.teller
                .detail("this is a debug build: `cargo run --release -- demo` shows its speed")?;
        }
        if moved.octets == 0 {
            self.broken("TCP moved nothing through the tunnel".to_owned());
        }
        self.found.tcp = Some(moved);
        Ok(())
    }

    /// Makes the wire a black hole and watches what each site does about it.
    fn cut(&mut self) -> Result<(), DemoError> {
        for side in Side::BOTH {
            if self.watch.seen(side).down.is_some() {
                self.broken(format!("{}: declared a living peer dead", side.name()));
            }
        }
        self.watch.forget()?;
        self.teller
            .say("the wire is cut: no packet arrives any more, and no link goes down to say so")?;
        let cut = unix_us();
        self.sites.cut()?;
        let limit = computed_worst_case() + SLACK + Duration::from_secs(1);
        let both = self.wait("waiting for the verdict", limit, is_down)?;
        self.teller.say(if both {
            "both sites know"
        } else {
            "not all of it happened:"
        })?;
        for side in Side::BOTH {
            let mut outage = Outage::of(&self.watch.seen(side), cut);
            outage.refused = self.refused(side);
            self.found.broken.extend(outage.broken(side));
            self.found.outage.insert(side, outage);
        }
        self.teller.outage(&self.found.outage)?;
        Ok(())
    }

    /// What a host gets that sends to the other site; none when a packet of either family is still taken.
    fn refused(&self, side: Side) -> Option<String> {
        let namespace = self.sites.site(side).namespace();
        let mut pairs = side.hosts().into_iter().zip(side.other().hosts());
        let refusal = |(source, destination)| match ping(namespace, source, destination, 1) {
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => {
                Some("no route".to_owned())
            }
            Err(error) => Some(error.to_string()),
            Ok(_) => None,
        };
        let first = pairs.next().and_then(refusal)?;
        pairs.all(|pair| refusal(pair).is_some()).then_some(first)
    }

    /// Mends the wire and watches both tunnels come back.
    fn mend(&mut self) -> Result<(), DemoError> {
        self.watch.forget()?;
        self.teller.say("the wire is mended")?;
        let mended = unix_us();
        self.sites.mend()?;
        let both = self.wait("waiting for the recovery", COMES_WITHIN, is_up)?;
        self.teller.say(if both {
            "both tunnels are back"
        } else {
            "not all of it came back:"
        })?;
        for side in Side::BOTH {
            let recovery = Recovery::of(&self.watch.seen(side), mended);
            self.found.broken.extend(recovery.broken(side));
            self.found.recovery.insert(side, recovery);
        }
        self.teller.recovery(&self.found.recovery)?;
        Ok(())
    }

    /// Shows the counters; then ends the endpoints, or leaves them.
    fn finish(&mut self) -> Result<(), DemoError> {
        for side in Side::BOTH {
            let tunnel = self.tunnel(side)?;
            self.found.tunnels.insert(side, tunnel);
        }
        self.teller.say("what was counted")?;
        self.teller.counters(&self.found.tunnels)?;
        if self.options.keep {
            self.found.kept = Some(self.kept());
            self.sites.keep();
        } else {
            let complaints = self.sites.stop()?;
            if complaints.is_empty() {
                self.teller
                    .say("both endpoints have ended and left nothing behind")?;
            }
            self.found.broken.extend(complaints);
        }
        Ok(())
    }

    fn kept(&self) -> Kept {
        let (mut pids, mut names) = (Vec::new(), Vec::new());
        let mut kept = Kept {
            folder: self.sites.folder().to_owned(),
            ..Kept::default()
        };
        for side in Side::BOTH {
            let site = self.sites.site(side);
            let Some(endpoint) = site.endpoint() else {
                continue;
            };
            let pid = endpoint.pid();
            let namespace = site.namespace_name().map(str::to_owned);
            let enter = match &namespace {
                Some(name) => format!("ip netns exec {name}"),
                None if self.found.own_user_namespace => {
                    format!("nsenter --preserve-credentials -t {pid} -U -n")
                }
                None => format!("nsenter -t {pid} -n"),
            };
            pids.push(pid.to_string());
            names.extend(
                namespace
                    .iter()
                    .map(|name| format!("ip netns delete {name}; ")),
            );
            let socket = endpoint.socket().to_owned();
            kept.sites.insert(
                side,
                KeptSite {
                    pid,
                    socket,
                    namespace,
                    enter,
                },
            );
        }
        kept.remove = format!(
            "kill {}; {}rm -r {}",
            pids.join(" "),
            names.concat(),
            kept.folder.display()
        );
        kept
    }

    /// Waits with a clock on the terminal.
    fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        done: impl Fn(Side, &Seen) -> bool,
    ) -> Result<bool, DemoError> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if self.watch.wait(&mut self.sites, LOOK_AFTER, &done)? {
                return Ok(true);
            }
            self.teller
                .progress(format!("{what}: {:.1} s", started.elapsed().as_secs_f64()))?;
        }
        Ok(false)
    }

    fn broken(&mut self, promise: String) {
        self.found.broken.push(promise);
    }

    fn socket(&self, side: Side) -> Result<std::path::PathBuf, DemoError> {
        let endpoint = self.sites.site(side).endpoint();
        endpoint
            .map(|endpoint| endpoint.socket().to_owned())
            .ok_or_else(|| DemoError::System(format!("{} has no endpoint", side.name())))
    }

    /// Asks an endpoint for the state of its tunnel.
    fn tunnel(&self, side: Side) -> Result<TunnelStatus, DemoError> {
        let mut client = Client::connect(&self.socket(side)?)?;
        let answer = client.ask(&Request::Status { tunnel: None })?;
        let tunnel = match answer {
            Response::Status(status) => status.tunnels.into_iter().next(),
            Response::Done | Response::Event(_) | Response::Trace(_) | Response::Refused(_) => None,
        };
        tunnel.ok_or_else(|| {
            DemoError::System(format!("{}: the endpoint shows no tunnel", side.name()))
        })
    }
}

fn is_up(_: Side, seen: &Seen) -> bool {
    seen.up.is_some() && seen.carrier_on.is_some() && seen.routes_added.len() == 2
}

fn is_down(_: Side, seen: &Seen) -> bool {
    seen.down.is_some() && seen.carrier_off.is_some() && seen.routes_removed.len() == 2
}
