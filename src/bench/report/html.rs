//! Results as one page that needs nothing but itself: no script, no network, light and dark, printable.

use std::{fmt::Write, time::Duration};

use super::{
    equation::{self, Place},
    figures::{self, Line, Spread, Verdict, display_name, number, packets, ratio_number},
    plots::{self, Plot},
    svg,
};
use crate::{
    bench::model::{Accounting, Metric, Percentile, Results, Size, Subject},
    cli::units,
};

/// About the height of the words above a plot and of the space around it.
const WORDS: f64 = 90.0;
const STYLE: &str = include_str!("page.css");

/// The page.
#[must_use]
pub fn page(results: &Results) -> String {
    let lines = figures::lines(results);
    let headline = escaped(&figures::headline(results));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{headline}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <style>\n{STYLE}</style></head>\n<body>\n<header><h1>{headline}</h1>\n",
    );
    introduction(&mut page, results);
    page.push_str("</header>\n");
    tiles(&mut page, results, &lines);
    section(
        &mut page,
        "Throughput and cost",
        "Bars are medians, whiskers go from the lowest round to the highest.",
        plots::bars(results, &lines),
    );
    section(
        &mut page,
        "Latency",
        "What share of the round trips stayed within which time; to the right are the slowest.",
        plots::latency(results),
    );
    accounting(&mut page, results);
    table(&mut page, results, &lines);
    method(&mut page, results);
    page.push_str("</body></html>\n");
    page
}

/// Text as it may stand in an element or between quotes.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

fn introduction(page: &mut String, results: &Results) {
    let what = figures::headline_metric(results).map(|metric| format!("{}: ", metric.label()));
    let _ = writeln!(
        page,
        "<p class=\"deck\">{}median of {}, both ends, the generators and the wire on {} CPUs. Compare inside this page, not with other machines.</p>",
        escaped(&what.unwrap_or_default()),
        figures::rounds(results),
        results.machine.cpus,
    );
    page.push_str("<ul class=\"legend\">");
    for ((index, subject), class) in results
        .subjects
        .iter()
        .enumerate()
        .zip(plots::classes(results))
    {
        let role = match (index, subject.name.as_str()) {
            (0, _) => "",
            (_, "none") => " <small>no tunnel</small>",
            _ => " <small>baseline</small>",
        };
        let _ = write!(
            page,
            "<li><span class=\"swatch {class}\"></span>{}{role}</li>",
            escaped(display_name(subject))
        );
    }
    page.push_str("</ul>\n");
    if let Some(ended) = &results.ended {
        let _ = writeln!(page, "<p class=\"error\">{}</p>", escaped(ended));
    }
    for subject in &results.subjects {
        if let Some(error) = &subject.error {
            let _ = writeln!(
                page,
                "<p class=\"error\"><b>{}</b>: {}</p>",
                escaped(display_name(subject)),
                escaped(error)
            );
        }
    }
}

fn tiles(page: &mut String, results: &Results, lines: &[Line]) {
    page.push_str("<section class=\"tiles\">\n");
    for line in telling(lines) {
        let metric = line.metric;
        let Some(value) = line.values.first().copied().flatten() else {
            continue;
        };
        let _ = write!(
            page,
            "<div class=\"tile\"><div class=\"much\">{} <small>{}</small></div><div class=\"what\">{}</div>",
            number(value.median),
            metric.unit(),
            escaped(&metric.label()),
        );
        for (subject, ratio) in results.subjects.iter().zip(&line.ratios) {
            if let Some(ratio) = ratio {
                let name = escaped(display_name(subject));
                let _ = write!(
                    page,
                    "<div class=\"than\">{} × {name}</div>",
                    judged(subject, ratio, metric)
                );
            }
        }
        page.push_str("</div>\n");
    }
    page.push_str("</section>\n");
}

/// At most six lines that tell most: TCP, a loss-free rate, the tail under load, what it costs.
fn telling(lines: &[Line]) -> Vec<&Line> {
    let latency = |load| Metric::Latency {
        load,
        percentile: Percentile::P99,
    };
    let first = |wanted: &[Metric]| {
        let found = |metric: &Metric| lines.iter().find(|line| line.metric == *metric);
        wanted.iter().find_map(found)
    };
    let tcp = |line: &&Line| matches!(line.metric, Metric::Tcp { .. });
    let rate = |line: &&Line| matches!(line.metric, Metric::LossFree { .. } | Metric::Udp { .. });
    let imix = Metric::LossFree { octets: Size::Imix };
    let mut telling: Vec<&Line> = lines.iter().filter(tcp).take(2).collect();
    telling.extend(first(&[imix]).or_else(|| lines.iter().rfind(rate)));
    telling.extend(first(&[latency(true), latency(false)]));
    telling.extend(first(&[Metric::CpuPerGb]));
    telling.extend(first(&[Metric::Rss]));
    telling
}

