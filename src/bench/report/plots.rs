//! Which plots a page has, and what they show.

use super::{
    curves::{self, Curve, Curves},
    figures::{self, Line, display_name, packets},
    svg::{Bar, Bars},
};
use crate::bench::model::{Histogram, Metric, Results};

/// A plot and the words above it.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows.
    pub title: &'static str,
    /// Its unit and how to read it.
    pub note: String,
    /// How high it is, in the plot's own pixels.
    pub height: f64,
    /// The SVG element.
    pub svg: String,
}

/// The colour of each subject: the bare wire's own, a colour of a subject for the others.
#[must_use]
pub fn classes(results: &Results) -> Vec<String> {
    let mut colours = (0..8).cycle();
    let class = |name: &str| match (name, colours.next()) {
        ("none", _) | (_, None) => "wire".to_owned(),
        (_, Some(colour)) => format!("s{colour}"),
    };
    results
        .subjects
        .iter()
        .map(|subject| subject.name.as_str())
        .map(class)
        .collect()
}

/// Bars for each kind of metric that was measured, once: no latency that has a curve, no flood in two units.
#[must_use]
pub fn bars(results: &Results, lines: &[Line]) -> Vec<Plot> {
    let mut plots: Vec<(&'static str, Vec<&Line>)> = Vec::new();
    let drawn = results
        .subjects
        .iter()
        .any(|subject| !subject.histograms.is_empty());
    let shown_otherwise = |line: &&Line| match line.metric {
        Metric::Latency { .. } => drawn,
        Metric::UdpRate { octets } => lines.iter().any(|l| l.metric == Metric::Udp { octets }),
        Metric::Tcp { .. }
        | Metric::Udp { .. }
        | Metric::LossFree { .. }
        | Metric::CpuPerGb
        | Metric::Rss => false,
    };
    for line in lines.iter().filter(|line| !shown_otherwise(line)) {
        let title = title(line.metric);
        match plots.iter_mut().find(|(other, _)| *other == title) {
            Some((_, lines)) => lines.push(line),
            None => plots.push((title, vec![line])),
        }
    }
    let classes = classes(results);
    (plots.into_iter())
        .filter_map(|(title, lines)| plot(results, &classes, title, &lines))
        .collect()
}

/// Curves of the latency, idle and under load, on one vertical scale.
#[must_use]
pub fn latency(results: &Results) -> Vec<Plot> {
    let histograms = || {
        results
            .subjects
            .iter()
            .flat_map(|subject| &subject.histograms)
    };
    let micros = histograms().flat_map(|histogram| {
        histogram
            .points
            .iter()
            .filter(|(percentile, _)| *percentile < 100.0)
            .map(|&(_, micros)| micros)
    });
    let Some(range) = curves::log_range(micros) else {
        return Vec::new();
    };
    let plot = |load: bool, title: &'static str| {
        let curves = curves(results, |histogram| histogram.load == load);
        let svg = Curves {
            title: title.to_owned(),
            range,
            curves,
        }
        .svg();
        let note = format!(
            "round trip of a UDP echo, lower is better{}{}",
            loads(results, load),
            unanswered(results, load)
        );
        histograms()
            .any(|histogram| histogram.load == load)
            .then_some(Plot {
                title,
                note,
                height: Curves::HEIGHT,
                svg,
            })
    };
    [(false, "Latency, idle"), (true, "Latency, under load")]
        .into_iter()
        .filter_map(|(load, title)| plot(load, title))
        .collect()
}

fn plot(
    results: &Results,
    classes: &[String],
    title: &'static str,
    lines: &[&Line],
) -> Option<Plot> {
    let metric = lines.first()?.metric;
    let block = |line: &&Line| {
        let subjects = results.subjects.iter().zip(classes).zip(&line.values);
        let bar = |((subject, class), &value): ((_, &String), _)| Bar {
            name: display_name(subject).to_owned(),
            class: class.clone(),
            value,
        };
        (heading(line.metric), subjects.map(bar).collect())
    };
    let bars = Bars {
        title: title.to_owned(),
        unit: metric.unit(),
        blocks: lines.iter().map(block).collect(),
    };
    let better = if metric.higher_is_better() {
        "higher"
    } else {
        "lower"
    };
    Some(Plot {
        title,
        note: format!("{}, {better} is better", unit(metric)),
        height: bars.height(),
        svg: bars.svg(),
    })
}

