//! Charts as SVG within a page: shapes here, colours, strokes and fonts by the classes that its style sheet knows.

use std::fmt::Write as _;

/// Size of a chart, in units of its view box.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 290.0;
/// Room for what stands around the plot: the label of the y-axis above it, ticks to the left and below.
const TOP: f64 = 30.0;
const LEFT: f64 = 50.0;
const BOTTOM: f64 = 246.0;
/// Lines of at most so many points show them.
const MARKED_POINTS: usize = 24;
/// Least distance between the labels of two lines.
const LABEL_HEIGHT: f64 = 14.0;
/// Where the middle of the lowest label of a line may lie: a label on the axis would be struck through by it.
const LOWEST_LABEL: f64 = BOTTOM - 11.0;
/// Mean width of a character in a label.
const CHAR_WIDTH: f64 = 6.4;
/// Characters of a label that are shown.
const LABEL_CHARS: usize = 18;

/// Lines over one axis.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

/// What an axis says.
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) is_log: bool,
    pub(crate) form: Form,
}

/// How the numbers at an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Plain,
    /// `20k`, `1.5M`.
    Counts,
    /// `2×10¹⁰`.
    Powers,
}

/// One line, perhaps in a band.
pub(crate) struct Line {
    /// Stands at its end.
    pub(crate) name: String,
    /// Number of its colour and dashes.
    pub(crate) style: usize,
    /// x and y.
    pub(crate) points: Vec<[f64; 2]>,
    /// x, and y from where to where.
    pub(crate) band: Vec<[f64; 3]>,
}

