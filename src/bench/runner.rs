//! The rounds: each measures every subject once, in an order that turns from round to round.

use std::os::fd::AsFd;
use std::time::Instant;

use super::congestion;
use super::course::{Course, Found};
use super::error::BenchError;
use super::interrupt::Interrupt;
use super::latency::Times;
use super::machine;
use super::mode::Mode;
use super::model::{Histogram, Metric, Results, Row, Settings, Subject};
use super::progress::Progress;
use super::subject::{Kind, Running};
use super::{Baseline, Options};
use crate::io::netns;
use crate::sites;

/// A subject and what was found of it so far.
struct Entry {
    kind: Kind,
    times: [Option<Times>; 2],
    subject: Subject,
}

/// Runs everything. An error is one that ended the whole bench; what was found before is in the results.
pub(super) fn run(options: &Options) -> (Results, Result<(), BenchError>) {
    let started = Instant::now();
    let mut entries = entries(options);
    let result = run_rounds(options, &mut entries);
    let results = Results {
        machine: machine::describe(),
        settings: Settings {
            rounds: options.rounds,
            seconds: options.seconds,
            mtu: options.mtu,
            udp_gso: options.udp_gso,
            congestion_control: options
                .congestion_control
                .clone()
                .or_else(congestion::of_system),
            workers: options.endpoints.workers.map_or(1, usize::from),
            command: options.command.clone(),
        },
        subjects: entries.into_iter().map(Entry::finish).collect(),
        took_seconds: started.elapsed().as_secs_f64(),
        ended: result.as_ref().err().map(ToString::to_string),
    };
    (results, result)
}

fn run_rounds(options: &Options, entries: &mut [Entry]) -> Result<(), BenchError> {
    sites::prepare()?;
    if let Some(name) = &options.congestion_control {
        congestion::set(netns::create_anonymous()?.as_fd(), name)?;
    }
    let interrupt = Interrupt::listen()?;
    let mut progress = Progress::new(options.progress);
    let count = entries.len();
    for round in 0..options.rounds {
        for turn in 0..count {
            let Some(entry) = entries.get_mut((round + turn) % count) else {
                continue;
            };
            if entry.subject.error.is_some() {
                continue;
            }
            progress.subject(round + 1, options.rounds, &entry.subject.name);
            let outcome = measure(entry, round, options, &interrupt, &mut progress);
            if let Err(error) = outcome {
                let why = error.to_string();
                if error.is_final() {
                    progress.clear();
                    return Err(error);
                }
                entry.subject.error = Some(why);
            }
        }
    }
    progress.clear();
    Ok(())
}

