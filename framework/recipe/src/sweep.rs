//! `[sweep]`: one recipe, run at several points.
//!
//! A point is the recipe with one more layer on top, which sets each axis's option to one of its values. So a point
//! is checked, fingerprinted and run exactly as the recipe that writes its values out, and what two points have in
//! common is one artifact of the store.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check;
use crate::code::Code;
use crate::diagnostic::Problem;
use crate::load::Layers;
use crate::source::{Place, Source, dotted, escape};

/// Most points of one sweep: more is a slip of the pen rather than a plan.
const MOST_POINTS: usize = 1000;

/// Values to run the recipe with, each giving a study of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepSection {
    /// How the axes combine.
    #[serde(default)]
    pub mode: SweepMode,
    /// What is varied, by a name of your own.
    #[schemars(extend("minProperties" = 1))]
    pub axes: BTreeMap<String, Axis>,
}

/// How axes combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SweepMode {
    /// Every value of one axis with every value of the others.
    #[default]
    Grid,
    /// First values together, second values together, and so on; all axes are equally long.
    Zip,
}

/// One option and the values it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// The option, as in `--set`: `training.peak_lr`.
    pub option: String,
    /// Its values: anything that the option may be, whole tables and lists included.
    #[schemars(length(min = 1))]
    pub values: Vec<Value>,
}

/// Where in a sweep a recipe stands: axis and value. Empty for a recipe without a sweep.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Point(pub BTreeMap<String, Value>);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (axis, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match value {
                Value::String(text) => write!(f, "{comma}{axis} = {text}")?,
                other => write!(f, "{comma}{axis} = {other}")?,
            }
        }
        Ok(())
    }
}

/// The points of a recipe, first axis slowest; one with no values for a recipe without a sweep.
pub(crate) fn points(layers: Layers) -> Result<Vec<(Point, Layers)>, Vec<Problem>> {
    let Some(sweep) = layers.merged.get("sweep").cloned() else {
        return Ok(vec![(Point::default(), layers)]);
    };
    check::check_under(&layers, "/sweep")?;
    let sweep: SweepSection = serde_json::from_value(sweep).map_err(|error| {
        vec![Problem::new(Code::Undecodable, format!("`sweep` does not decode: {error}"))]
    })?;
    let axes = axes(&sweep, &layers)?;
    let picks = picks(&sweep, &axes, &layers).map_err(|problem| vec![problem])?;
    let below = layers.clone().without("sweep");
    let points = picks.into_iter().map(|pick| {
        let point =
            axes.iter().zip(&pick).map(|(axis, &index)| (axis.name.clone(), axis.values[index].clone()));
        let above = axes.iter().zip(&pick).map(|(axis, &index)| axis.layer(index, &layers));
        (Point(point.collect()), below.with(above))
    });
    Ok(points.collect())
}

/// An axis whose option is understood.
struct Located<'a> {
    name: String,
    keys: Vec<String>,
    values: &'a [Value],
}

impl Located<'_> {
    fn pointer(&self) -> String {
        self.keys.iter().map(|key| format!("/{}", escape(key))).collect()
    }

    /// The layer that sets the option to a value, whose places are those of the sweep that says so.
    fn layer(&self, index: usize, layers: &Layers) -> Source {
        let axis = format!("/sweep/axes/{}", escape(&self.name));
        let at = |pointer: &str| layers.find_nearest(pointer);
        let value_at = at(&format!("{axis}/values/{index}"));
        let key = at(&format!("{axis}/option")).and_then(|(_, place)| place.value.clone());
        let mut value = self.values[index].clone();
        for key in self.keys.iter().rev() {
            value = Value::Object(Map::from_iter([(key.clone(), value)]));
        }
        let Value::Object(values) = value else { unreachable!("an option has at least one key") };
        match value_at {
            Some((source, place)) => {
                let place = Place { key: key.or_else(|| place.value.clone()), value: place.value.clone() };
                Source { values, places: [(self.pointer(), place)].into(), ..source.clone() }
            }
            None => Source { values, ..Source::default() },
        }
    }
}