impl Chart {
    /// The chart; none if there is no point to show.
    pub(crate) fn svg(&self) -> Option<String> {
        let shown = |x: f64, y: f64| self.x.shows(x) && self.y.shows(y);
        let corners = self.lines.iter().flat_map(|line| {
            let points = line.points.iter().copied();
            points.chain(line.band.iter().flat_map(|&[x, low, high]| [[x, low], [x, high]]))
        });
        let corners: Vec<[f64; 2]> = corners.filter(|&[x, y]| shown(x, y)).collect();
        let x = Range::over(corners.iter().map(|corner| corner[0]), self.x.is_log, 0.0)?;
        let y = Range::over(corners.iter().map(|corner| corner[1]), self.y.is_log, 0.05)?;
        let longest = self.lines.iter().map(|line| shortened(&line.name).chars().count()).max().unwrap_or(0);
        let frame = Frame { right: WIDTH - 14.0 - CHAR_WIDTH * longest as f64, x, y };

        let mut svg = opened(&self.title);
        frame.axes(&self.x, &self.y, &mut svg);
        let at = |&[x, y]: &[f64; 2]| format!("{:.1} {:.1}", frame.x(x), frame.y(y));
        for line in &self.lines {
            let band: Vec<[f64; 3]> =
                line.band.iter().copied().filter(|&[x, low, high]| shown(x, low) && shown(x, high)).collect();
            if band.len() > 1 {
                let above = band.iter().map(|&[x, _, high]| at(&[x, high]));
                let below = band.iter().rev().map(|&[x, low, _]| at(&[x, low]));
                let corners = above.chain(below).collect::<Vec<_>>().join("L");
                let _ = write!(svg, r#"<path class="band s{}" d="M{corners}Z"/>"#, line.style);
            }
        }
        let mut ends = Vec::new();
        for line in &self.lines {
            let points: Vec<[f64; 2]> = line.points.iter().copied().filter(|&[x, y]| shown(x, y)).collect();
            let Some(&[end, last]) = points.last() else { continue };
            let path = points.iter().map(at).collect::<Vec<_>>().join("L");
            let _ = write!(svg, r#"<path class="line s{}" d="M{path}"/>"#, line.style);
            if points.len() <= MARKED_POINTS {
                for &[x, y] in &points {
                    let (x, y) = (frame.x(x), frame.y(y));
                    let _ = write!(
                        svg,
                        r#"<circle class="point s{}" cx="{x:.1}" cy="{y:.1}" r="2.2"/>"#,
                        line.style
                    );
                }
            }
            if !line.name.is_empty() {
                ends.push((frame.y(last), frame.x(end), line));
            }
        }
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut heights: Vec<f64> = ends.iter().map(|(height, ..)| *height).collect();
        keep_apart(&mut heights);
        for (height, (_, end, line)) in heights.iter().zip(&ends) {
            let _ = write!(
                svg,
                r#"<text class="end s{}" x="{:.1}" y="{:.1}">{}</text>"#,
                line.style,
                end + 8.0,
                height + 4.0,
                escaped(&shortened(&line.name))
            );
        }
        svg.push_str("</svg>");
        Some(svg)
    }
}

/// Counts of values that lie within steps of one width.
pub(crate) struct Histogram {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    /// Where the first step begins.
    pub(crate) from: f64,
    /// The width of a step.
    pub(crate) step: f64,
    pub(crate) counts: Vec<u64>,
}

impl Histogram {
    /// The bars between the first and the last that there is, with a step to either side; none if there is none.
    pub(crate) fn svg(&self) -> Option<String> {
        let is_some = |count: &u64| *count > 0;
        let first = self.counts.iter().position(is_some)?.saturating_sub(1);
        let last = (self.counts.iter().rposition(is_some)? + 1).min(self.counts.len() - 1);
        let most = self.counts.iter().copied().max()? as f64;
        let edge = |place: usize| self.from + self.step * place as f64;
        let frame = Frame {
            right: WIDTH - 14.0,
            x: Range { low: edge(first), high: edge(last + 1), is_log: false },
            y: Range { low: 0.0, high: 1.05 * most, is_log: false },
        };
        let mut svg = opened(&self.title);
        let axis = |label: &String, form| Axis { label: label.clone(), is_log: false, form };
        frame.axes(&axis(&self.x, Form::Plain), &axis(&self.y, Form::Counts), &mut svg);
        for (place, count) in self.counts.iter().enumerate().take(last + 1).skip(first) {
            if *count > 0 {
                let (left, right) = (frame.x(edge(place)) + 0.5, frame.x(edge(place + 1)) - 0.5);
                let top = frame.y(*count as f64);
                let _ = write!(
                    svg,
                    r#"<rect class="bar" x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{:.2} to {:.2}: {count}</title></rect>"#,
                    right - left,
                    BOTTOM - top,
                    edge(place),
                    edge(place + 1),
                );
            }
        }
        svg.push_str("</svg>");
        Some(svg)
    }
}

/// A difference with its interval beside zero, to stand in a row of a table; all rows of a metric get one `range`. None where
/// a number is missing.
pub(crate) fn interval(delta: f64, [low, high]: [f64; 2], range: [f64; 2], style: usize) -> Option<String> {
    const WIDTH: f64 = 132.0;
    if ![delta, low, high, range[0], range[1]].into_iter().all(f64::is_finite) {
        return None;
    }
    let [from, to] = [range[0].min(0.0), range[1].max(0.0)];
    let width = if to > from { to - from } else { 1.0 };
    let at = |value: f64| 4.0 + (WIDTH - 8.0) * ((value - from) / width).clamp(0.0, 1.0);
    Some(format!(
        r#"<svg class="strip" viewBox="0 0 {WIDTH} 18" aria-hidden="true"><path class="zero" d="M{zero:.1} 1V17"/><path class="range s{style}" d="M{:.1} 9H{:.1}"/><circle class="point s{style}" cx="{:.1}" cy="9" r="3.2"/></svg>"#,
        at(low),
        at(high),
        at(delta),
        zero = at(0.0),
    ))
}

impl Axis {
    /// Whether a number has a place on it.
    fn shows(&self, value: f64) -> bool {
        value.is_finite() && (!self.is_log || value > 0.0)
    }
}

/// What an axis spans.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Range {
    /// Spans values, and a share of that more on either side; none where there is no value.
    fn over(values: impl Iterator<Item = f64> + Clone, is_log: bool, margin: f64) -> Option<Self> {
        let low = values.clone().min_by(f64::total_cmp)?;
        let high = values.max_by(f64::total_cmp)?;
        // A single value is given some room, so that it has a place.
        let is_single = low == high;
        let room = match (is_single, low == 0.0) {
            (true, true) => 1.0,
            (true, false) => 0.1 * low.abs(),
            (false, _) => margin * (high - low),
        };
        let (low, high) = match (is_log, is_single) {
            (true, true) => (low / 1.1, high * 1.1),
            (true, false) => (low, high),
            (false, _) => (low - room, high + room),
        };
        Some(Self { low, high, is_log })
    }

    /// Where a value lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let place = match self.is_log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        place.clamp(0.0, 1.0)
    }

    /// Where ticks stand, about as many as asked for.
    fn ticks(&self, about: usize) -> Vec<f64> {
        if self.is_log {
            log_ticks(self.low, self.high, about)
        } else {
            linear_ticks(self.low, self.high, about)
        }
    }
}

