//! The course that every subject runs once a round: TCP, UDP floods, loss-free rates, round trips.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::datagrams::{Delivered, Pace, Path};
use super::error::BenchError;
use super::interrupt::Interrupt;
use super::latency::{self, Times};
use super::model::{Accounting, LOAD_OCTETS, Metric, Percentile, Size};
use super::progress::Progress;
use super::search::Search;
use super::subject::Running;
use super::{Options, Test};
use crate::sites::{Flow, Side};

/// How long TCP streams run before they are measured.
const TCP_WARMS_UP: Duration = Duration::from_millis(300);
/// One trial of the search for a loss-free rate, and the flood before it.
const TRIAL: Duration = Duration::from_millis(500);
/// The packets of the load beside which round trips are measured.
const LOAD_SIZE: Size = Size::Octets(LOAD_OCTETS);
/// Its rate, as a part of what arrives of a flood.
const LOAD: f64 = 0.3;
/// How much earlier it begins, and later it ends.
const LOAD_AROUND: Duration = Duration::from_millis(200);

/// What one course found.
#[derive(Debug)]
pub(super) struct Found {
    /// The numbers.
    pub(super) numbers: BTreeMap<Metric, f64>,
    /// Where the packets of the floods went.
    pub(super) accounting: Option<Accounting>,
    /// Round trips, idle and under load.
    pub(super) times: [Option<Times>; 2],
}

/// A course of one subject.
pub(super) struct Course<'a> {
    options: &'a Options,
    interrupt: &'a Interrupt,
    progress: &'a mut Progress,
    running: Running,
    found: Found,
}

impl<'a> Course<'a> {
    /// A course of what runs.
    pub(super) fn new(
        options: &'a Options,
        interrupt: &'a Interrupt,
        progress: &'a mut Progress,
        running: Running,
    ) -> Self {
        Self {
            options,
            interrupt,
            progress,
            running,
            found: Found {
                numbers: BTreeMap::new(),
                accounting: None,
                times: [None, None],
            },
        }
    }

    /// Runs it. What was found before an error is kept.
    pub(super) fn run(mut self) -> (Found, Result<(), BenchError>) {
        let result = self.run_tests();
        (self.found, result)
    }

    fn run_tests(&mut self) -> Result<(), BenchError> {
        let options = self.options;
        let does = |test| options.tests.contains(&test);
        if does(Test::Tcp) {
            for &streams in &options.streams {
                self.tcp(streams)?;
            }
        }
        if does(Test::Udp) {
            for &octets in &options.udp {
                self.flood(octets)?;
            }
        }
        if does(Test::LossFree) {
            for &size in &options.loss_free {
                self.loss_free(size)?;
            }
        }
        if does(Test::Latency) {
            self.idle_latency()?;
            self.loaded_latency()?;
        }
        if let Some(usage) = self.running.wire.usage()? {
            let mebibytes = usage.memory_octets as f64 / f64::from(1 << 20);
            self.note(Metric::Rss, mebibytes);
        }
        self.running.wire.check()
    }

    fn tcp(&mut self, streams: u16) -> Result<(), BenchError> {
        self.begin(&Metric::Tcp { streams })?;
        let wire = &self.running.wire;
        let ends = Side::BOTH.map(|side| (wire.namespace(side), self.running.address(side)));
        let [west, east] = ends;
        let mut flows = Vec::new();
        for _ in 0..streams {
            let flow = Flow::start(west, east).map_err(BenchError::of("TCP through the tunnel"))?;
            flows.push(flow);
        }
        let octets = || flows.iter().map(|flow| flow.moved().octets).sum::<u64>();
        self.interrupt.sleep(TCP_WARMS_UP)?;
        let (started, before, used) = (Instant::now(), octets(), wire.usage()?);
        self.interrupt.sleep(self.seconds())?;
        let (time, moved) = (started.elapsed(), octets().saturating_sub(before));
        let using = wire.usage()?;
        drop(flows);
        if moved == 0 {
            return Err(BenchError::Late("TCP moved nothing".to_owned()));
        }
        let gigabytes = moved as f64 / 1e9;
        self.note(
            Metric::Tcp { streams },
            gigabytes * 8.0 / time.as_secs_f64(),
        );
        if streams == 1
            && let (Some(used), Some(using)) = (used, using)
        {
            let seconds = using.cpu_seconds - used.cpu_seconds;
            self.note(Metric::CpuPerGb, seconds / gigabytes);
        }
        Ok(())
    }

    fn flood(&mut self, octets: u16) -> Result<(), BenchError> {
        self.begin(&Metric::Udp { octets })?;
        let mut path = self.path()?;
        let before = self.running.losses()?;
        let size = Size::Octets(octets);
        let delivered = path.run(size, Pace::Flood, self.seconds(), self.interrupt)?;
        self.interrupt.check()?;
        let rate = delivered.trial.delivered;
        self.note(Metric::Udp { octets }, rate / 1e3);
        let payload = size.payload_octets(0);
        self.note(
            Metric::UdpRate { octets },
            rate * payload as f64 * 8.0 / 1e9,
        );
        if let (Some(before), Some(after)) = (before, self.running.losses()?) {
            let lost = after.since(&before);
            let overflow = lost.socket_overflow + path.overflow()?;
            let mut accounting = self.found.accounting.take().unwrap_or_default();
            accounting.add(&delivered, &lost.drops, lost.tun_tx_dropped, overflow);
            self.found.accounting = Some(accounting);
        }
        Ok(())
    }