fn curves(results: &Results, wanted: impl Fn(&Histogram) -> bool) -> Vec<Curve> {
    let classes = classes(results);
    let subjects = results.subjects.iter().zip(classes);
    let curve = |(subject, class): (_, String)| {
        let subject: &crate::bench::model::Subject = subject;
        let histogram = subject
            .histograms
            .iter()
            .find(|histogram| wanted(histogram))?;
        Some(Curve {
            name: display_name(subject).to_owned(),
            class,
            points: histogram.points.clone(),
        })
    };
    subjects.filter_map(curve).collect()
}

/// The load of each subject.
fn loads(results: &Results, load: bool) -> String {
    let mut text = String::new();
    for subject in &results.subjects {
        let histograms = subject.histograms.iter().filter(|h| h.load == load);
        for load in histograms.filter_map(figures::load) {
            text.push_str(&format!("; {} beside {load}", display_name(subject)));
        }
    }
    text
}

/// The echoes that no curve shows, for they were never answered.
fn unanswered(results: &Results, load: bool) -> String {
    let mut text = String::new();
    for subject in &results.subjects {
        let histograms = subject.histograms.iter().filter(|h| h.load == load);
        for histogram in histograms.filter(|histogram| histogram.lost > 0) {
            text.push_str(&format!(
                "; {} of {} of {} never answered",
                packets(histogram.lost),
                packets(histogram.answered + histogram.lost),
                display_name(subject),
            ));
        }
    }
    text
}

fn title(metric: Metric) -> &'static str {
    match metric {
        Metric::Tcp { .. } => "TCP throughput",
        Metric::Udp { .. } => "UDP flood, packets received",
        Metric::UdpRate { .. } => "UDP flood, throughput",
        Metric::LossFree { .. } => "Loss-free rate",
        Metric::Latency { load: false, .. } => "Latency, idle",
        Metric::Latency { load: true, .. } => "Latency, under load",
        Metric::CpuPerGb => "CPU time for each GB",
        Metric::Rss => "Memory",
    }
}

/// The metric's heading among those of its plot; empty where it is the only one.
fn heading(metric: Metric) -> String {
    match metric {
        Metric::Tcp { streams: 1 } => "1 stream".to_owned(),
        Metric::Tcp { streams } => format!("{streams} streams"),
        Metric::Udp { octets } | Metric::UdpRate { octets } => format!("{octets} octets"),
        Metric::LossFree { octets } => octets.to_string(),
        Metric::Latency { percentile, .. } => percentile.to_string(),
        Metric::CpuPerGb | Metric::Rss => String::new(),
    }
}

fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::Tcp { .. } | Metric::UdpRate { .. } => "Gb/s received",
        Metric::Udp { .. } => "thousands of packets a second",
        Metric::LossFree { .. } => {
            "thousands of packets a second, the highest rate with at most 0.1 % lost"
        }
        Metric::Latency { .. } => "µs, round trip of a UDP echo",
        Metric::CpuPerGb => "CPU seconds of the tunnel's processes, one TCP stream",
        Metric::Rss => "MiB resident, both ends",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{figures, sample};

    #[test]
    fn metrics_of_one_kind_share_a_plot() {
        let results = sample::results(&[
            ("esp", Metric::Tcp { streams: 1 }, &[Some(1.0)]),
            ("esp", Metric::Tcp { streams: 4 }, &[Some(2.0)]),
            ("esp", Metric::Rss, &[Some(3.0)]),
        ]);
        let plots = bars(&results, &figures::lines(&results));
        let titles: Vec<&str> = plots.iter().map(|plot| plot.title).collect();
        assert_eq!(titles, ["TCP throughput", "Memory"]);
        assert!(plots[0].svg.contains(">1 stream<") && plots[0].svg.contains(">4 streams<"));
        assert!(plots[1].note.ends_with("lower is better"));
    }

    #[test]
    fn a_latency_is_drawn_once_as_a_curve_or_as_a_bar() {
        let mut results = sample::full();
        let titles = |plots: Vec<Plot>| plots.iter().map(|plot| plot.title).collect::<Vec<_>>();
        assert_eq!(
            titles(bars(&results, &figures::lines(&results))),
            ["TCP throughput"]
        );
        assert_eq!(
            titles(latency(&results)),
            ["Latency, idle", "Latency, under load"]
        );
        for subject in &mut results.subjects {
            subject.histograms.clear();
        }
        assert_eq!(
            titles(bars(&results, &figures::lines(&results))),
            ["TCP throughput", "Latency, under load"]
        );
        assert_eq!(titles(latency(&results)), [""; 0]);
    }

    #[test]
    fn the_bare_wire_has_a_colour_of_its_own() {
        let rss = |name| (name, Metric::Rss, &[][..]);
        let results = sample::results(&[rss("esp"), rss("none"), rss("relay")]);
        assert_eq!(classes(&results), ["s0", "wire", "s2"]);
    }
}
