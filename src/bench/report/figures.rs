//! Medians, spreads and ratios, and how they are written.
//!
//! A ratio is taken inside each round, where both subjects met the same state of the machine; what is shown is the median of these ratios.

use serde::Serialize;

use crate::bench::model::{Histogram, LOAD_OCTETS, Metric, Results, Row, Subject};

/// Middle and ends of some samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// One metric over all subjects.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What was measured.
    pub metric: Metric,
    /// One a subject, in their order; `None` without a single sample.
    pub values: Vec<Option<Spread>>,
    /// First subject by this one, one a subject; `None` for the first itself and where no round has both.
    pub ratios: Vec<Option<Spread>>,
}

/// What the rounds say of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first subject is ahead in every round.
    Better,
    /// It is behind in every round.
    Worse,
    /// The rounds disagree, or a single one shows less than 5 %.
    Even,
}

impl Spread {
    /// Of the samples that are finite numbers; `None` if there are none.
    pub fn of(samples: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples
            .into_iter()
            .flatten()
            .filter(|s| s.is_finite())
            .collect();
        sorted.sort_by(f64::total_cmp);
        let low = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
        let high = *sorted.get(sorted.len() / 2)?;
        Some(Self {
            median: f64::midpoint(low, high),
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }

    /// Whether there is nothing between its ends, as after a single round.
    #[must_use]
    pub fn is_point(&self) -> bool {
        self.min >= self.max
    }

    /// `11.8–12.4`, both ends to the digits of the median.
    #[must_use]
    pub fn range(&self) -> String {
        let decimals = decimals(self.median);
        format!("{:.decimals$}–{:.decimals$}", self.min, self.max)
    }

    /// What this, as a ratio of values of `metric`, says.
    #[must_use]
    pub fn verdict(&self, metric: Metric) -> Verdict {
        let margin = if self.is_point() { 0.05 } else { 0.0 };
        let above = self.min > 1.0 + margin;
        let below = self.max < 1.0 - margin;
        match (above, below, metric.higher_is_better()) {
            (true, _, true) | (_, true, false) => Verdict::Better,
            (true, _, false) | (_, true, true) => Verdict::Worse,
            _ => Verdict::Even,
        }
    }
}

/// One line a metric, in the order of measuring.
#[must_use]
pub fn lines(results: &Results) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in results.subjects.iter().flat_map(|subject| &subject.rows) {
        if lines.iter().all(|line| line.metric != row.metric) {
            lines.push(line(results, row.metric));
        }
    }
    lines
}

/// What the run comes to in one sentence: `adit esp-udp: 12.1 Gb/s, 1.05 × relay`.
#[must_use]
pub fn headline(results: &Results) -> String {
    let Some(first) = results.subjects.first() else {
        return "nothing was measured".to_owned();
    };
    let name = match first.name.as_str() {
        "none" => display_name(first).to_owned(),
        name if name.starts_with("adit") => name.to_owned(),
        name => format!("adit {name}"),
    };
    let Some((line, value)) = leading(results) else {
        return format!("{name}: not measured");
    };
    let value = format!("{} {}", number(value.median), line.metric.unit());
    let against = (results.subjects.iter().zip(&line.ratios))
        .filter_map(|(subject, ratio)| Some((subject, (*ratio)?)))
        .min_by_key(|(subject, _)| subject.name == "none");
    match against {
        Some((subject, ratio)) => {
            format!(
                "{name}: {value}, {} × {}",
                ratio_number(ratio.median),
                display_name(subject)
            )
        }
        None => format!("{name}: {value}"),
    }
}

/// The metric of the headline, `TCP, 1 stream`, if one has a value.
#[must_use]
pub fn headline_metric(results: &Results) -> Option<Metric> {
    Some(leading(results)?.0.metric)
}

/// A subject's name for people.
#[must_use]
pub fn display_name(subject: &Subject) -> &str {
    match subject.name.as_str() {
        "none" => "bare veth",
        name => name,
    }
}

/// A name of at most `characters`, the last of which may be an ellipsis.
#[must_use]
pub fn shortened(name: &str, characters: usize) -> String {
    match name.char_indices().nth(characters) {
        Some(_) => (name.chars().take(characters.saturating_sub(1)))
            .chain(['…'])
            .collect(),
        None => name.to_owned(),
    }
}

/// `1 round`, `3 rounds`; `at most 3 rounds` where they ended before their end.
#[must_use]
pub fn rounds(results: &Results) -> String {
    let at_most = if results.ended.is_some() {
        "at most "
    } else {
        ""
    };
    match results.settings.rounds {
        1 => format!("{at_most}1 round"),
        rounds => format!("{at_most}{rounds} rounds"),
    }
}

/// Three digits: `0.46`, `12.1`, `1080`.
#[must_use]
pub fn number(value: f64) -> String {
    let decimals = decimals(value);
    format!("{value:.decimals$}")
}

/// Two digits or more behind the point: `1.05`, `0.067`.
#[must_use]
pub fn ratio_number(value: f64) -> String {
    let decimals = if value < 0.0995 { 3 } else { 2 };
    format!("{value:.decimals$}")
}

/// The load beside a subject's round trips: `13.5 kpps of 1400 octets`, the median over the rounds; `None` where there was none.
#[must_use]
pub fn load(histogram: &Histogram) -> Option<String> {
    let spread = Spread::of(histogram.load_pps.iter().copied().map(Some))?;
    let kpps = number(spread.median / 1e3);
    Some(format!("{kpps} kpps of {LOAD_OCTETS} octets"))
}

/// A number of packets, in groups of three digits: `1 234 567`.
#[must_use]
pub fn packets(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

fn line(results: &Results, metric: Metric) -> Line {
    let rows: Vec<Option<&Row>> = (results.subjects.iter())
        .map(|subject| subject.rows.iter().find(|row| row.metric == metric))
        .collect();
    let value = |row: &Option<&Row>| Spread::of(row.as_ref()?.samples.iter().copied());
    let first = rows.first().copied().flatten();
    let ratio = |(index, row): (usize, &Option<&Row>)| {
        (index > 0).then(|| ratio(first?, row.as_ref()?)).flatten()
    };
    Line {
        metric,
        values: rows.iter().map(value).collect(),
        ratios: rows.iter().enumerate().map(ratio).collect(),
    }
}

fn ratio(first: &Row, other: &Row) -> Option<Spread> {
    Spread::of(
        first
            .samples
            .iter()
            .zip(&other.samples)
            .map(|pair| match pair {
                (Some(first), Some(other)) if *other > 0.0 => Some(first / other),
                _ => None,
            }),
    )
}

fn leading(results: &Results) -> Option<(Line, Spread)> {
    let lines = lines(results);
    let measured = |line: Line| Some((line.values.first().copied()??, line));
    (lines.into_iter().filter_map(measured))
        .min_by_key(|(_, line)| line.metric != Metric::Tcp { streams: 1 })
        .map(|(value, line)| (line, value))
}

fn decimals(value: f64) -> usize {
    match value.abs() {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;

    const TCP: Metric = Metric::Tcp { streams: 1 };

    fn of(samples: &[f64]) -> Spread {
        Spread::of(samples.iter().copied().map(Some)).unwrap()
    }

    #[test]
    fn the_median_is_the_middle_sample_or_the_mean_of_the_middle_two() {
        assert_eq!(
            of(&[3.0, 1.0, 2.0]),
            Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            }
        );
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(
            of(&[7.0]),
            Spread {
                median: 7.0,
                min: 7.0,
                max: 7.0
            }
        );
    }

    #[test]
    fn a_round_without_a_value_or_with_no_number_is_left_out() {
        assert_eq!(
            Spread::of([None, Some(5.0), Some(f64::NAN), Some(f64::INFINITY)]),
            Some(of(&[5.0]))
        );
        assert_eq!(Spread::of([None, None]), None);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_each_round() {
        let results = sample::results(&[
            ("esp", TCP, &[Some(1.0), Some(10.0), Some(6.0)]),
            ("relay", TCP, &[Some(2.0), Some(5.0), Some(4.0)]),
        ]);
        let line = lines(&results).remove(0);
        assert_eq!(
            line.ratios,
            [
                None,
                Some(Spread {
                    median: 1.5,
                    min: 0.5,
                    max: 2.0
                })
            ]
        );
    }

    #[test]
    fn a_round_that_lacks_one_side_or_divides_by_zero_has_no_ratio() {
        let results = sample::results(&[
            ("esp", TCP, &[Some(1.0), None, Some(6.0), Some(3.0)]),
            ("relay", TCP, &[None, Some(5.0), Some(0.0), Some(2.0)]),
        ]);
        assert_eq!(lines(&results).remove(0).ratios, [None, Some(of(&[1.5]))]);
    }

    #[test]
    fn metrics_that_only_a_baseline_has_get_a_line_too() {
        let results = sample::results(&[
            ("esp", TCP, &[Some(1.0)]),
            ("relay", Metric::Rss, &[Some(5.0)]),
        ]);
        let metrics: Vec<Metric> = lines(&results).iter().map(|line| line.metric).collect();
        assert_eq!(metrics, [TCP, Metric::Rss]);
        assert_eq!(lines(&results).remove(1).values, [None, Some(of(&[5.0]))]);
    }

    #[test]
    fn ahead_is_above_one_for_rates_and_below_one_for_costs() {
        let ahead = of(&[1.1, 1.2]);
        assert_eq!(ahead.verdict(TCP), Verdict::Better);
        assert_eq!(ahead.verdict(Metric::Rss), Verdict::Worse);
        assert_eq!(of(&[0.8, 0.9]).verdict(TCP), Verdict::Worse);
        assert_eq!(of(&[0.8, 0.9]).verdict(Metric::CpuPerGb), Verdict::Better);
    }

    #[test]
    fn rounds_that_disagree_and_a_single_close_one_are_even() {
        assert_eq!(of(&[0.98, 1.2]).verdict(TCP), Verdict::Even);
        assert_eq!(of(&[1.04]).verdict(TCP), Verdict::Even);
        assert_eq!(of(&[1.06]).verdict(TCP), Verdict::Better);
    }

    #[test]
    fn the_headline_compares_with_a_tunnel_rather_than_with_the_wire() {
        let results = sample::results(&[
            ("esp-udp", TCP, &[Some(12.1)]),
            ("none", TCP, &[Some(24.2)]),
            ("relay", TCP, &[Some(11.5)]),
        ]);
        assert_eq!(headline(&results), "adit esp-udp: 12.1 Gb/s, 1.05 × relay");
    }

    #[test]
    fn the_headline_says_what_there_is() {
        let wire = [
            ("gre", TCP, &[Some(1.81)][..]),
            ("none", TCP, &[Some(16.4)]),
        ];
        assert_eq!(
            headline(&sample::results(&wire)),
            "adit gre: 1.81 Gb/s, 0.11 × bare veth"
        );
        assert_eq!(
            headline(&sample::results(&wire[..1])),
            "adit gre: 1.81 Gb/s"
        );
        assert_eq!(
            headline(&sample::results(&[("gre", TCP, &[None])])),
            "adit gre: not measured"
        );
        assert_eq!(headline(&sample::results(&[])), "nothing was measured");
    }

    #[test]
    fn long_names_are_shortened_between_characters() {
        assert_eq!(shortened("übergrößenträger", 5), "über…");
        assert_eq!(shortened("abcde", 5), "abcde");
    }

    #[test]
    fn numbers_have_three_digits_and_packets_are_grouped() {
        assert_eq!(
            [0.456, 9.999, 12.14, 99.97, 1080.4].map(number),
            ["0.46", "10.0", "12.1", "100", "1080"]
        );
        assert_eq!(
            [0.0667, 0.1, 1.054].map(ratio_number),
            ["0.067", "0.10", "1.05"]
        );
        assert_eq!(packets(1_234_567).replace('\u{202f}', " "), "1 234 567");
        assert_eq!([packets(0), packets(999)], ["0", "999"]);
        assert_eq!(
            Spread {
                median: 12.0,
                min: 9.5,
                max: 101.25
            }
            .range(),
            "9.5–101.2"
        );
    }
}
