//! Numbers with units, as people read them.

use std::time::Duration;

/// A time to about three digits: `850 µs`, `4.01 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let micros = time.as_micros();
    let seconds = time.as_secs();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", digits(time.as_secs_f64() * 1e3)),
        1_000_000..60_000_000 => format!("{} s", digits(time.as_secs_f64())),
        60_000_000..3_600_000_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600_000_000..86_400_000_000 => {
            format!("{} h {} min", seconds / 3600, seconds % 3600 / 60)
        }
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// The same for milliseconds.
#[must_use]
pub fn millis(time: u64) -> String {
    duration(Duration::from_millis(time))
}

/// The same for microseconds.
#[must_use]
pub fn micros(time: u64) -> String {
    duration(Duration::from_micros(time))
}

/// A number of octets with a decimal prefix: `512 B`, `3.40 kB`, `12.0 GB`.
#[must_use]
pub fn octets(number: u64) -> String {
    prefixed(number, "B")
}

/// A rate with a decimal prefix: `940 Mb/s`, `12.3 Gb/s`.
#[must_use]
pub fn bit_rate(octets: u64, time: Duration) -> String {
    let bits = u128::from(octets) * 8 * 1_000_000 / time.as_micros().max(1);
    prefixed(u64::try_from(bits).unwrap_or(u64::MAX), "b/s")
}

/// `one` or `many` behind the number: `1 packet`, `2 packets`.
#[must_use]
pub fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

fn prefixed(number: u64, unit: &str) -> String {
    const PREFIXES: [(u64, &str); 4] = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    PREFIXES
        .iter()
        .find(|(size, _)| number >= *size)
        .map_or_else(
            || format!("{number} {unit}"),
            |(size, prefix)| format!("{} {prefix}{unit}", digits(number as f64 / *size as f64)),
        )
}

/// Three digits of a number from 1 to 999.
fn digits(number: f64) -> String {
    let decimals = match number {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_about_three_digits_at_every_size() {
        for (time, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.00 ms"),
            (4_010_000, "4.01 s"),
            (59_900_000, "59.9 s"),
            (192_000_000, "3 min 12 s"),
            (7_500_000_000, "2 h 5 min"),
            (273_600_000_000, "3 d 4 h"),
        ] {
            assert_eq!(micros(time), text);
        }
    }

    #[test]
    fn octets_and_rates_take_decimal_prefixes() {
        assert_eq!(octets(999), "999 B");
        assert_eq!(octets(3_400), "3.40 kB");
        assert_eq!(octets(12_000_000_000), "12.0 GB");
        assert_eq!(bit_rate(117_500_000, Duration::from_secs(1)), "940 Mb/s");
        assert_eq!(bit_rate(0, Duration::ZERO), "0 b/s");
    }

    #[test]
    fn one_of_a_kind_has_no_plural() {
        assert_eq!(count(1, "packet"), "1 packet");
        assert_eq!(count(0, "packet"), "0 packets");
    }
}
