//! The plan: the recipe resolved, and every arm's budget and sources computed.

use std::fmt::Write as _;

use sbp_core::{Fingerprint, TokenCount};
use sbp_plugin::catch_panic;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::arm::{Share, Supply};
use sbp_plugin::slots::mixer::Source;
use serde::Serialize;
use serde_json::Value;

use crate::match_compute::{ArmBudget, arm_budget};
use crate::{InitFrom, Loaded, Point, Recipe, Synthesis};

/// A study ready to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The resolved recipe, every default explicit.
    pub recipe: Recipe,
    /// Identity of the study: the recipe without what cannot change a result.
    pub id: Fingerprint,
    /// Where in a sweep it stands: axis and value. Empty without one, and never part of the identity: a point is
    /// the same study as the recipe that writes its values out.
    pub point: Point,
    /// The recipe as it was written, for the run folder.
    pub written: String,
}

/// What cannot change a result and stays out of the identity: where it runs, who watches, what a plan expects. So do paths,
/// whose content counts, and options of plugins that say so.
const NOT_IDENTITY: [&str; 4] = ["/execution", "/trackers", "/recipe/description", "/splits/expected"];

/// One arm of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmPlan {
    /// Name in the recipe.
    pub name: String,
    /// Kind of the arm.
    pub kind: String,
    /// Steps and tokens.
    pub budget: ArmBudget,
    /// Where the tokens come from.
    pub shares: Vec<Share>,
    /// Synthetic tokens asked for, before it is known how many there are.
    pub synthetic_wanted: TokenCount,
}

impl Plan {
    /// Resolves a loaded recipe.
    pub fn new(loaded: Loaded) -> Self {
        let written = loaded.written().to_owned();
        let (recipe, point) = (loaded.recipe, loaded.point);
        Self { id: Fingerprint::of_value(&identity(&recipe)), recipe, point, written }
    }

    /// Whether it is a point of a sweep.
    pub fn is_point(&self) -> bool {
        !self.point.0.is_empty()
    }

    /// The recipe without what cannot change a result, as JSON.
    pub fn identity(&self) -> Value {
        identity(&self.recipe)
    }

    /// The resolved recipe as TOML.
    pub fn resolved_toml(&self) -> String {
        // Written through a JSON value, whose keys are sorted, so that the same recipe gives the same text.
        let value = serde_json::to_value(&self.recipe).unwrap_or_default();
        toml::to_string_pretty(&value).unwrap_or_else(|error| format!("# not expressible in TOML: {error}\n"))
    }

