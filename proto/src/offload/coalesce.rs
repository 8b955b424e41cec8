//! Packets that lie in one buffer into runs, each written to the TUN device by one `writev`.
//!
//! No payload is moved: a run is its first packet, with headers rewritten, and the payloads of the others. The rules are those
//! of the kernel's GRO. A packet joins the latest run of its flow or begins one; what may not join closes the run, so order
//! inside a flow is kept. Checksums are verified when a second packet wants to join, so a packet alone is left to the kernel.

use std::ops::Range;

use super::Coalescing;
use super::candidate::{Flow, Kind, Member, intact};
use super::run::{Open, Run};

const FLOWS: usize = 256;
const NO_RUN: u16 = u16::MAX;

/// Makes runs of packets, batch after batch, without allocating.
#[derive(Debug)]
pub struct Coalescer {
    what: Coalescing,
    runs: Vec<Open>,
    /// For each packet, its run.
    run_of: Vec<usize>,
    pieces: Vec<Range<usize>>,
    /// The latest run of each flow. Of flows that meet here the latest wins, and the others begin new runs.
    latest: [u16; FLOWS],
    /// Runs before this one take no more packets.
    barrier: usize,
}

impl Coalescer {
    /// Makes one for batches of up to `capacity_packets`; a larger batch allocates once.
    #[must_use]
    pub fn new(capacity_packets: usize, what: Coalescing) -> Self {
        Self {
            what,
            runs: Vec::with_capacity(capacity_packets),
            run_of: Vec::with_capacity(capacity_packets),
            pieces: Vec::with_capacity(capacity_packets),
            latest: [NO_RUN; FLOWS],
            barrier: 0,
        }
    }

    /// Changes what is coalesced from the next batch on.
    pub fn set(&mut self, what: Coalescing) {
        self.what = what;
    }

    /// Makes runs of `packets`, ranges of IP packets in `buffer` in order of arrival, and rewrites the headers of each run's
    /// first packet. What the last call made is forgotten. A range outside `buffer` becomes a run that cannot be written.
    pub fn coalesce(&mut self, buffer: &mut [u8], packets: &[Range<usize>]) {
        self.runs.clear();
        self.run_of.clear();
        self.latest.fill(NO_RUN);
        self.barrier = 0;
        for range in packets {
            let packet = buffer.get(range.clone()).unwrap_or_default();
            let run = self.place(buffer, packet, range);
            self.run_of.push(run);
        }
        self.lay_out(packets);
        for run in &mut self.runs {
            run.rewrite(buffer);
        }
    }

    /// The runs in the order in which they are to be written.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.runs.iter().map(|run| run.finished(&self.pieces))
    }

    /// Puts one packet into a run, and returns which.
    fn place(&mut self, buffer: &[u8], packet: &[u8], range: &Range<usize>) -> usize {
        let new = self.runs.len();
        match Kind::of(packet, self.what) {
            Kind::Member(member) => {
                let joined = self.join(buffer, packet, &member);
                if let Joined::To(run) = joined {
                    return run;
                }
                self.mark_latest(&member.flow, new);
                self.runs.push(match joined {
                    Joined::Damaged => Open::closed(range),
                    Joined::No | Joined::To(_) => Open::begin(range, &member),
                });
            }
            Kind::Alone(flow) => {
                self.mark_latest(&flow, new);
                self.runs.push(Open::closed(range));
            }
            Kind::Barrier => {
                self.barrier = new + 1;
                self.runs.push(Open::closed(range));
            }
            Kind::Bystander => self.runs.push(Open::closed(range)),
        }
        new
    }

    fn mark_latest(&mut self, flow: &Flow, run: usize) {
        if let Some(latest) = self.latest.get_mut(usize::from(flow.spread())) {
            *latest = u16::try_from(run).unwrap_or(NO_RUN);
        }
    }

    fn join(&mut self, buffer: &[u8], packet: &[u8], member: &Member) -> Joined {
        let latest = self.latest.get(usize::from(member.flow.spread())).copied();
        let index = usize::from(latest.unwrap_or(NO_RUN));
        let fresh = index >= self.barrier && index != usize::from(NO_RUN);
        let Some(run) = self.runs.get_mut(index).filter(|_| fresh) else {
            return Joined::No;
        };
        let Some(head) = buffer.get(run.head.clone()).filter(|_| run.takes(member)) else {
            return Joined::No;
        };
        // From the urgent pointer on: with the pointer the options, a timestamp among them.
        let rest = member.flow.transport() + 18..member.same.headers;
        if !member.flow.udp && head.get(rest.clone()) != packet.get(rest) {
            return Joined::No;
        }
        if !run.verified {
            run.verified = intact(head, &member.flow);
            if !run.verified {
                run.open = false;
                return Joined::No;
            }
        }
        if !intact(packet, &member.flow) {
            return Joined::Damaged;
        }
        run.append(member);
        Joined::To(index)
    }

    /// Lays the pieces of each run side by side.
    fn lay_out(&mut self, packets: &[Range<usize>]) {
        let mut start = 0;
        for run in &mut self.runs {
            start = run.lay_out(start);
        }
        self.pieces.clear();
        self.pieces.resize(start, 0..0);
        for (range, &run) in packets.iter().zip(&self.run_of) {
            let Some(run) = self.runs.get_mut(run) else {
                continue;
            };
            let (place, headers) = run.next_piece();
            if let Some(piece) = self.pieces.get_mut(place) {
                *piece = range.start + headers..range.end;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joined {
    To(usize),
    No,
    /// It fits, but its checksum is wrong: it stays alone.
    Damaged,
}
