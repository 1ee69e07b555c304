//! Numbers as they are read: grouped, with their unit.

/// 12 345, with thin spaces between the groups.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    grouped
}

/// Milliseconds in the unit one would say them in.
pub(crate) fn milliseconds(number: u64) -> String {
    match number {
        ..1000 => format!("{number} ms"),
        1000..60_000 => tenths(number, 1000, "s"),
        60_000..3_600_000 => tenths(number, 60_000, "min"),
        _ => tenths(number, 3_600_000, "h"),
    }
}

/// With one decimal, unless it is 0.
fn tenths(number: u64, of: u64, unit: &str) -> String {
    let tenths = (number * 10 + of / 2) / of;
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        decimal => format!("{}.{decimal} {unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1\u{2009}234\u{2009}567");
    }

    #[test]
    fn a_duration_has_a_unit_that_fits() {
        assert_eq!(milliseconds(0), "0 ms");
        assert_eq!(milliseconds(999), "999 ms");
        assert_eq!(milliseconds(1500), "1.5 s");
        assert_eq!(milliseconds(10_000), "10 s");
        assert_eq!(milliseconds(90_000), "1.5 min");
        assert_eq!(milliseconds(5_400_000), "1.5 h");
    }
}
