//! A plugin that panics fails its stage, by name; what came before is kept. A tracker fails nothing.

use std::path::Path;
use std::time::Duration;

use sbp_pipeline::{Options, Progress, Reporter};
use sbp_plugin::ports::{Completion, LanguageModel};
use sbp_plugin::prelude::*;
use sbp_plugin::slots::arm::{Arm, Share, Supply};
use sbp_plugin::slots::document_filter::{DocumentFilter, Verdict};
use sbp_plugin::slots::embedder::{Embedder, Embeddings};
use sbp_plugin::slots::mixer::{Draw, Mixer, Pool};
use sbp_plugin::slots::optimizer::{Optimizer, Parameter, Update};
use sbp_plugin::slots::retriever::{Retriever, SearchContext};
use sbp_plugin::slots::schedule::Schedule;
use sbp_plugin::slots::synthesizer::{Request, Synthesizer};
use sbp_plugin::slots::tracker::{MetricPoint, RunCard, Tracker};
use sbp_recipe::{Overrides, Plan, load};
use sbp_testkit::BigramRuntime;

use super::smoke;

/// Panics wherever it is called.
///
/// Cost: nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PanickingConfig {}

/// Makes the config a plugin of a slot whose object is [`Panicking`].
macro_rules! panicking {
    ($slot:ident, $object:ty) => {
        impl Plugin<slots::$slot> for PanickingConfig {
            const KIND: &'static str = "panicking";
            fn example() -> Self {
                Self {}
            }
            fn build(&self, _: &BuildContext) -> Result<Box<$object>> {
                Ok(Box::new(Panicking))
            }
        }
        register!(slots::$slot => PanickingConfig);
    };
}

