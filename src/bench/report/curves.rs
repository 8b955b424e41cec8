//! Curves over percentiles as SVG elements, in the colours and the size of svg.rs.

use std::fmt::Write;

use super::{
    figures::{Spread, shortened},
    html::escaped,
    svg::{WIDTH, open, tick_number},
};

/// Curves over the percentiles, which are spread by nines: 90, 99, 99.9 % are equally far apart.
#[derive(Clone, Debug)]
pub struct Curves {
    /// What the plot shows, for those who hear it.
    pub title: String,
    /// Ends of the vertical axis, in µs, both positive.
    pub range: (f64, f64),
    /// The curves.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What it stands for.
    pub name: String,
    /// The colour.
    pub class: String,
    /// Percentile (0 to 100) and µs; the hundredth has infinitely many nines and is not drawn.
    pub points: Vec<(f64, f64)>,
}

impl Curves {
    const LEFT: f64 = 54.0;
    const RIGHT: f64 = 104.0;
    const TOP: f64 = 10.0;
    const BOTTOM: f64 = 256.0;

    /// How high the element is.
    pub const HEIGHT: f64 = 282.0;

    /// The element.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut svg = open(&self.title, Self::HEIGHT);
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let nines = points()
            .map(|&(p, _)| nines(p))
            .filter(|n| n.is_finite())
            .fold(2.0, f64::max);
        let x = |percentile: f64| {
            Self::LEFT + self::nines(percentile) / nines * (WIDTH - Self::LEFT - Self::RIGHT)
        };
        let (low, high) = (self.range.0.log10(), self.range.1.log10());
        let y = |micros: f64| {
            let share = (micros.log10() - low) / (high - low).max(1e-9);
            Self::BOTTOM - share.clamp(0.0, 1.0) * (Self::BOTTOM - Self::TOP)
        };
        self.grid(&mut svg, nines, &x, &y);
        let mut ends = Vec::new();
        for curve in &self.curves {
            let places: Vec<(f64, f64)> = (curve.points.iter())
                .filter(|(p, micros)| {
                    self::nines(*p).is_finite() && *micros > 0.0 && micros.is_finite()
                })
                .map(|&(p, micros)| (x(p), y(micros)))
                .collect();
            let line: Vec<String> = places
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let _ = write!(
                svg,
                r#"<g><title>{}</title><polyline class="line {}" points="{}"/></g>"#,
                escaped(&curve.name),
                curve.class,
                line.join(" "),
            );
            ends.extend(places.last().map(|&end| (end, curve)));
        }
        labels(&mut svg, ends);
        svg.push_str("</svg>");
        svg
    }

    fn grid(&self, svg: &mut String, nines: f64, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) {
        const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];
        let (top, bottom) = (Self::TOP, Self::BOTTOM);
        for percentile in PERCENTILES
            .into_iter()
            .filter(|&p| self::nines(p) <= nines + 1e-9)
        {
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{0:.1}" x2="{0:.1}" y1="{top:.1}" y2="{bottom:.1}"/><text class="tick" x="{0:.1}" y="{1:.1}" text-anchor="middle">{percentile} %</text>"#,
                x(percentile),
                bottom + 18.0,
            );
        }
        let right = WIDTH - Self::RIGHT;
        for micros in log_ticks(self.range) {
            let at = y(micros);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{:.1}" x2="{right:.1}" y1="{at:.1}" y2="{at:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                Self::LEFT,
                Self::LEFT - 7.0,
                at + 4.0,
                time(micros),
            );
        }
    }
}

/// The powers of ten, and 2 and 5 times these, around values in µs; `None` without a positive one.
#[must_use]
pub fn log_range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let spread = Spread::of(values.into_iter().map(|v| (v > 0.0).then_some(v)))?;
    let floor = |value: f64| {
        let decade = 10f64.powf(value.log10().floor());
        let step = [5.0, 2.0].into_iter().find(|step| step * decade <= value);
        step.unwrap_or(1.0) * decade
    };
    let low = floor(spread.min);
    let high = floor(spread.max);
    Some((
        low,
        if high < spread.max || high <= low {
            next_step(high)
        } else {
            high
        },
    ))
}