/// A ratio in the colour and with the arrow of its verdict; nothing is expected to be ahead of the bare wire.
fn judged(subject: &Subject, ratio: &Spread, metric: Metric) -> String {
    let number = ratio_number(ratio.median);
    let (class, sign) = match ratio.verdict(metric) {
        _ if subject.name == "none" => return format!("<span class=\"even\">{number}</span>"),
        Verdict::Better => ("better", "✓"),
        Verdict::Worse => ("worse", "✗"),
        Verdict::Even => ("even", "≈"),
    };
    format!("<span class=\"{class}\">{sign} {number}</span>")
}

/// Two columns of plots: each goes where more space is left.
fn section(page: &mut String, title: &str, note: &str, plots: Vec<Plot>) {
    if plots.is_empty() {
        return;
    }
    let _ = writeln!(
        page,
        "<section><h2>{title}</h2><p class=\"note\">{note}</p><div class=\"cards\">"
    );
    let mut columns = [(0.0, String::new()), (0.0, String::new())];
    for plot in plots {
        let [left, right] = &mut columns;
        let (height, column) = if left.0 <= right.0 { left } else { right };
        *height += plot.height + WORDS;
        let _ = writeln!(
            column,
            "<figure class=\"card\"><h3>{}</h3><p class=\"note\">{}</p>{}</figure>",
            plot.title,
            escaped(&plot.note),
            plot.svg,
        );
    }
    for (_, column) in columns {
        let _ = writeln!(page, "<div>{column}</div>");
    }
    page.push_str("</div></section>\n");
}

fn accounting(page: &mut String, results: &Results) {
    if results
        .subjects
        .iter()
        .all(|subject| subject.accounting.is_none())
    {
        return;
    }
    page.push_str(
        "<section><h2>Where every packet went</h2><p class=\"note\">UDP floods, counted on both sides: \
         sent = received + drops by reason + TUN tx_dropped + socket overflow + unexplained.</p>\n",
    );
    for subject in &results.subjects {
        if let Some(accounting) = &subject.accounting {
            let name = escaped(display_name(subject));
            let _ = write!(page, "<div class=\"card stacked\"><h3>{name}</h3>");
            equation(page, &name, accounting);
            page.push_str("</div>\n");
        }
    }
    page.push_str("</section>\n");
}

fn equation(page: &mut String, name: &str, accounting: &Accounting) {
    let _ = write!(
        page,
        "<p class=\"terms\"><span><b>{}</b> sent</span>",
        packets(accounting.sent)
    );
    let mut parts = Vec::new();
    for term in equation::terms(accounting) {
        let class = match term.place {
            Place::Received => "received",
            Place::Adit => "drop",
            Place::Tun => "tun",
            Place::Socket => "socket",
            Place::Unexplained => "unexplained",
        };
        let _ = write!(
            page,
            "<span>{} <span class=\"swatch {class}\"></span><b>{}</b> {}</span>",
            term.sign(),
            packets(term.packets),
            escaped(term.name),
        );
        if !term.is_negative {
            parts.push((class, term.packets));
        }
    }
    let title = format!("packets of {name}");
    let _ = write!(page, "</p>{}", svg::shares(&title, &parts));
}