    /// What it takes to make synthetic documents.
    ///
    /// # Errors
    /// When the recipe lacks a section for it.
    pub fn synthesis(&self) -> sbp_plugin::Result<Synthesis<'_>> {
        self.recipe.synthesis().map_err(|missing| {
            format!("an arm asks for synthetic documents, but the recipe has no [{}]", missing.join("], ["))
                .into()
        })
    }

    /// Names of the arms: baseline first, oracle last, the others between in order of name.
    pub fn arm_names(&self) -> Vec<String> {
        let comparison = &self.recipe.comparison;
        let mut names: Vec<String> = self.recipe.arms.keys().cloned().collect();
        names.sort_by_key(|name| (*name == comparison.oracle, *name != comparison.baseline, name.clone()));
        names
    }

    /// Optimizer steps of an arm that needs no synthesizer.
    pub fn full_steps(&self, supply: &Supply) -> u64 {
        self.recipe.budget.duration.steps(self.recipe.training.tokens_per_step, supply.pretrain)
    }

    /// Synthetic tokens that the arms together need: the most that any one asks for.
    ///
    /// # Errors
    /// When an arm cannot be built.
    pub fn synthetic_wanted(&self, supply: &Supply) -> sbp_plugin::Result<TokenCount> {
        let tokens = self.full_steps(supply) * self.recipe.training.tokens_per_step;
        let mut most = 0;
        for arm in self.recipe.arms.values() {
            let arm = arm.build(&BuildContext::default())?;
            most = most.max(catch_panic(|| arm.synthetic_tokens(tokens))?);
        }
        Ok(most)
    }

    /// Whether an arm reads related documents in one context.
    ///
    /// # Errors
    /// When an arm cannot be built.
    pub fn needs_pairs(&self) -> sbp_plugin::Result<bool> {
        for arm in self.recipe.arms.values() {
            let arm = arm.build(&BuildContext::default())?;
            if catch_panic(|| arm.needs_pairs())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every arm's budget and sources. `overhead_flops` is what the synthetic documents cost to make.
    ///
    /// # Errors
    /// When an arm cannot be built or cannot do without a source that is empty.
    pub fn arms(
        &self,
        supply: &Supply,
        overhead_flops: f64,
        flops_per_token: f64,
    ) -> sbp_plugin::Result<Vec<ArmPlan>> {
        let full_steps = self.full_steps(supply);
        let tokens_per_step = self.recipe.training.tokens_per_step;
        let mut plans = Vec::new();
        for name in self.arm_names() {
            let selected = &self.recipe.arms[&name];
            let arm = selected.build(&BuildContext::default())?;
            let synthetic_wanted = catch_panic(|| arm.synthetic_tokens(full_steps * tokens_per_step))?;
            let overhead = if synthetic_wanted > 0 { overhead_flops } else { 0.0 };
            let budget = arm_budget(
                self.recipe.budget.match_on,
                full_steps,
                tokens_per_step,
                overhead,
                flops_per_token,
            );
            let shares = arm.shares(budget.tokens, supply)?;
            let given: TokenCount = shares.iter().map(|share| share.tokens).sum();
            if given != budget.tokens {
                return Err(format!(
                    "arm \"{name}\" ({}) divides {given} tokens among its sources, its budget is {}",
                    selected.kind(),
                    budget.tokens
                )
                .into());
            }
            plans.push(ArmPlan { name, kind: selected.kind().to_owned(), budget, shares, synthetic_wanted });
        }
        Ok(plans)
    }

    /// The plan as a tree, as people read it. `about` is `~` when the supply is an estimate.
    pub fn tree(&self, arms: &[ArmPlan], supply: &Supply, about: &str) -> String {
        let recipe = &self.recipe;
        let mut text = String::new();
        let most = arms.iter().map(|arm| arm.budget).max_by_key(|budget| budget.tokens);
        let budget = most.unwrap_or(ArmBudget { steps: 0, tokens: 0 });
        let _ = writeln!(
            text,
            "plan {}  {}  match = {}  {about}{} tokens/arm  {} tokens/step  {about}{} steps  seeds {:?}",
            self.id.short(),
            recipe.recipe.name,
            recipe.budget.match_on.name(),
            people(budget.tokens),
            recipe.training.tokens_per_step,
            thousands(budget.steps),
            recipe.recipe.seeds,
        );
        for (index, arm) in arms.iter().enumerate() {
            let branch = if index + 1 == arms.len() { "└─" } else { "├─" };
            let sources: Vec<String> = arm
                .shares
                .iter()
                .map(|share| {
                    let unique = unique_tokens(supply, share.source).max(1);
                    let passes = share.tokens as f64 / unique as f64;
                    format!("{} {about}{} unique x {passes:.2}", share.source.name(), people(unique))
                })
                .collect();
            let fewer = if arm.budget == budget {
                String::new()
            } else {
                format!("   ({} steps, its overhead taken off)", thousands(arm.budget.steps))
            };
            let _ = writeln!(text, "{branch} {:<12} {}{fewer}", arm.name, sources.join(" + "));
        }
        let wanted = arms.iter().map(|arm| arm.synthetic_wanted).max().unwrap_or_default();
        if let (true, Ok(synthesis)) = (wanted > 0, recipe.synthesis()) {
            let matched = match recipe.budget.match_on {
                crate::MatchOn::TrainTokens => "reported, not matched",
                crate::MatchOn::TotalFlops => "taken off the arm's budget",
            };
            let section = synthesis.synthesizer;
            let start = match section.init.from {
                InitFrom::Base => format!("base {}", synthesis.base.duration),
                InitFrom::Scratch => "from scratch".to_owned(),
                InitFrom::Checkpoint => "from a checkpoint".to_owned(),
            };
            let rounds = match section.rounds.count {
                1 => String::new(),
                count => format!(" in each of {count} rounds"),
            };
            let _ = writeln!(
                text,
                "synthesizer     {start}, tuned {}, {about}{} synthetic tokens wanted{rounds} ({matched})",
                section.duration,
                people(wanted),
            );
        }
        text
    }
}

fn identity(recipe: &Recipe) -> Value {
    let mut identity = serde_json::to_value(recipe).unwrap_or_default();
    let outside = crate::schema::pointers_outside_identity(&identity);
    for pointer in outside.iter().map(String::as_str).chain(NOT_IDENTITY) {
        let Some((parent, name)) = pointer.rsplit_once('/') else { continue };
        match identity.pointer_mut(parent) {
            Some(Value::Object(parent)) => drop(parent.remove(name)),
            // A list keeps its length, which may mean something.
            Some(Value::Array(parent)) => {
                if let Some(path) = name.parse().ok().and_then(|index: usize| parent.get_mut(index)) {
                    *path = Value::Null;
                }
            }
            _ => {}
        }
    }
    identity
}

/// Unique training tokens of a source.
pub fn unique_tokens(supply: &Supply, source: Source) -> TokenCount {
    match source {
        Source::Pretrain => supply.pretrain,
        Source::Oracle => supply.oracle,
        Source::Synthetic => supply.synthetic,
        // The same documents, in another order.
        Source::Related => supply.pretrain,
    }
}

/// A count as people read it: `1.37M`.
pub fn people(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{:.1}k", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2}M", count as f64 / 1e6),
        _ => format!("{:.2}B", count as f64 / 1e9),
    }
}

/// A count to the last digit: `1,234,567`.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_well() {
        assert_eq!(people(999), "999");
        assert_eq!(people(12_345), "12.3k");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
