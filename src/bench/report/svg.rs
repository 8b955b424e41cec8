//! Plots as SVG elements: bars with whiskers, and one bar of shares.
//!
//! Colours come from the page: `s0` to `s7` are subjects, `wire` is the bare one. Lengths are in the plot's own pixels.

use std::fmt::Write;

use super::{
    figures::{self, Spread, shortened},
    html::escaped,
};

/// Width of a plot.
pub(super) const WIDTH: f64 = 520.0;

/// Bars under headings, all on one scale from zero.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What the plot shows, for those who hear it.
    pub title: String,
    /// The unit of all values.
    pub unit: &'static str,
    /// Heading (empty for none) and its bars.
    pub blocks: Vec<(String, Vec<Bar>)>,
}

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it stands for.
    pub name: String,
    /// The colour.
    pub class: String,
    /// Its length and whisker; `None` shows a dash.
    pub value: Option<Spread>,
}

impl Bars {
    const LEFT: f64 = 128.0;
    const RIGHT: f64 = 74.0;
    const ROW: f64 = 21.0;
    const BAR: f64 = 13.0;
    const HEADING: f64 = 27.0;
    const TOP: f64 = 4.0;
    const AXIS: f64 = 22.0;

    /// How high the element is.
    #[must_use]
    pub fn height(&self) -> f64 {
        let block = |(heading, bars): &(String, Vec<Bar>)| {
            let heading = if heading.is_empty() {
                0.0
            } else {
                Self::HEADING
            };
            heading + bars.iter().map(|_| Self::ROW).sum::<f64>()
        };
        Self::TOP + self.blocks.iter().map(block).sum::<f64>() + Self::AXIS
    }

    /// The element.
    #[must_use]
    pub fn svg(&self) -> String {
        let spreads = || {
            self.blocks
                .iter()
                .flat_map(|(_, bars)| bars.iter().filter_map(|b| b.value))
        };
        let ticks = linear_ticks(spreads().map(|spread| spread.max).fold(0.0, f64::max));
        let end = ticks.last().copied().unwrap_or(1.0);
        let scale = |value: f64| Self::LEFT + value / end * (WIDTH - Self::LEFT - Self::RIGHT);
        let bottom = self.height() - Self::AXIS;
        let mut svg = open(&self.title, self.height());
        for &tick in &ticks {
            let x = scale(tick);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{:.1}" y2="{bottom:.1}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                Self::TOP,
                bottom + 15.0,
                tick_number(tick),
            );
        }
        let mut y = Self::TOP;
        for (heading, bars) in &self.blocks {
            if !heading.is_empty() {
                let _ = write!(
                    svg,
                    r#"<text class="heading" x="0" y="{:.1}">{}</text>"#,
                    y + 18.0,
                    escaped(heading)
                );
                y += Self::HEADING;
            }
            for bar in bars {
                self.bar(&mut svg, bar, y, &scale);
                y += Self::ROW;
            }
        }
        svg.push_str("</svg>");
        svg
    }

    fn bar(&self, svg: &mut String, bar: &Bar, y: f64, scale: &impl Fn(f64) -> f64) {
        let middle = y + Self::ROW / 2.0;
        let text = middle + 4.0;
        let name = shortened(&bar.name, 18);
        let left = Self::LEFT;
        let _ = write!(
            svg,
            r#"<text class="name" x="{:.1}" y="{text:.1}" text-anchor="end">{}</text>"#,
            left - 8.0,
            escaped(&name)
        );
        let Some(value) = bar.value else {
            let _ = write!(
                svg,
                r#"<text class="tick" x="{:.1}" y="{text:.1}">–</text>"#,
                left + 6.0
            );
            return;
        };
        let number = figures::number(value.median);
        let _ = write!(
            svg,
            r#"<g><title>{}: {number} {}, {}</title><path class="fill {}" d="{}"/>"#,
            escaped(&bar.name),
            self.unit,
            value.range(),
            bar.class,
            bar_path(
                left,
                middle - Self::BAR / 2.0,
                scale(value.median) - left,
                Self::BAR
            ),
        );
        let (low, high) = (scale(value.min), scale(value.max));
        if high - low >= 1.0 {
            let (top, bottom) = (middle - 3.5, middle + 3.5);
            let _ = write!(
                svg,
                r#"<path class="whisker" d="M{low:.1} {middle:.1}H{high:.1}M{low:.1} {top:.1}V{bottom:.1}M{high:.1} {top:.1}V{bottom:.1}"/>"#,
            );
        }
        let _ = write!(
            svg,
            r#"</g><text class="value" x="{:.1}" y="{text:.1}">{number}</text>"#,
            high + 7.0
        );
    }
}

