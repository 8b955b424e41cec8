//! Results on a terminal.

use std::io::{self, Write};

use super::{
    equation,
    figures::{self, Line, Spread, display_name, number, packets, ratio_number, shortened},
};
use crate::{
    bench::model::{Accounting, Histogram, Results, Subject},
    cli::table::{Align, Table},
};

/// Which columns a table has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spreads {
    All,
    First,
    None,
}

/// Prints a table of medians, spreads and ratios, the lost echoes, where the packets went, and the headline.
///
/// With `columns`, the terminal's width, spreads are left out as far as they do not fit.
///
/// # Errors
/// Those of `out`.
pub fn print(results: &Results, columns: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
    let lines = figures::lines(results);
    let mut text = Vec::new();
    for spreads in [Spreads::All, Spreads::First, Spreads::None] {
        text.clear();
        table(results, &lines, spreads).print(1, &mut text)?;
        if columns.is_none_or(|columns| width(&text) <= columns) {
            break;
        }
    }
    out.write_all(&text)?;
    for subject in &results.subjects {
        if let Some(error) = &subject.error {
            writeln!(out, "\n {}: {}", shown(display_name(subject)), shown(error))?;
        }
    }
    echoes(results, out)?;
    accounting(results, out)?;
    if let Some(ended) = &results.ended {
        writeln!(out, "\n {}", shown(ended))?;
    }
    let Results {
        machine, settings, ..
    } = results;
    writeln!(
        out,
        "\n {} CPUs ({}), Linux {}, MTU {}, UDP GSO {}, TCP by {}; median of {}",
        machine.cpus,
        shown(&machine.cpu),
        shown(&machine.kernel),
        settings.mtu,
        if settings.udp_gso { "on" } else { "off" },
        shown(settings.congestion_control.as_deref().unwrap_or("unknown")),
        figures::rounds(results),
    )?;
    writeln!(out, " {}", shown(&figures::headline(results)))
}

fn table(results: &Results, lines: &[Line], spreads: Spreads) -> Table {
    let with_spread = |index: usize| {
        let measured = lines
            .iter()
            .filter_map(|line| line.values.get(index).copied().flatten());
        (spreads == Spreads::All || spreads == Spreads::First && index == 0)
            && measured.into_iter().any(|spread| !spread.is_point())
    };
    let names: Vec<String> = results
        .subjects
        .iter()
        .map(|subject| shown(&shortened(display_name(subject), 16)))
        .collect();
    let against: Vec<String> = names
        .iter()
        .skip(1)
        .map(|name| format!("/ {name}"))
        .collect();
    let mut heading = vec![("", Align::Left), ("", Align::Left)];
    for (index, name) in names.iter().enumerate() {
        heading.push((name, Align::Right));
        if with_spread(index) {
            heading.push(("", Align::Left));
        }
    }
    heading.extend(against.iter().map(|name| (name.as_str(), Align::Right)));
    let mut table = Table::new(&heading);
    for line in lines {
        let mut cells = vec![line.metric.label(), line.metric.unit().to_owned()];
        for (index, value) in line.values.iter().enumerate() {
            cells.push(cell(*value, number));
            if with_spread(index) {
                cells.push(value.map(|value| value.range()).unwrap_or_default());
            }
        }
        cells.extend(
            line.ratios
                .iter()
                .skip(1)
                .map(|ratio| cell(*ratio, ratio_number)),
        );
        table.row(cells);
    }
    table
}

fn echoes(results: &Results, out: &mut dyn Write) -> io::Result<()> {
    let all = || {
        let subjects = results.subjects.iter();
        subjects.flat_map(|subject| subject.histograms.iter().map(move |times| (subject, times)))
    };
    if all().next().is_none() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left), ("", Align::Left)]);
    for (subject, times) in all() {
        let asked = times.answered + times.lost;
        table.row([
            shown(display_name(subject)),
            condition(times),
            format!("{} of {} echoes lost", packets(times.lost), packets(asked)),
        ]);
    }
    table.print(1, out)
}

fn condition(times: &Histogram) -> String {
    match figures::load(times) {
        Some(load) => format!("beside {load}"),
        None if times.load => "under load".to_owned(),
        None => "idle".to_owned(),
    }
}