/// The axes, each option taken apart, or what is wrong with them.
fn axes<'a>(sweep: &'a SweepSection, layers: &Layers) -> Result<Vec<Located<'a>>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut located: Vec<Located<'_>> = Vec::new();
    for (name, axis) in &sweep.axes {
        let at = format!("/sweep/axes/{}", escape(name));
        let mut report = |pointer: &str, code, message: String, help: &str| {
            let problem = Problem::new(code, format!("`{}`: {message}", dotted(pointer)));
            problems.push(check::at_value(layers, problem, pointer).help(help));
        };
        let repeated =
            (1..axis.values.len()).find(|&index| axis.values[..index].contains(&axis.values[index]));
        if let (Some(index), SweepMode::Grid) = (repeated, sweep.mode) {
            report(
                &format!("{at}/values/{index}"),
                Code::RepeatedValue,
                "it is listed twice".to_owned(),
                "list each value once",
            );
        }
        let option = format!("{at}/option");
        let Some(keys) = keys_of(&axis.option) else {
            report(
                &option,
                Code::BadOption,
                format!("\"{}\" does not name an option", axis.option),
                "write it as for --set, such as \"training.peak_lr\"; for something inside a list, vary the whole list",
            );
            continue;
        };
        if let Some(section @ ("sweep" | "extends" | "profiles")) = keys.first().map(String::as_str) {
            report(
                &option,
                Code::BadOption,
                format!("`{section}` cannot be varied"),
                "name an option of the study",
            );
            continue;
        }
        let axis = Located { name: name.clone(), keys, values: &axis.values };
        if let Some(other) = located.iter().find(|other| other.keys == axis.keys) {
            report(
                &option,
                Code::SameOption,
                format!("the axis `{}` varies the same option", other.name),
                "give each option one axis",
            );
            continue;
        }
        if let Some(set) = layers.find_set(&axis.pointer()) {
            report(
                &option,
                Code::AlsoSet,
                format!("`{}` also sets it", set.name),
                &format!("leave that out, or set the axis: --set 'sweep.axes.{name}.values=[...]'"),
            );
            continue;
        }
        located.push(axis);
    }
    if problems.is_empty() { Ok(located) } else { Err(problems) }
}

/// The keys of a dotted name, quoted ones included; none if it is not such a name.
fn keys_of(option: &str) -> Option<Vec<String>> {
    let mut table: toml::Table = toml::from_str(&format!("{option} = true")).ok()?;
    let mut keys = Vec::new();
    loop {
        let (key, value) = table.into_iter().next()?;
        keys.push(key);
        table = match value {
            toml::Value::Table(inner) => inner,
            toml::Value::Boolean(true) => return Some(keys),
            _ => return None,
        };
    }
}

/// For every point, which value of each axis.
fn picks(sweep: &SweepSection, axes: &[Located<'_>], layers: &Layers) -> Result<Vec<Vec<usize>>, Problem> {
    let report = |code, message: String, help: &str| {
        check::at_value(layers, Problem::new(code, format!("`sweep`: {message}")), "/sweep/axes").help(help)
    };
    let lengths: Vec<usize> = axes.iter().map(|axis| axis.values.len()).collect();
    let picks: Vec<Vec<usize>> = match sweep.mode {
        SweepMode::Zip => {
            let length = lengths.first().copied().unwrap_or_default();
            if lengths.iter().any(|&other| other != length) {
                let each: Vec<_> =
                    axes.iter().map(|axis| format!("{} has {}", axis.name, axis.values.len())).collect();
                return Err(report(
                    Code::UnequalAxes,
                    format!("axes of a zip are equally long; {}", each.join(", ")),
                    "give each axis as many values, or combine them with mode = \"grid\"",
                ));
            }
            (0..length).map(|index| vec![index; axes.len()]).collect()
        }
        SweepMode::Grid => {
            let count = lengths.iter().try_fold(1usize, |count, &length| count.checked_mul(length));
            let count = count.unwrap_or(usize::MAX);
            if count > MOST_POINTS {
                return Err(report(
                    Code::TooManyPoints,
                    format!("{count} points are more than the {MOST_POINTS} that one sweep may have"),
                    "vary fewer options, or give them fewer values",
                ));
            }
            let mut picks = vec![Vec::new()];
            for &length in &lengths {
                picks = picks
                    .into_iter()
                    .flat_map(|pick| (0..length).map(move |index| [pick.as_slice(), &[index]].concat()))
                    .collect();
            }
            picks
        }
    };
    Ok(picks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_named_as_in_toml() {
        let keys = |option: &str| keys_of(option).map(|keys| keys.join("/"));
        assert_eq!(keys("training.peak_lr").as_deref(), Some("training/peak_lr"));
        assert_eq!(keys("arms.\"a.b\".kind").as_deref(), Some("arms/a.b/kind"));
        for wrong in ["", "a.", "a[0].b", "a = 1\nb", "two words"] {
            assert_eq!(keys(wrong), None, "{wrong:?}");
        }
    }
}