fn table(page: &mut String, results: &Results, lines: &[Line]) {
    page.push_str(
        "<section><h2>All figures</h2><p class=\"note\">Median, and below it the lowest and the highest round. \
         A ratio is taken inside each round: ✓ ahead in every round, ✗ behind in every round, ≈ neither.</p>\
         <div class=\"card scroll\"><table><thead><tr><th></th><th></th>",
    );
    for subject in &results.subjects {
        let _ = write!(
            page,
            "<th scope=\"col\">{}</th>",
            escaped(display_name(subject))
        );
    }
    for subject in results.subjects.iter().skip(1) {
        let _ = write!(
            page,
            "<th scope=\"col\">/ {}</th>",
            escaped(display_name(subject))
        );
    }
    page.push_str("</tr></thead><tbody>\n");
    for line in lines {
        let metric = line.metric;
        let _ = write!(
            page,
            "<tr><th scope=\"row\">{}</th><td>{}</td>",
            escaped(&metric.label()),
            metric.unit()
        );
        for value in &line.values {
            cell(page, *value, |value| (number(value.median), value.range()));
        }
        for (subject, ratio) in results.subjects.iter().zip(&line.ratios).skip(1) {
            cell(page, *ratio, |ratio| {
                (judged(subject, ratio, metric), ratio.range())
            });
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div></section>\n");
}

fn cell(page: &mut String, value: Option<Spread>, shown: impl Fn(&Spread) -> (String, String)) {
    let Some(value) = value else {
        page.push_str("<td>–</td>");
        return;
    };
    let (median, range) = shown(&value);
    let range = if value.is_point() {
        String::new()
    } else {
        format!("<small>{range}</small>")
    };
    let _ = write!(page, "<td>{median}{range}</td>");
}

fn method(page: &mut String, results: &Results) {
    let Results {
        machine, settings, ..
    } = results;
    let took = Duration::try_from_secs_f64(results.took_seconds).unwrap_or_default();
    let rows = [
        ("Machine", format!("{} × {}", machine.cpus, machine.cpu)),
        ("Kernel", format!("Linux {}", machine.kernel)),
        (
            "adit",
            format!(
                "{}, workers of each end: {}",
                machine.adit, settings.workers
            ),
        ),
        (
            "Rounds",
            format!(
                "{} of {} s a measurement, interleaved; {} in all",
                settings.rounds,
                settings.seconds,
                units::duration(took)
            ),
        ),
        (
            "Wire",
            format!(
                "veth, MTU {}, UDP segmentation {}, TCP by {}",
                settings.mtu,
                if settings.udp_gso {
                    "by the device"
                } else {
                    "off"
                },
                settings.congestion_control.as_deref().unwrap_or("unknown")
            ),
        ),
    ];
    let _ = write!(
        page,
        "<section><h2>How to repeat it</h2><pre>{}</pre><dl>",
        escaped(&settings.command)
    );
    for (name, value) in rows {
        let _ = write!(page, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
    }
    page.push_str("</dl></section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;

    const TCP: Metric = Metric::Tcp { streams: 1 };

    #[test]
    fn names_commands_and_errors_cannot_leave_their_element() {
        let mut results = sample::full();
        let hostile = "</style><script>alert('1')</script>\"&\u{1b}";
        for subject in &mut results.subjects {
            subject.name = hostile.to_owned();
            subject.error = Some(hostile.to_owned());
        }
        results.settings.command = hostile.to_owned();
        results.machine.cpu = hostile.to_owned();
        let page = page(&results);
        assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains("('1')"));
        assert_eq!(page.matches("</style>").count(), 1);
        assert_eq!(
            escaped("<a b='c' d=\"e\">&"),
            "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;"
        );
    }

    #[test]
    fn a_page_fetches_nothing() {
        let page = page(&sample::full());
        for word in [
            "<script", "http://", "https://", "src=", "href=", "url(", "@import",
        ] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn every_element_that_is_opened_is_closed() {
        let page = page(&sample::full());
        for name in [
            "section", "div", "figure", "svg", "g", "span", "table", "tr", "td", "ul", "li", "p",
        ] {
            let opened = page.matches(&format!("<{name}>")).count()
                + page.matches(&format!("<{name} ")).count();
            assert!(opened > 0, "{name}");
            assert_eq!(
                opened,
                page.matches(&format!("</{name}>")).count(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_page_begins_with_the_headline_and_ends_with_the_command() {
        let page = page(&sample::full());
        assert!(page.contains("<h1>adit esp-udp: 12.1 Gb/s, 1.07 × relay</h1>"));
        assert!(page.contains("<pre>adit bench --mode esp-udp</pre>"));
        assert!(page.contains("<dd>2 × Some CPU</dd>"));
    }

    #[test]
    fn a_ratio_has_the_sign_of_its_verdict_but_none_against_the_wire() {
        let page = |other| {
            page(&sample::results(&[
                ("esp", TCP, &[Some(6.0), Some(6.0)]),
                (other, TCP, &[Some(12.0), Some(12.1)]),
            ]))
        };
        assert!(page("relay").contains("<span class=\"worse\">✗ 0.50</span>"));
        assert!(page("none").contains("<span class=\"even\">0.50</span>"));
    }

    #[test]
    fn sections_without_results_are_left_out() {
        let page = page(&sample::results(&[("esp", TCP, &[None])]));
        assert!(page.contains("adit esp: not measured"));
        assert!(!page.contains("Where every packet went") && !page.contains("<h2>Latency"));
        assert!(self::page(&sample::results(&[])).contains("nothing was measured"));
    }

    #[test]
    fn each_packet_is_on_the_page_with_its_reason() {
        let page = page(&sample::full());
        for term in [
            "899\u{202f}000</b> received",
            "<b>1\u{202f}000</b> tun_full",
            "<b>10</b> unexplained",
        ] {
            assert!(page.contains(term), "{term}");
        }
        assert!(!page.contains("bad_icv"));
    }
}
