//! Times of the file: a whole number and a unit.

use std::time::Duration;

use super::scalar::{Fault, cut, quoted};

/// `5s`, `500ms`, `50us`, `1m`, `1h`
pub(super) fn time(text: &str, min: Duration, max: Duration) -> Result<Duration, Fault> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(digits_end).unwrap_or((text, ""));
    if digits.is_empty() {
        return Err(Fault::new(
            format!("{} is not a time", quoted(text)),
            "expected a number and a unit",
        )
        .help("write a whole number and us, ms, s, m or h: \"5s\", \"500ms\""));
    }
    let Some(unit_micros) = unit_micros(unit) else {
        return Err(unit_fault(text, digits, unit));
    };
    let value = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_micros));
    let shown = cut(text);
    match value.map(Duration::from_micros) {
        Some(value) if value < min => {
            let min = show_time(min);
            Err(Fault::new(
                format!("{shown} below minimum {min}"),
                format!("minimum {min}"),
            ))
        }
        Some(value) if value <= max => Ok(value),
        Some(_) | None => {
            let max = show_time(max);
            Err(Fault::new(
                format!("{shown} above maximum {max}"),
                format!("maximum {max}"),
            ))
        }
    }
}

fn unit_micros(unit: &str) -> Option<u64> {
    match unit {
        "us" => Some(1),
        "ms" => Some(1000),
        "s" => Some(1_000_000),
        "m" => Some(60_000_000),
        "h" => Some(3_600_000_000),
        _ => None,
    }
}

fn unit_fault(text: &str, digits: &str, unit: &str) -> Fault {
    let digits = cut(digits);
    if unit.is_empty() {
        return no_unit(&quoted(text), &digits);
    }
    let fault = Fault::new(
        format!("{} has an unknown unit", quoted(text)),
        "expected us, ms, s, m or h",
    );
    let unit = unit.trim().to_ascii_lowercase();
    let meant = match unit.as_str() {
        "us" | "µs" | "μs" | "usec" | "usecs" | "microsecond" | "microseconds" => "us",
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        _ => return fault.help("write a whole number and us, ms, s, m or h: \"5s\", \"500ms\""),
    };
    fault.help(format!("write \"{digits}{meant}\""))
}

/// The fault of a time that is a plain number.
pub(super) fn no_unit(shown: &str, digits: &str) -> Fault {
    Fault::new(
        format!("{shown} has no unit"),
        "expected a number and a unit",
    )
    .help(format!("write \"{digits}s\""))
}

/// A time in the largest unit that divides it.
pub(super) fn show_time(time: Duration) -> String {
    let micros = time.as_micros();
    if micros == 0 {
        return "0s".to_owned();
    }
    let units = [
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1000),
    ];
    for (unit, size) in units {
        if micros.is_multiple_of(size) {
            return format!("{}{unit}", micros / size);
        }
    }
    format!("{micros}us")
}