fn accounting(results: &Results, out: &mut dyn Write) -> io::Result<()> {
    let accounted: Vec<(&Subject, &Accounting)> = (results.subjects.iter())
        .filter_map(|subject| Some((subject, subject.accounting.as_ref()?)))
        .collect();
    if accounted.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    for (subject, accounting) in accounted {
        table.row([
            shown(display_name(subject)),
            shown(&equation::line(accounting)),
        ]);
    }
    table.print(1, out)
}

fn cell(value: Option<Spread>, number: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), |value| number(value.median))
}

fn width(text: &[u8]) -> usize {
    String::from_utf8_lossy(text)
        .lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
}

/// A terminal gets no control sequence out of a name.
fn shown(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{model::Metric, report::sample};

    const TCP: Metric = Metric::Tcp { streams: 1 };

    fn printed(results: &Results, columns: Option<usize>) -> String {
        let mut out = Vec::new();
        print(results, columns, &mut out).unwrap();
        String::from_utf8(out).unwrap().replace('\u{202f}', " ")
    }

    #[test]
    fn medians_stand_with_their_spread_and_ratios_behind_them() {
        let text = printed(&sample::full(), None);
        let line = text.lines().find(|line| line.contains("TCP")).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "TCP,",
                "one",
                "stream",
                "Gb/s",
                "12.1",
                "12.0–12.4",
                "11.5",
                "11.0–11.6",
                "1.07"
            ]
        );
        assert!(
            text.ends_with(" adit esp-udp: 12.1 Gb/s, 1.07 × relay\n"),
            "{text}"
        );
    }

    #[test]
    fn a_narrow_terminal_loses_the_spreads_of_the_baselines_first() {
        let wide = table_width(&printed(&sample::full(), None));
        let narrower = printed(&sample::full(), Some(wide - 1));
        assert!(
            narrower.contains("12.0–12.4") && !narrower.contains("11.0–11.6"),
            "{narrower}"
        );
        let narrowest = printed(&sample::full(), Some(table_width(&narrower) - 1));
        assert!(
            !narrowest.contains("12.0–12.4") && narrowest.contains("1.07"),
            "{narrowest}"
        );
    }

    fn table_width(text: &str) -> usize {
        width(text.split("\n\n").next().unwrap().as_bytes())
    }

    #[test]
    fn lost_echoes_are_counted_and_the_load_beside_them_is_told() {
        let mut results = sample::full();
        results.subjects[0].histograms[1].lost = 3;
        let text = printed(&results, None);
        let lines: Vec<String> = text
            .lines()
            .filter(|line| line.contains("echoes"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let wanted = [
            "esp-udp idle 0 of 1 500 echoes lost",
            "esp-udp beside 13.4 kpps of 1400 octets 3 of 1 503 echoes lost",
            "relay idle 0 of 1 500 echoes lost",
            "relay beside 13.4 kpps of 1400 octets 0 of 1 500 echoes lost",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn a_table_of_rounds_that_did_not_end_says_so() {
        let mut results = sample::full();
        results.ended = Some("SIGINT: the bench was interrupted".to_owned());
        let text = printed(&results, None);
        assert!(
            text.contains("\n SIGINT: the bench was interrupted\n"),
            "{text}"
        );
        assert!(text.contains("median of at most 3 rounds"), "{text}");
    }

    #[test]
    fn a_single_round_has_no_column_of_spreads() {
        let text = printed(&sample::results(&[("esp", TCP, &[Some(12.0)])]), None);
        assert!(text.lines().nth(1).unwrap().ends_with("12.0"), "{text}");
    }

    #[test]
    fn what_could_not_be_measured_is_a_dash_and_its_error_is_told() {
        let mut results = sample::results(&[("esp", TCP, &[Some(1.0)]), ("relay", TCP, &[None])]);
        results.subjects[1].error = Some("exited with 1\u{1b}[31m".to_owned());
        let text = printed(&results, None);
        let line = text.lines().find(|line| line.contains("TCP")).unwrap();
        assert!(
            line.split_whitespace().skip(4).eq(["1.00", "–", "–"]),
            "{line}"
        );
        assert!(text.contains("relay: exited with 1 [31m"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
