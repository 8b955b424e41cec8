//! Results for programs: what was measured as it is, and the figures drawn from it.

use std::io::{self, Write};

use serde::Serialize;

use super::figures::{self, Spread};
use crate::bench::model::{Metric, Results};

/// Rises when a reader of the document must change.
const FORMAT: u32 = 1;

/// Writes one document: `{ format, headline, results, figures: [{ metric, label, unit, higher_is_better, subjects: [{ subject, median, min, max, ratio }] }] }`.
///
/// `results` is a [`Results`]; `ratio` (median, min, max over the rounds) is the first subject by this one, or null.
///
/// # Errors
/// Those of `out`.
pub fn write(results: &Results, out: &mut dyn Write) -> io::Result<()> {
    let lines = figures::lines(results);
    let document = Document {
        format: FORMAT,
        headline: figures::headline(results),
        results,
        figures: lines.iter().map(|line| figure(results, line)).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    headline: String,
    results: &'a Results,
    figures: Vec<Figure<'a>>,
}

#[derive(Serialize)]
struct Figure<'a> {
    metric: Metric,
    label: String,
    unit: &'a str,
    higher_is_better: bool,
    subjects: Vec<Value<'a>>,
}

#[derive(Serialize)]
struct Value<'a> {
    subject: &'a str,
    #[serde(flatten)]
    spread: Spread,
    ratio: Option<Spread>,
}

fn figure<'a>(results: &'a Results, line: &figures::Line) -> Figure<'a> {
    let subjects = results.subjects.iter().zip(&line.values).zip(&line.ratios);
    Figure {
        metric: line.metric,
        label: line.metric.label(),
        unit: line.metric.unit(),
        higher_is_better: line.metric.higher_is_better(),
        subjects: subjects
            .filter_map(|((subject, spread), &ratio)| {
                Some(Value {
                    subject: &subject.name,
                    spread: (*spread)?,
                    ratio,
                })
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;

    fn written(results: &Results) -> serde_json::Value {
        let mut out = Vec::new();
        write(results, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn results_come_back_as_they_were_measured() {
        let results = sample::full();
        let document = written(&results);
        let back: Results = serde_json::from_value(document["results"].clone()).unwrap();
        assert_eq!(back, results);
    }

    #[test]
    fn figures_have_median_ends_and_ratio_of_each_subject() {
        let document = written(&sample::full());
        assert_eq!(document["format"], 1);
        assert_eq!(
            document["headline"],
            "adit esp-udp: 12.1 Gb/s, 1.07 × relay"
        );
        let tcp = &document["figures"][0];
        assert_eq!(tcp["metric"]["tcp"]["streams"], 1);
        assert_eq!(tcp["unit"], "Gb/s");
        assert_eq!(tcp["subjects"][0]["median"], 12.1);
        assert_eq!(tcp["subjects"][0]["ratio"], serde_json::Value::Null);
        assert_eq!(tcp["subjects"][1]["max"], 11.6);
        assert_eq!(tcp["subjects"][1]["ratio"]["median"], 12.4 / 11.6);
    }

    #[test]
    fn a_subject_without_a_sample_has_no_figure() {
        let results = sample::results(&[
            ("esp", Metric::Rss, &[None]),
            ("relay", Metric::Rss, &[Some(2.0)]),
        ]);
        let subjects = &written(&results)["figures"][0]["subjects"];
        assert_eq!(subjects.as_array().unwrap().len(), 1);
        assert_eq!(subjects[0]["subject"], "relay");
    }
}