    fn loss_free(&mut self, size: Size) -> Result<(), BenchError> {
        let metric = Metric::LossFree { octets: size };
        self.begin(&metric)?;
        let mut path = self.path()?;
        let flood = path.run(size, Pace::Flood, TRIAL, self.interrupt)?;
        let mut search = Search::new(&flood.trial);
        while let Some(rate) = search.next() {
            self.interrupt.check()?;
            self.progress.detail(&format!("{:.1} kpps", rate / 1e3));
            let mut run = || path.run(size, Pace::Rate(rate), TRIAL, self.interrupt);
            let mut trial = run()?.trial;
            if !trial.passed() {
                // A machine that did something else for a moment is not the tunnel's fault.
                trial = run()?.trial;
            }
            search.note(rate, &trial);
        }
        if let Some(rate) = search.found() {
            self.note(metric, rate / 1e3);
        }
        Ok(())
    }

    fn idle_latency(&mut self) -> Result<(), BenchError> {
        self.progress.test("round trips, idle");
        let times = self.round_trips()?;
        self.note_times(false, times);
        Ok(())
    }

    fn loaded_latency(&mut self) -> Result<(), BenchError> {
        self.progress.test("round trips under load");
        let mut path = self.path()?;
        let flood = path.run(LOAD_SIZE, Pace::Flood, TRIAL, self.interrupt)?;
        if flood.received == 0 {
            let what = "round trips under load: nothing of a flood arrived";
            return Err(BenchError::Late(what.to_owned()));
        }
        let pace = Pace::Rate(flood.trial.delivered * LOAD);
        let time = self.seconds() + 2 * LOAD_AROUND;
        let times = thread::scope(|scope| {
            let interrupt = self.interrupt;
            let load = scope.spawn(move || path.run(LOAD_SIZE, pace, time, interrupt));
            self.interrupt.sleep(LOAD_AROUND)?;
            let times = self.round_trips();
            let loaded = load
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let mut times = times?;
            times.load_pps.push(loaded?.trial.offered);
            Ok::<_, BenchError>(times)
        })?;
        self.note_times(true, times);
        Ok(())
    }

    fn round_trips(&self) -> Result<Times, BenchError> {
        let west = self.running.wire.namespace(Side::West);
        let echo = self.running.echo().address();
        latency::measure(west, echo, self.seconds(), self.interrupt)
    }

    fn note_times(&mut self, load: bool, times: Times) {
        for percentile in Percentile::ALL {
            if let Some(ns) = times.within(percentile) {
                self.note(Metric::Latency { load, percentile }, ns as f64 / 1e3);
            }
        }
        let [idle, loaded] = &mut self.found.times;
        *(if load { loaded } else { idle }) = Some(times);
    }

    fn path(&self) -> Result<Path, BenchError> {
        let [west, east] = Side::BOTH.map(|side| self.running.wire.namespace(side));
        Path::open(west, (east, self.running.address(Side::East)))
            .map_err(BenchError::of("UDP through the tunnel"))
    }

    fn begin(&mut self, metric: &Metric) -> Result<(), BenchError> {
        self.progress.test(&metric.label());
        self.running.wire.check()
    }

    fn note(&mut self, metric: Metric, number: f64) {
        self.found.numbers.insert(metric, number);
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }
}

impl Accounting {
    /// Adds a flood and what was lost meanwhile.
    fn add(
        &mut self,
        flood: &Delivered,
        drops: &BTreeMap<String, u64>,
        tun_tx_dropped: u64,
        socket_overflow: u64,
    ) {
        let other = Self {
            sent: flood.sent,
            received: flood.received,
            drops: drops.clone(),
            tun_tx_dropped,
            socket_overflow,
            unexplained: 0,
        };
        self.merge(&other);
    }

    /// Adds another one, and states anew what is left over.
    pub(super) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        for (reason, count) in &other.drops {
            *self.drops.entry(reason.clone()).or_default() += count;
        }
        self.tun_tx_dropped += other.tun_tx_dropped;
        self.socket_overflow += other.socket_overflow;
        let explained = self.received
            + self.drops.values().sum::<u64>()
            + self.tun_tx_dropped
            + self.socket_overflow;
        self.unexplained = self.sent.cast_signed() - explained.cast_signed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_received_nor_counted_as_lost_is_unexplained() {
        let mut sum = Accounting::default();
        let one = Accounting {
            sent: 100,
            received: 60,
            drops: [("a".to_owned(), 10)].into(),
            tun_tx_dropped: 20,
            socket_overflow: 5,
            unexplained: 0,
        };
        sum.merge(&one);
        sum.merge(&one);
        assert_eq!(sum.unexplained, 10);
        assert_eq!(sum.drops["a"], 20);
    }
}