/// Where the plot lies, and what it spans.
struct Frame {
    right: f64,
    x: Range,
    y: Range,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + (self.right - LEFT) * self.x.place(value)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * self.y.place(value)
    }

    /// Ticks with their numbers, faint lines across, and what is on the axes.
    fn axes(&self, x_axis: &Axis, y_axis: &Axis, svg: &mut String) {
        let ticks = self.y.ticks(5);
        for (tick, number) in ticks.iter().zip(numbers(&ticks, y_axis.form)) {
            let y = self.y(*tick);
            let _ = write!(svg, r#"<path class="grid" d="M{LEFT} {y:.1}H{:.1}"/>"#, self.right);
            let _ =
                write!(svg, r#"<text class="tick y" x="{}" y="{:.1}">{number}</text>"#, LEFT - 8.0, y + 4.0);
        }
        let _ = write!(svg, r#"<path class="axis" d="M{LEFT} {BOTTOM}H{:.1}"/>"#, self.right);
        let ticks = self.x.ticks(5);
        for (tick, number) in ticks.iter().zip(numbers(&ticks, x_axis.form)) {
            let x = self.x(*tick);
            let _ = write!(svg, r#"<path class="axis" d="M{x:.1} {BOTTOM}v5"/>"#);
            let _ = write!(svg, r#"<text class="tick x" x="{x:.1}" y="{}">{number}</text>"#, BOTTOM + 19.0);
        }
        let middle = (LEFT + self.right) / 2.0;
        let label = escaped(&x_axis.label);
        let _ = write!(svg, r#"<text class="label x" x="{middle:.1}" y="{}">{label}</text>"#, BOTTOM + 38.0);
        let label = escaped(&y_axis.label);
        let _ = write!(svg, r#"<text class="label y" x="4" y="14">{label}</text>"#);
    }
}

fn opened(title: &str) -> String {
    format!(
        r#"<svg class="plot" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg"><title>{}</title>"#,
        escaped(title)
    )
}

/// Multiples of 1, 2 or 5 times a power of ten within a range, at most about as many as asked for.
fn linear_ticks(low: f64, high: f64, about: usize) -> Vec<f64> {
    let least = (high - low) / about.max(1) as f64;
    if !(least.is_finite() && least > 0.0) {
        return Vec::new();
    }
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| *step >= 0.999 * least).unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// 1, 2 and 5 times powers of ten where these are few, else powers of ten alone; evenly spaced numbers where even those would
/// be too few.
fn log_ticks(low: f64, high: f64, about: usize) -> Vec<f64> {
    let powers: Vec<i32> = (low.log10().floor() as i32..=high.log10().ceil() as i32).collect();
    let within = |tick: &f64| (0.999 * low..=1.001 * high).contains(tick);
    let with_factors = |factors: &[f64]| -> Vec<f64> {
        let all = powers.iter().flat_map(|power| factors.iter().map(|factor| factor * 10f64.powi(*power)));
        all.filter(within).collect()
    };
    let fine = with_factors(&[1.0, 2.0, 5.0]);
    if fine.len() < 3 {
        return linear_ticks(low, high, about);
    }
    if fine.len() <= about + 1 {
        return fine;
    }
    let coarse = with_factors(&[1.0]);
    let every = coarse.len().div_ceil(about.max(1)).max(1);
    coarse.into_iter().step_by(every).collect()
}

/// The numbers at ticks, as few digits as tell them apart.
fn numbers(ticks: &[f64], form: Form) -> Vec<String> {
    let between = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let plain = |value: f64| {
        let decimals =
            if between.is_finite() { (-(between.log10() + 1e-9).floor()).clamp(0.0, 9.0) } else { 2.0 };
        minus(format!("{value:.0$}", decimals as usize))
    };
    let written = |value: f64| match form {
        Form::Plain => plain(value),
        Form::Counts => counts(value),
        Form::Powers => powers(value),
    };
    ticks.iter().map(|tick| written(*tick)).collect()
}

fn counts(value: f64) -> String {
    let units = [("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)];
    let (unit, size) = units.into_iter().find(|(_, size)| value.abs() >= 0.999 * size).unwrap_or(("", 1.0));
    minus(format!("{}{unit}", (1e3 * value / size).round() / 1e3))
}

fn powers(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let power = (value.abs().log10() + 1e-9).floor();
    let factor = (1e3 * value / 10f64.powf(power)).round() / 1e3;
    let power: String = format!("{power}").chars().map(raised).collect();
    if factor == 1.0 { format!("10{power}") } else { minus(format!("{factor}×10{power}")) }
}

/// A digit or sign as an exponent.
pub(crate) fn raised(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' | '4'..='9' => char::from_u32('⁰' as u32 + c as u32 - '0' as u32).unwrap_or(c),
        other => other,
    }
}

/// With a minus sign in place of a hyphen.
fn minus(number: String) -> String {
    number.replace('-', "−")
}

/// Moves sorted heights so far apart that labels at them do not overlap, and keeps them clear of the
/// axis below.
fn keep_apart(heights: &mut [f64]) {
    let mut least = f64::NEG_INFINITY;
    for height in heights.iter_mut() {
        *height = height.max(least);
        least = *height + LABEL_HEIGHT;
    }
    let mut most = LOWEST_LABEL;
    for height in heights.iter_mut().rev() {
        *height = height.min(most);
        most = *height - LABEL_HEIGHT;
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LABEL_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// Text between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(is_log: bool, form: Form) -> Axis {
        Axis { label: "a < b".to_owned(), is_log, form }
    }

    fn chart(lines: Vec<Vec<[f64; 2]>>, is_log: bool) -> Chart {
        let line = |(style, points)| Line { name: format!("arm {style}"), style, points, band: Vec::new() };
        let lines = lines.into_iter().enumerate().map(line).collect();
        Chart { title: "t".to_owned(), x: axis(is_log, Form::Counts), y: axis(false, Form::Plain), lines }
    }

    #[test]
    fn ticks_are_multiples_of_one_two_and_five() {
        assert_eq!(linear_ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(linear_ticks(-0.35, 0.4, 5), [-0.2, 0.0, 0.2, 0.4]);
        assert_eq!(linear_ticks(7.1, 7.9, 5).len(), 4);
        assert_eq!(linear_ticks(0.0, 50_176.0, 5), [0.0, 20_000.0, 40_000.0]);
        assert!(linear_ticks(1.0, 1.0, 5).is_empty());
    }

    #[test]
    fn log_ticks_are_powers_where_the_range_is_wide() {
        assert_eq!(log_ticks(1.0, 30.0, 5), [1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!(log_ticks(90.0, 2e6, 5), [1e2, 1e3, 1e4, 1e5, 1e6]);
        assert_eq!(log_ticks(1.0, 1e12, 5).len(), 5);
        assert_eq!(log_ticks(41.0, 48.0, 5), [42.0, 44.0, 46.0, 48.0]);
    }

    #[test]
    fn numbers_at_ticks_have_as_few_digits_as_tell_them_apart() {
        assert_eq!(numbers(&[-0.2, 0.0, 0.2], Form::Plain), ["−0.2", "0.0", "0.2"]);
        assert_eq!(numbers(&[2.85, 2.9, 2.95], Form::Plain), ["2.85", "2.90", "2.95"]);
        assert_eq!(numbers(&[20.0, 40.0], Form::Plain), ["20", "40"]);
        assert_eq!(numbers(&[0.0, 500.0, 1e3, 1.5e6], Form::Counts), ["0", "500", "1k", "1.5M"]);
        assert_eq!(numbers(&[0.0, 1e10, 2.5e10], Form::Powers), ["0", "10¹⁰", "2.5×10¹⁰"]);
    }

    #[test]
    fn what_is_no_number_leaves_no_trace() {
        let points = vec![[1.0, 2.0], [2.0, f64::NAN], [f64::INFINITY, 1.0], [3.0, 1.0]];
        let svg = chart(vec![points, vec![]], false).svg().unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches("<title>").count(), 1);
        assert!(svg.contains("a &lt; b"));
        assert_eq!(chart(vec![vec![[1.0, f64::NAN]]], false).svg(), None);
        assert_eq!(chart(vec![vec![[0.0, 1.0]]], true).svg(), None, "zero has no logarithm");
    }

    #[test]
    fn a_single_point_has_its_place() {
        for is_log in [false, true] {
            for at in [[1.0, 0.0], [1e12, -3.0], [1e-9, 1e9]] {
                let svg = chart(vec![vec![at]], is_log).svg().unwrap();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn labels_overlap_neither_each_other_nor_the_axis() {
        let mut heights = [BOTTOM - 3.0, BOTTOM - 2.0, BOTTOM - 1.0];
        keep_apart(&mut heights);
        assert_eq!(heights, [LOWEST_LABEL - 28.0, LOWEST_LABEL - 14.0, LOWEST_LABEL]);
    }

    #[test]
    fn a_histogram_shows_the_steps_that_hold_something() {
        let mut counts = vec![0; 40];
        counts[26] = 2;
        counts[28] = 7;
        let histogram = Histogram {
            title: "t".to_owned(),
            x: "similarity".to_owned(),
            y: "pairs".to_owned(),
            from: -1.0,
            step: 0.05,
            counts,
        };
        let svg = histogram.svg().unwrap();
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains("<title>0.30 to 0.35: 2</title>"), "{svg}");
        assert_eq!(Histogram { counts: vec![0; 40], ..histogram }.svg(), None);
    }

    #[test]
    fn an_interval_stands_beside_zero() {
        let svg = interval(0.5, [0.25, 0.75], [0.25, 1.0], 1).unwrap();
        assert!(svg.contains("M4.0 1V17"), "{svg}");
        assert!(svg.contains(r#"cx="66.0""#), "{svg}");
        assert_eq!(interval(f64::NAN, [0.0, 1.0], [0.0, 1.0], 1), None);
    }
}
