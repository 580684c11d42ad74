//! Numbers as people read them: as many digits as the standard error warrants.

/// Decimals that show two digits of a standard error; four where there is none to go by.
pub(crate) fn decimals(stderr: f64) -> usize {
    if is_known(stderr) { (1.0 - stderr.log10().floor()).clamp(0.0, 8.0) as usize } else { 4 }
}

/// A value and its standard error; empty where there is no value.
pub(crate) fn with_error(value: f64, stderr: f64) -> String {
    let decimals = decimals(stderr);
    match (value.is_finite(), is_known(stderr)) {
        (false, _) => String::new(),
        (true, false) => format!("{value:.decimals$}"),
        (true, true) => format!("{value:.decimals$} ± {stderr:.decimals$}"),
    }
}

/// A difference, with its sign; empty where there is none.
pub(crate) fn difference(delta: f64, stderr: f64) -> String {
    let decimals = decimals(stderr);
    if delta.is_finite() { format!("{delta:+.decimals$}") } else { String::new() }
}

/// The interval of a difference, as precise as the difference itself.
pub(crate) fn interval([low, high]: [f64; 2], stderr: f64) -> String {
    if !(low.is_finite() && high.is_finite()) {
        return String::new();
    }
    let decimals = decimals(stderr);
    format!("[{low:+.decimals$}, {high:+.decimals$}]")
}

/// A p-value: small ones are not told apart, resampling could not.
pub(crate) fn p_value(p: f64) -> String {
    match p {
        p if !p.is_finite() => String::new(),
        p if p < 0.001 => "<0.001".to_owned(),
        p if p < 0.1 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}

/// A share of a whole, with its interval where there is one.
pub(crate) fn share(share: f64, interval: Option<[f64; 2]>) -> (String, String) {
    let percent = |share: f64, decimals: usize| format!("{:.decimals$}%", 100.0 * share);
    match interval {
        Some([low, high]) => {
            // Of an interval that is no wider than a few percent, tenths are known.
            let decimals = usize::from(high - low < 0.05);
            (percent(share, decimals), format!("[{}, {}]", percent(low, decimals), percent(high, decimals)))
        }
        None => (percent(share, 0), String::new()),
    }
}

/// A count, its digits in groups of three.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count in three digits: `12.7k`, `1.20M`, `482B`.
pub(crate) fn magnitude(count: u64) -> String {
    let units = [("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)];
    let value = count as f64;
    let Some((unit, size)) = units.into_iter().find(|(_, size)| value >= *size) else {
        return count.to_string();
    };
    let scaled = value / size;
    let decimals = if scaled < 10.0 { 2 } else { usize::from(scaled < 100.0) };
    format!("{scaled:.decimals$}{unit}")
}

/// Floating-point operations, in powers of ten; a dash where there are none.
pub(crate) fn flops(flops: f64) -> String {
    if flops == 0.0 { "–".to_owned() } else { format!("{flops:.3e}") }
}

fn is_known(stderr: f64) -> bool {
    stderr.is_finite() && stderr > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_standard_error() {
        assert_eq!(with_error(2.904_024, 0.039_272), "2.904 ± 0.039");
        assert_eq!(with_error(0.275, 0.071_5), "0.275 ± 0.071");
        assert_eq!(with_error(183.26, 14.7), "183 ± 15");
        assert_eq!(with_error(0.25, 0.0), "0.2500");
        assert_eq!(with_error(0.25, f64::NAN), "0.2500");
        assert_eq!(with_error(f64::NAN, 0.1), "");
        assert_eq!(difference(0.113_52, 0.003_4), "+0.1135");
        assert_eq!(interval([-0.25, 0.153_7], 0.1), "[-0.25, +0.15]");
        assert_eq!(interval([f64::NAN, 1.0], 0.1), "");
    }

    #[test]
    fn small_p_values_are_bounds() {
        assert_eq!([0.0005, 0.004_56, 0.043_2, 0.695].map(p_value), ["<0.001", "0.005", "0.043", "0.69"]);
    }

    #[test]
    fn shares_are_in_percent() {
        assert_eq!(share(0.419, Some([0.31, 0.55])), ("42%".to_owned(), "[31%, 55%]".to_owned()));
        assert_eq!(share(0.4191, Some([0.41, 0.43])), ("41.9%".to_owned(), "[41.0%, 43.0%]".to_owned()));
        assert_eq!(share(-0.2, None).0, "-20%");
    }

    #[test]
    fn counts_are_grouped_or_shortened() {
        assert_eq!([7, 1_000, 50_176, 1_234_567].map(count), ["7", "1,000", "50,176", "1,234,567"]);
        assert_eq!(
            [999, 12_695, 1_203_000, 482_000_000_000].map(magnitude),
            ["999", "12.7k", "1.20M", "482B"]
        );
        assert_eq!([0.0, 12_555_922_176.0].map(flops), ["–", "1.256e10"]);
    }
}