fn measure(
    entry: &mut Entry,
    round: usize,
    options: &Options,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<(), BenchError> {
    let running = Running::start(&entry.kind, options, interrupt)?;
    let (found, result) = Course::new(options, interrupt, progress, running).run();
    entry.add(round, options.rounds, found)?;
    result
}

/// The main mode, then what it is held against; without a word about that, the bare wire.
fn entries(options: &Options) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut add = |kind: Kind, name: &str| {
        let taken = |name: &str| entries.iter().any(|entry| entry.subject.name == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let name = names.find(|name| !taken(name)).unwrap_or_default();
        let subject = Subject {
            name,
            is_baseline: !entries.is_empty(),
            ..Subject::default()
        };
        entries.push(Entry {
            kind,
            times: [None, None],
            subject,
        });
    };
    add(Kind::Mode(options.mode), options.mode.name());
    if options.baselines.is_empty() && options.mode != Mode::None {
        add(Kind::Mode(Mode::None), Mode::None.name());
    }
    for baseline in &options.baselines {
        match baseline {
            Baseline::Mode(mode) => add(Kind::Mode(*mode), mode.name()),
            Baseline::Command { name, command } => add(Kind::Command(command.clone()), name),
        }
    }
    entries
}

impl Entry {
    /// Adds what a round found.
    fn add(&mut self, round: usize, rounds: usize, found: Found) -> Result<(), BenchError> {
        for (metric, number) in found.numbers {
            if let Some(sample) = self.row(metric, rounds).samples.get_mut(round) {
                *sample = Some(number);
            }
        }
        if let Some(accounting) = found.accounting {
            let sum = self.subject.accounting.get_or_insert_default();
            sum.merge(&accounting);
        }
        for (sum, times) in self.times.iter_mut().zip(found.times) {
            match (sum, times) {
                (Some(sum), Some(times)) => sum.add(&times)?,
                (sum, Some(times)) => *sum = Some(times),
                (_, None) => {}
            }
        }
        Ok(())
    }

    fn row(&mut self, metric: Metric, rounds: usize) -> &mut Row {
        let rows = &mut self.subject.rows;
        let index = rows.binary_search_by_key(&metric, |row| row.metric);
        let index = index.unwrap_or_else(|index| {
            let samples = vec![None; rounds];
            rows.insert(index, Row { metric, samples });
            index
        });
        #[expect(clippy::indexing_slicing, reason = "found or inserted there")]
        &mut rows[index]
    }

    fn finish(mut self) -> Subject {
        for (times, load) in self.times.iter().zip([false, true]) {
            let histogram = times.as_ref().map(|times| histogram(times, load));
            self.subject.histograms.extend(histogram);
        }
        self.subject
    }
}

fn histogram(times: &Times, load: bool) -> Histogram {
    let answered = times.histogram.len();
    let part = answered as f64 / times.asked().max(1) as f64;
    let points = times.histogram.iter_quantiles(4).map(|value| {
        let percent = value.quantile_iterated_to() * part * 100.0;
        (percent, value.value_iterated_to() as f64 / 1e3)
    });
    Histogram {
        load,
        load_pps: times.load_pps.clone(),
        answered,
        lost: times.lost,
        points: points.take_while(|_| answered > 0).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn names(options: &Options) -> Vec<(String, bool)> {
        let subjects = entries(options).into_iter().map(Entry::finish);
        subjects
            .map(|subject| (subject.name, subject.is_baseline))
            .collect()
    }

    #[test]
    fn the_main_mode_is_held_against_the_bare_wire_unless_another_is_named() {
        let mut options = Options::default();
        let named = |name: &str, is_baseline| (name.to_owned(), is_baseline);
        assert_eq!(names(&options), [named("gre", false), named("none", true)]);
        let relay = Baseline::Command {
            name: "relay".to_owned(),
            command: "exec relay".to_owned(),
        };
        options.baselines = vec![Baseline::Mode(Mode::Gre), relay.clone(), relay];
        let wanted = [
            named("gre", false),
            named("gre-2", true),
            named("relay", true),
            named("relay-2", true),
        ];
        assert_eq!(names(&options), wanted);
        options.mode = Mode::None;
        options.baselines.clear();
        assert_eq!(names(&options), [named("none", false)]);
    }

    #[test]
    fn a_round_that_found_nothing_leaves_its_place_empty() {
        let mut entry = entries(&Options::default()).remove(0);
        let found = |number| Found {
            numbers: BTreeMap::from([(Metric::Rss, number), (Metric::Tcp { streams: 1 }, 1.0)]),
            accounting: None,
            times: [None, None],
        };
        entry.add(0, 3, found(7.0)).unwrap();
        entry.add(2, 3, found(9.0)).unwrap();
        let subject = entry.finish();
        let rss = subject.samples(Metric::Rss).unwrap();
        assert_eq!(rss, [Some(7.0), None, Some(9.0)]);
        assert_eq!(subject.rows[0].metric, Metric::Tcp { streams: 1 });
    }

    #[test]
    fn a_histogram_rises_in_both_coordinates() {
        let mut times = Times::new().unwrap();
        for ns in 1..=1000 {
            times.histogram.record(ns * 1000).unwrap();
        }
        let histogram = histogram(&times, true);
        assert_eq!(histogram.answered, 1000);
        let pairs = histogram.points.windows(2);
        assert!(
            pairs
                .into_iter()
                .all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1)
        );
        let (percent, us) = *histogram.points.last().unwrap();
        assert!((percent - 100.0).abs() < 1e-9 && (us - 1000.0).abs() < 1.0);
    }

    #[test]
    fn a_histogram_ends_at_the_part_of_the_echoes_that_was_answered() {
        let mut times = Times::new().unwrap();
        times.lost = 250;
        assert_eq!(histogram(&times, true).points, []);
        for ns in 1..=750 {
            times.histogram.record(ns * 1000).unwrap();
        }
        let histogram = histogram(&times, true);
        assert_eq!((histogram.answered, histogram.lost), (750, 250));
        let (percent, us) = *histogram.points.last().unwrap();
        assert!((percent - 75.0).abs() < 1e-9 && (us - 750.0).abs() < 1.0);
    }
}