impl Plugin<slots::Embedder> for PanickingConfig {
    const KIND: &'static str = "panicking";
    fn example() -> Self {
        Self {}
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        panic!("a check's bug")
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Embedder>> {
        panic!("what was not checked is not built")
    }
}
register!(slots::Embedder => PanickingConfig);

panicking!(Arm, dyn Arm);
panicking!(DocumentFilter, dyn DocumentFilter);
panicking!(Mixer, dyn Mixer);
panicking!(Optimizer, dyn Optimizer);
panicking!(Retriever, dyn Retriever);
panicking!(Schedule, dyn Schedule);
panicking!(Synthesizer, dyn Synthesizer);
panicking!(Tracker, dyn Tracker);

struct Panicking;

impl Arm for Panicking {
    fn synthetic_tokens(&self, _: TokenCount) -> TokenCount {
        panic!("an arm's bug")
    }
    fn shares(&self, _: TokenCount, _: &Supply) -> Result<Vec<Share>> {
        panic!("an arm's other bug")
    }
}

impl DocumentFilter for Panicking {
    fn judge(&self, _: &SyntheticDocument, _: &Document) -> Verdict {
        panic!("a filter's bug")
    }
}

impl Mixer for Panicking {
    fn schedule<'a>(&self, _: &'a [Pool<'a>], _: RootSeed) -> Box<dyn Iterator<Item = Draw> + 'a> {
        Box::new(std::iter::from_fn(|| panic!("a mixer's bug")))
    }
}

impl Retriever for Panicking {
    fn neighbors(
        &mut self,
        _: &Embeddings,
        queries: &[u32],
        _: usize,
        _: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        panic!("a bug among {} queries", queries.len())
    }
}

impl Optimizer for Panicking {
    fn update(&self, _: &Parameter<'_>) -> Update {
        panic!("an optimizer's bug")
    }
}

impl Schedule for Panicking {
    fn share(&self, _: u64, _: u64) -> f64 {
        panic!("a schedule's bug")
    }
}

impl Synthesizer for Panicking {
    fn max_new_tokens(&self) -> usize {
        panic!("a synthesizer's bug")
    }
    fn sample(
        &mut self,
        _: &mut dyn LanguageModel,
        _: &[Request],
        _: TokenId,
        _: RootSeed,
        _: &mut dyn FnMut(usize, Completion) -> Result<()>,
    ) -> Result<()> {
        panic!("a synthesizer's other bug")
    }
}

impl Tracker for Panicking {
    fn started(&mut self, _: &RunCard<'_>) -> Result<()> {
        Ok(())
    }
    fn metrics(&mut self, _: &MetricPoint<'_>) -> Result<()> {
        panic!("a tracker's bug")
    }
    fn finished(&mut self, _: &serde_json::Value) -> Result<()> {
        Ok(())
    }
}

/// What a run told the screen.
#[derive(Default)]
struct Told {
    stages: Vec<(String, bool)>,
    warnings: Vec<String>,
}

impl Reporter for Told {
    fn show(&mut self, _: &str) {}
    fn stage_started(&mut self, _: &str) {}
    fn progress(&mut self, _: &Progress<'_>) {}
    fn stage_finished(&mut self, stage: &str, reused: bool) {
        self.stages.push((stage.to_owned(), reused));
    }
    fn warn(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Runs the smoke recipe with some options set: how it ended and what it told.
fn run(home: &Path, set: &str) -> (std::result::Result<(), String>, Told) {
    let sets = if set.is_empty() { Vec::new() } else { vec![set.to_owned()] };
    let recipe = load(&smoke(), &Overrides { profiles: Vec::new(), sets }).expect("it loads");
    let options = Options { home, recipe_folder: home, elapsed: &|| Duration::ZERO };
    let mut told = Told::default();
    let outcome = sbp_pipeline::run(&Plan::new(recipe), &mut BigramRuntime::default(), &mut told, &options);
    (outcome.map(drop).map_err(|error| error.to_string()), told)
}

#[test]
fn the_stage_of_a_panicking_plugin_fails_by_name_and_earlier_ones_are_kept() {
    for (set, stage, plugin, bug, kept) in [
        (
            "retriever={ kind = \"panicking\" }",
            "pair seed 1",
            "retriever",
            "a bug among 120 queries",
            "embed",
        ),
        (
            "synthesizer.filters=[{ kind = \"panicking\" }]",
            "synthesize seed 1",
            "document_filter",
            "a filter's bug",
            "tune seed 1",
        ),
        ("mixer={ kind = \"panicking\" }", "base seed 1", "mixer", "a mixer's bug", "tokens"),
        (
            "training.schedule={ kind = \"panicking\" }",
            "base seed 1",
            "schedule",
            "a schedule's bug",
            "tokens",
        ),
        (
            "synthesizer.sampling={ kind = \"panicking\" }",
            "tune",
            "synthesizer",
            "a synthesizer's bug",
            "pair seed 1",
        ),
        ("arms.sbp={ kind = \"panicking\" }", "plan", "arm", "an arm's bug", "tokens"),
    ] {
        let home = tempfile::tempdir().expect("a folder");
        let (outcome, _) = run(home.path(), set);
        let error = outcome.expect_err("it panics");
        let start = format!("stage {stage} failed: {plugin} \"panicking\" panicked at ");
        assert!(error.starts_with(&start), "{error}\ndoes not start with\n{start}");
        assert!(error.contains("panics.rs:") && error.ends_with(bug), "{error}");

        let (outcome, told) = run(home.path(), "");
        outcome.expect("it runs without the plugin");
        assert!(told.stages.contains(&(kept.to_owned(), true)), "{kept} was made again: {:?}", told.stages);
    }
}

#[test]
fn a_panicking_tracker_is_warned_of_once_and_what_it_lost_is_said() {
    let home = tempfile::tempdir().expect("a folder");
    let (outcome, told) = run(home.path(), "trackers=[{ kind = \"panicking\" }, { kind = \"jsonl\" }]");
    outcome.expect("a tracker cannot fail a run");
    let [warning, lost] = &told.warnings[..] else { panic!("not two warnings: {:?}", told.warnings) };
    assert!(warning.starts_with("tracker \"panicking\" panicked at "), "{warning}");
    assert!(
        warning.ends_with(": a tracker's bug; what it did not record is kept and offered again"),
        "{warning}"
    );
    assert!(lost.starts_with("tracker \"panicking\" did not record "), "{lost}");
}

#[test]
fn a_panicking_check_is_a_problem_of_the_recipe() {
    let sets = vec!["embedder={ kind = \"panicking\" }".to_owned()];
    let errors = load(&smoke(), &Overrides { profiles: Vec::new(), sets }).expect_err("it panics");
    let [problem] = &errors.problems[..] else { panic!("not one problem: {errors:?}") };
    let problem = problem.to_json().to_string();
    assert!(problem.contains("embedder \\\"panicking\\\" panicked at "), "{problem}");
    assert!(problem.contains("a check's bug"), "{problem}");
}
