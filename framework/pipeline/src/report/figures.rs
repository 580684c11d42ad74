//! The figures of a report: how the arms' loss and scores went, and how similar pairs are.

use std::collections::BTreeSet;

use serde::Serialize;

use super::curves::{Curve, CurvePoint};
use super::plot::{Axis, Chart, Form, Histogram, Line};
use super::results::Results;
use super::{ledger, scores};

/// A chart under its title.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) title: String,
    pub(crate) svg: String,
}

/// Training loss against tokens, and against FLOPs end to end.
pub(crate) fn loss(results: &Results) -> Vec<Figure> {
    let loss = |point: &CurvePoint| point.metrics.get("train/loss").copied();
    let tokens = Chart {
        title: "Training loss against training tokens".to_owned(),
        x: axis("training tokens", true, Form::Counts),
        y: axis("loss, nats a token ↓", false, Form::Plain),
        lines: lines(results, |curve| &curve.training, loss, |_, point| point.tokens as f64),
    };
    let flops = Chart {
        title: "Training loss against FLOPs end to end".to_owned(),
        x: axis("FLOPs end to end", false, Form::Powers),
        y: axis("loss, nats a token ↓", false, Form::Plain),
        lines: lines(
            results,
            |curve| &curve.training,
            loss,
            |arm, point| ledger::overhead(results, arm) + point.flops,
        ),
    };
    [tokens, flops].iter().filter_map(figure).collect()
}

/// Each metric that was evaluated on the way, against tokens.
pub(crate) fn dynamics(results: &Results) -> Vec<Figure> {
    let curves = results.curves.values().flatten().filter(|curve| curve.evaluations.len() > 1);
    let points = curves.flat_map(|curve| &curve.evaluations);
    let names: BTreeSet<&String> = points.flat_map(|point| point.metrics.keys()).collect();
    let compared = scores::metrics(results);
    let place = |metric: &str| compared.iter().position(|it| *it == metric).unwrap_or(compared.len());
    let mut metrics: Vec<&String> = names.into_iter().collect();
    metrics.sort_by_key(|metric| place(metric));
    let chart = |metric: &String| Chart {
        title: metric.clone(),
        x: axis("training tokens", false, Form::Counts),
        y: axis(last_part(&scores::directed(results, metric)), false, Form::Plain),
        lines: lines(
            results,
            |curve| &curve.evaluations,
            |point| point.metrics.get(metric).copied(),
            |_, point| point.tokens as f64,
        ),
    };
    let has_a_line = |chart: &Chart| chart.lines.iter().any(|line| line.points.len() > 1);
    metrics.into_iter().map(chart).filter(has_a_line).filter_map(|chart| figure(&chart)).collect()
}

/// How similar the pairs of each seed are; seeds with the same pairs share a figure.
pub(crate) fn similarity(results: &Results) -> Vec<Figure> {
    let mut histograms: Vec<(Vec<&str>, Vec<u64>)> = Vec::new();
    for (name, quality) in &results.quality {
        let counts = quality["pairs"]["similarity_histogram"].as_array().into_iter().flatten();
        let counts: Vec<u64> = counts.map(|count| count.as_u64().unwrap_or(0)).collect();
        match histograms.iter_mut().find(|(_, present)| *present == counts) {
            Some((names, _)) => names.push(name),
            None => histograms.push((vec![name], counts)),
        }
    }
    let histogram = |(names, counts): (Vec<&str>, Vec<u64>)| {
        let title = format!("Similarity of pairs, {}", names.join(", "));
        let histogram = Histogram {
            title: title.clone(),
            x: "similarity, inner product of embeddings".to_owned(),
            y: "pairs".to_owned(),
            from: -1.0,
            step: 0.05,
            counts,
        };
        Some(Figure { title, svg: histogram.svg()? })
    };
    histograms.into_iter().filter_map(histogram).collect()
}

/// `bpb ↓` of `val/heldout/bpb ↓`: the rest stands in the title.
fn last_part(metric: &str) -> &str {
    metric.rsplit('/').next().unwrap_or(metric)
}

fn axis(label: &str, is_log: bool, form: Form) -> Axis {
    Axis { label: label.to_owned(), is_log, form }
}

fn figure(chart: &Chart) -> Option<Figure> {
    Some(Figure { title: chart.title.clone(), svg: chart.svg()? })
}

/// Lines of every arm: `y` of the `points` of its curves, over `x`.
fn lines<'r>(
    results: &'r Results,
    points: impl Fn(&'r Curve) -> &'r Vec<CurvePoint>,
    y: impl Fn(&CurvePoint) -> Option<f64>,
    x: impl Fn(&str, &CurvePoint) -> f64,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (style, arm) in results.arm_order.iter().enumerate() {
        let curves = results.curves.get(arm).map(Vec::as_slice).unwrap_or_default();
        let point = |it: &CurvePoint| Some(Point { step: it.step, x: x(arm, it), y: y(it)? });
        let seeds: Vec<Vec<Point>> =
            curves.iter().map(|curve| points(curve).iter().filter_map(point).collect()).collect();
        lines.extend(over_seeds(arm, style, &seeds));
    }
    lines
}

/// A point of one seed.
#[derive(Clone, Copy)]
struct Point {
    step: u64,
    x: f64,
    y: f64,
}

/// The mean of seeds in a band from the least to the greatest of them; a line for each where their steps differ.
fn over_seeds(arm: &str, style: usize, seeds: &[Vec<Point>]) -> Vec<Line> {
    let Some(first) = seeds.first() else { return Vec::new() };
    let steps = |points: &[Point]| points.iter().map(|point| point.step).collect::<Vec<_>>();
    if seeds.iter().any(|seed| steps(seed) != steps(first)) {
        let line = |(index, seed): (usize, &Vec<Point>)| Line {
            name: if index == 0 { arm.to_owned() } else { String::new() },
            style,
            points: seed.iter().map(|point| [point.x, point.y]).collect(),
            band: Vec::new(),
        };
        return seeds.iter().enumerate().map(line).collect();
    }
    let n = seeds.len() as f64;
    let mut line = Line { name: arm.to_owned(), style, points: Vec::new(), band: Vec::new() };
    for place in 0..first.len() {
        let at = || seeds.iter().map(|seed| seed[place]);
        let x = at().map(|point| point.x).sum::<f64>() / n;
        line.points.push([x, at().map(|point| point.y).sum::<f64>() / n]);
        if seeds.len() > 1 {
            let least = at().map(|point| point.y).fold(f64::INFINITY, f64::min);
            let greatest = at().map(|point| point.y).fold(f64::NEG_INFINITY, f64::max);
            line.band.push([x, least, greatest]);
        }
    }
    vec![line]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(points: &[(u64, f64)]) -> Vec<Point> {
        points.iter().map(|&(step, y)| Point { step, x: step as f64, y }).collect()
    }

    #[test]
    fn seeds_of_the_same_steps_are_a_mean_in_a_band() {
        let lines = over_seeds("a", 2, &[seed(&[(1, 4.0), (2, 2.0)]), seed(&[(1, 6.0), (2, 1.0)])]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].points, [[1.0, 5.0], [2.0, 1.5]]);
        assert_eq!(lines[0].band, [[1.0, 4.0, 6.0], [2.0, 1.0, 2.0]]);
    }

    #[test]
    fn seeds_of_other_steps_are_lines_of_their_own() {
        let lines = over_seeds("a", 0, &[seed(&[(1, 4.0)]), seed(&[(1, 6.0), (2, 1.0)])]);
        assert_eq!(lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), ["a", ""]);
        assert!(over_seeds("a", 0, &[]).is_empty());
    }
}
