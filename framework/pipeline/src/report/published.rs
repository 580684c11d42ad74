//! What the published study reports, from `published.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;

/// The figures, read once.
pub(crate) static PUBLISHED: LazyLock<Published> =
    LazyLock::new(|| toml::from_str(include_str!("published.toml")).expect("a test reads the file as well"));

/// Everything in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    pub(crate) study: String,
    pub(crate) version: String,
    pub(crate) notes: Vec<String>,
    /// What each tag means.
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) scales: Vec<Scale>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) quality: Vec<Quality>,
}

/// A figure as it stands there, and the tag that says how it is known.
#[derive(Debug, Deserialize)]
pub(crate) struct Figure(String, String);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.0, self.1)
    }
}

/// One scale of the study: its size, and accuracy averaged over tasks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scale {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) parameters: Option<Figure>,
    pub(crate) unique_tokens: Option<Figure>,
    pub(crate) train_tokens: Option<Figure>,
    pub(crate) baseline: Option<Figure>,
    pub(crate) sbp: Option<Figure>,
    pub(crate) oracle: Option<Figure>,
    pub(crate) recovered: Option<Figure>,
}

/// One task.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) form: Form,
    /// Whether the averages are over it.
    #[serde(default)]
    pub(crate) averaged: bool,
    /// What a run may call it.
    pub(crate) metrics: Vec<String>,
    pub(crate) source: String,
    /// By scale.
    #[serde(default)]
    pub(crate) at: BTreeMap<String, Cells>,
}

/// What a task's figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// A share in percent; runs have it as a share of one.
    Percent,
    /// A perplexity.
    Perplexity,
}

/// A task at a scale.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cells {
    /// Where it is not the task's.
    pub(crate) source: Option<String>,
    pub(crate) baseline: Option<Figure>,
    pub(crate) sbp: Option<Figure>,
    pub(crate) oracle: Option<Figure>,
}

/// A figure of synthetic documents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quality {
    pub(crate) name: String,
    /// What a run calls it.
    pub(crate) figure: String,
    pub(crate) source: String,
    /// By scale.
    pub(crate) at: BTreeMap<String, Figure>,
    /// Of real documents.
    pub(crate) real: Option<Figure>,
}

/// A figure in a cell; an unknown one leaves it empty.
pub(crate) fn cell(figure: Option<&Figure>) -> String {
    figure.map(Figure::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_known_tag_and_a_known_scale() {
        let scales: Vec<&str> = PUBLISHED.scales.iter().map(|scale| scale.name.as_str()).collect();
        let mut figures: Vec<&Figure> = Vec::new();
        for scale in &PUBLISHED.scales {
            let of_scale = [
                &scale.parameters,
                &scale.unique_tokens,
                &scale.train_tokens,
                &scale.baseline,
                &scale.sbp,
                &scale.oracle,
                &scale.recovered,
            ];
            figures.extend(of_scale.into_iter().flatten());
        }
        for (scale, cells) in PUBLISHED.tasks.iter().flat_map(|task| &task.at) {
            assert!(scales.contains(&scale.as_str()), "{scale}");
            figures.extend([&cells.baseline, &cells.sbp, &cells.oracle].into_iter().flatten());
        }
        for quality in &PUBLISHED.quality {
            assert!(quality.at.keys().all(|scale| scales.contains(&scale.as_str())));
            figures.extend(quality.at.values().chain(&quality.real));
        }
        assert_eq!(figures.len(), 21 + 54 + 18);
        for Figure(figure, tag) in figures {
            assert!(PUBLISHED.tags.contains_key(tag), "{figure} [{tag}]");
        }
    }

    #[test]
    fn recalled_cells_come_to_the_verified_averages() {
        let averaged = || PUBLISHED.tasks.iter().filter(|task| task.averaged);
        assert_eq!(averaged().count(), 6);
        for scale in PUBLISHED.scales.iter().filter(|scale| scale.name != "1T, 6B") {
            let mean = |of: &dyn Fn(&Cells) -> Option<f64>| {
                averaged().filter_map(|task| of(&task.at[&scale.name])).sum::<f64>() / 6.0
            };
            let number = |figure: &Option<Figure>| -> Option<f64> { figure.as_ref()?.0.parse().ok() };
            for (cells, verified) in [
                (mean(&|cells| number(&cells.baseline)), number(&scale.baseline)),
                (mean(&|cells| number(&cells.sbp)), number(&scale.sbp)),
                (mean(&|cells| number(&cells.oracle)), number(&scale.oracle)),
            ] {
                assert!((cells - verified.unwrap()).abs() < 0.005, "{}: {cells} {verified:?}", scale.name);
            }
        }
    }
}