/// One bar whose parts (class, packets) fill it in proportion.
#[must_use]
pub fn shares(title: &str, parts: &[(&str, u64)]) -> String {
    const HEIGHT: f64 = 14.0;
    let mut svg = open(title, HEIGHT);
    let total: f64 = parts.iter().map(|&(_, packets)| length(packets)).sum();
    let mut x = 0.0;
    for &(class, packets) in parts.iter().filter(|(_, packets)| *packets > 0) {
        let width = length(packets) / total * WIDTH;
        let shown = (width - 1.5).max(0.75);
        let _ = write!(
            svg,
            r#"<rect class="fill {class}" x="{x:.2}" y="0" width="{shown:.2}" height="{HEIGHT}" rx="2"/>"#
        );
        x += width;
    }
    svg.push_str("</svg>");
    svg
}

/// The beginning of an element of this height.
pub(super) fn open(title: &str, height: f64) -> String {
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{}">"#,
        escaped(title)
    )
}

/// A bar from `x` to the right, round at its far end.
fn bar_path(x: f64, y: f64, width: f64, height: f64) -> String {
    let width = width.max(1.0);
    let radius = 3f64.min(width);
    let straight = width - radius;
    format!(
        "M{x:.1} {y:.1}h{straight:.1}q{radius:.1} 0 {radius:.1} {radius:.1}v{:.1}q0 {radius:.1} -{radius:.1} {radius:.1}h-{straight:.1}z",
        height - 2.0 * radius,
    )
}

/// From zero to the first step that covers `max`, in steps of 1, 2 or 5 times a power of ten; three to six of them.
fn linear_ticks(max: f64) -> Vec<f64> {
    let max = if max > 0.0 { max } else { 1.0 };
    let decade = 10f64.powf((max / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let step = step
        .into_iter()
        .find(|step| max / step <= 5.0)
        .unwrap_or(max);
    let mut ticks = vec![0.0];
    let mut tick = 0.0;
    for number in 1..=6u8 {
        if tick >= max {
            break;
        }
        tick = f64::from(number) * step;
        ticks.push(tick);
    }
    ticks
}

/// A number without the noise of its last digits.
pub(super) fn tick_number(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    format!("{rounded}")
}

#[expect(clippy::cast_precision_loss, reason = "a length on a screen")]
fn length(packets: u64) -> f64 {
    packets as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(ticks: &[f64]) -> Vec<String> {
        ticks.iter().map(|&tick| tick_number(tick)).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_covers_the_largest_value() {
        assert_eq!(rounded(&linear_ticks(12.4)), ["0", "5", "10", "15"]);
        assert_eq!(
            rounded(&linear_ticks(0.46)),
            ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]
        );
        assert_eq!(
            rounded(&linear_ticks(1000.0)),
            ["0", "200", "400", "600", "800", "1000"]
        );
        assert_eq!(
            rounded(&linear_ticks(0.0)),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        for step in 1..2000u16 {
            let max = f64::from(step) * 0.037;
            let ticks = linear_ticks(max);
            assert!(ticks.last().unwrap() >= &max, "{max}: {ticks:?}");
            assert!((3..=7).contains(&ticks.len()), "{max}: {ticks:?}");
        }
    }

    #[test]
    fn a_bar_without_a_value_is_a_dash_and_one_round_has_no_whisker() {
        let bar = |value| Bar {
            name: "a".to_owned(),
            class: "s0".to_owned(),
            value,
        };
        let one = Spread::of([Some(3.0)]);
        let three = Spread::of([Some(3.0), Some(4.0), Some(5.0)]);
        let svg = |value| {
            let blocks = vec![(String::new(), vec![bar(value)])];
            Bars {
                title: String::new(),
                unit: "s",
                blocks,
            }
            .svg()
        };
        assert!(svg(None).contains(">–<") && !svg(None).contains("fill"));
        assert!(svg(one).contains(">3.00<") && !svg(one).contains("whisker"));
        assert!(svg(three).contains(">4.00<") && svg(three).contains("whisker"));
    }

    #[test]
    fn parts_of_nothing_are_not_drawn() {
        let svg = shares("", &[("good", 75), ("lost", 0), ("bad", 25)]);
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains(r#"x="390.00""#), "{svg}");
        assert_eq!(shares("", &[("good", 0)]).matches("<rect").count(), 0);
    }
}
