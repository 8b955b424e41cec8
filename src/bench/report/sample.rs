//! Results for the reports' tests.

use std::collections::BTreeMap;

use crate::bench::model::{
    Accounting, Histogram, Machine, Metric, Results, Row, Settings, Subject,
};

/// One row of a subject: its name, what was measured, and a sample a round.
pub(super) type Sample<'a> = (&'a str, Metric, &'a [Option<f64>]);

/// These rows, under one subject for each name in the order of first mention.
pub(super) fn results(samples: &[Sample<'_>]) -> Results {
    let mut subjects: Vec<Subject> = Vec::new();
    for &(name, metric, samples) in samples {
        let row = Row {
            metric,
            samples: samples.to_vec(),
        };
        match subjects.iter_mut().find(|subject| subject.name == name) {
            Some(subject) => subject.rows.push(row),
            None => subjects.push(Subject {
                name: name.to_owned(),
                is_baseline: !subjects.is_empty(),
                rows: vec![row],
                accounting: None,
                histograms: Vec::new(),
                error: None,
            }),
        }
    }
    Results {
        machine: Machine {
            cpus: 2,
            cpu: "Some CPU".to_owned(),
            kernel: "6.18.0".to_owned(),
            adit: "0.1.0".to_owned(),
        },
        settings: Settings {
            rounds: 3,
            seconds: 3,
            mtu: 1500,
            udp_gso: true,
            congestion_control: Some("cubic".to_owned()),
            workers: 1,
            command: "adit bench --mode esp-udp".to_owned(),
        },
        subjects,
        took_seconds: 80.0,
        ended: None,
    }
}

/// Two subjects with everything that a report shows.
pub(super) fn full() -> Results {
    const LOADED: Metric = Metric::Latency {
        load: true,
        percentile: crate::bench::model::Percentile::P99,
    };
    const TCP: Metric = Metric::Tcp { streams: 1 };
    let mut results = results(&[
        ("esp-udp", TCP, &[Some(12.0), Some(12.1), Some(12.4)]),
        (
            "esp-udp",
            LOADED,
            &[Some(900.0), Some(850.0), Some(1_000.0)],
        ),
        ("relay", TCP, &[Some(11.0), Some(11.5), Some(11.6)]),
        ("relay", LOADED, &[Some(800.0), Some(1_100.0), None]),
    ]);
    for subject in &mut results.subjects {
        subject.accounting = Some(Accounting {
            sent: 1_000_000,
            received: 899_000,
            drops: BTreeMap::from([("tun_full".to_owned(), 1_000), ("bad_icv".to_owned(), 0)]),
            tun_tx_dropped: 60_000,
            socket_overflow: 39_990,
            unexplained: 10,
        });
        subject.histograms = [false, true]
            .map(|load| Histogram {
                load,
                load_pps: if load {
                    vec![13_400.0, 13_500.0, 13_300.0]
                } else {
                    vec![]
                },
                answered: 1_500,
                lost: 0,
                points: vec![(0.0, 40.0), (50.0, 55.0), (99.0, 300.0), (100.0, 900.0)],
            })
            .to_vec();
    }
    results
}