/// Names at the ends of curves, moved apart where they would lie on each other.
fn labels(svg: &mut String, mut ends: Vec<((f64, f64), &Curve)>) {
    const APART: f64 = 14.0;
    ends.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    let mut above = f64::NEG_INFINITY;
    let mut places = Vec::new();
    for ((x, y), curve) in ends {
        above = y.max(above + APART);
        places.push((x, above, curve));
    }
    let mut below = Curves::BOTTOM + APART;
    for (x, y, curve) in places.into_iter().rev() {
        let y = y.min(below - APART);
        below = y;
        let _ = write!(
            svg,
            r#"<circle class="fill {0}" cx="{1:.1}" cy="{2:.1}" r="3.5"/><text class="name" x="{3:.1}" y="{4:.1}">{5}</text>"#,
            curve.class,
            x + 9.0,
            y,
            x + 16.0,
            y + 4.0,
            escaped(&shortened(&curve.name, 13)),
        );
    }
}

fn log_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let decades_only = high / low > 2_000.0;
    let mut ticks = Vec::new();
    let mut tick = low;
    while tick <= high * 1.001 && ticks.len() < 40 {
        ticks.push(tick);
        tick = next_step(tick);
    }
    let is_decade = |tick: &f64| (tick.log10() - tick.log10().round()).abs() < 1e-6;
    if decades_only {
        ticks.retain(is_decade);
    }
    ticks
}

/// 1 → 2 → 5 → 10 times a power of ten.
fn next_step(tick: f64) -> f64 {
    let decade = 10f64.powf((tick * 1.001).log10().floor());
    let digit = tick / decade;
    decade
        * if digit < 1.5 {
            2.0
        } else if digit < 3.5 {
            5.0
        } else {
            10.0
        }
}

/// How many nines a percentile has: 90 → 1, 99.9 → 3, 100 → infinitely many.
fn nines(percentile: f64) -> f64 {
    -((1.0 - percentile.clamp(0.0, 100.0) / 100.0).log10())
}

fn time(micros: f64) -> String {
    match micros {
        ..999.0 => format!("{} µs", tick_number(micros)),
        ..999_000.0 => format!("{} ms", tick_number(micros / 1e3)),
        _ => format!("{} s", tick_number(micros / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(ticks: &[f64]) -> Vec<String> {
        ticks.iter().map(|&tick| tick_number(tick)).collect()
    }

    #[test]
    fn a_logarithmic_axis_ends_on_steps_around_its_values() {
        assert_eq!(log_range([55.0, 1080.0]), Some((50.0, 2000.0)));
        assert_eq!(log_range([100.0]), Some((100.0, 200.0)));
        assert_eq!(log_range([7.0, 0.0, f64::NAN]), Some((5.0, 10.0)));
        assert_eq!(log_range([0.0]), None);
        assert_eq!(
            rounded(&log_ticks((50.0, 2000.0))),
            ["50", "100", "200", "500", "1000", "2000"]
        );
        assert_eq!(
            rounded(&log_ticks((5.0, 50_000.0))),
            ["10", "100", "1000", "10000"]
        );
    }

    #[test]
    fn percentiles_are_spread_by_nines() {
        for (percentile, expected) in [(0.0, 0.0), (90.0, 1.0), (99.0, 2.0), (99.99, 4.0)] {
            assert!((nines(percentile) - expected).abs() < 1e-9);
        }
        assert!(nines(100.0).is_infinite());
    }

    #[test]
    fn the_hundredth_percentile_is_not_drawn() {
        let curve = |points| Curve {
            name: "a".to_owned(),
            class: "s0".to_owned(),
            points,
        };
        let svg = Curves {
            title: String::new(),
            range: (10.0, 1000.0),
            curves: vec![
                curve(vec![(0.0, 10.0), (99.0, 100.0), (100.0, 1000.0)]),
                curve(Vec::new()),
            ],
        }
        .svg();
        assert!(svg.contains(r#"points="54.0,256.0 416.0,133.0""#), "{svg}");
        assert!(!svg.contains("inf") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn labels_of_curves_that_end_together_stand_apart() {
        let curve = Curve {
            name: "a".to_owned(),
            class: "s0".to_owned(),
            points: Vec::new(),
        };
        let mut svg = String::new();
        labels(
            &mut svg,
            vec![((400.0, 250.0), &curve), ((400.0, 252.0), &curve)],
        );
        assert!(
            svg.contains(r#"cy="256.0""#) && svg.contains(r#"cy="242.0""#),
            "{svg}"
        );
    }
}
