//! What can be told of a plan by a look at the corpus and the tasks, before anything is made: budgets in tokens, what they
//! take, what the documents at hand do not allow, and which differences the tasks could tell.

use sbp_core::Document;
use sbp_plugin::ports::Tokenizer as _;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::arm::Supply;
use sbp_plugin::slots::corpus::{NoDocument, Records};
use sbp_plugin::slots::evaluator::TaskCard;
use sbp_plugin::slots::mixer::Source;
use sbp_recipe::plan::ArmPlan;
use sbp_recipe::{Code, MatchOn, Plan, Synthesis};
use serde::Serialize;

use crate::pricing::{Price, Pricing, bytes_per_token};
use crate::report::power::detectable_accuracy;
use crate::stages::{caught, failed};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// Documents whose length is looked at.
const LOOKED_AT: usize = 200;
/// Documents counted at most: a plan should take seconds.
const COUNTED: usize = 200_000;
/// Share of pairs too long for the context from which it is worth a word.
const MANY: f64 = 0.1;
/// Share by which a corpus may be another than expected: the mean of a few hundred lengths is hardly more exact.
const FAR: f64 = 0.25;
/// Shares of items that two arms might answer differently: models nearly alike, and models of different skill.
const DISAGREEMENTS: [f64; 2] = [0.1, 0.3];

/// A plan with its token counts estimated. Exact counts replace them as soon as the corpus is tokenised.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Unique training tokens; synthetic ones as many as are wanted.
    pub supply: Supply,
    /// Why the corpus was not looked at, where its size is only what the recipe declares.
    pub declared: Option<String>,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Every arm's budget and sources.
    pub arms: Vec<ArmPlan>,
    /// What training on one token costs.
    pub flops_per_token: f64,
    /// What every stage takes.
    pub price: Price,
    /// What will not be as the recipe says.
    pub concerns: Vec<Concern>,
    /// What the tasks could tell, for each accuracy that the arms are compared on.
    pub detectable: Vec<Detectable>,
}

/// The smallest differences in an accuracy that a paired test of its items would tell from noise, with 80% power at the
/// two-sided 5% level. Variation between seeds comes on top.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detectable {
    /// The metric.
    pub metric: String,
    /// Items that are asked.
    pub num_items: usize,
    /// One for each share of items on which the arms might differ.
    pub effects: Vec<Effect>,
}

/// The smallest difference under one assumption.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Effect {
    /// Share of items that the arms are taken to answer differently.
    pub disagreement: f64,
    /// Difference in accuracy; none where there are too few items for any.
    pub difference: Option<f64>,
}

/// Something that the documents at hand do not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// The option it is about, as a JSON pointer.
    pub pointer: String,
    /// Stable code.
    pub code: Code,
    /// What will happen.
    pub message: String,
    /// What to do.
    pub help: &'static str,
}

/// Looks at the first documents and works the plan out from them; from the size that the recipe declares where there are
/// none.
///
/// # Errors
/// When the corpus cannot be read and its size is not declared, or an arm cannot divide its budget.
pub fn preview(plan: &Plan) -> Result<Preview> {
    caught("plan", || look(plan))
}

fn look(plan: &Plan) -> Result<Preview> {
    let recipe = &plan.recipe;
    let vocab_size = vocab_size(plan);
    let seen = Seen::of(plan, bytes_per_token(vocab_size))?;
    let mut supply = seen.supply(plan);
    let wanted = plan.synthetic_wanted(&supply).map_err(failed("plan"))?;
    supply.synthetic = wanted;
    let needs_pairs = plan.needs_pairs().map_err(failed("plan"))?;
    let pricing = Pricing { recipe, vocab_size, document: seen.mean_tokens(), supply };
    let flops_per_token = pricing.pretraining_flops();
    let synthesis = recipe.synthesis().ok().filter(|_| wanted > 0 || needs_pairs);
    let making = synthesis.map(|synthesis| pricing.making(synthesis)).transpose()?.unwrap_or_default();
    let arms = plan.arms(&supply, making.overhead_flops, flops_per_token).map_err(failed("plan"))?;

    let mut concerns = Vec::new();
    seen.expected(plan, &mut concerns);
    seen.documents(plan, &supply, &arms, &mut concerns);
    if let Some(synthesis) = synthesis.filter(|_| wanted > 0) {
        seen.pairs(plan, synthesis, &mut concerns);
        seen.synthetic(plan, synthesis, wanted, &mut concerns);
    }
    let full_tokens = plan.full_steps(&supply) * recipe.training.tokens_per_step;
    let (budget, overhead) = (full_tokens as f64 * flops_per_token, making.overhead_flops);
    if recipe.budget.match_on == MatchOn::TotalFlops && overhead >= budget {
        concerns.push(Concern {
            pointer: "/budget/duration".to_owned(),
            code: Code::BudgetNotReached,
            message: format!(
                "making the synthetic documents takes about {overhead:.1e} FLOPs, an arm's whole budget is {budget:.1e}"
            ),
            help: "raise it, shorten base.duration and synthesizer.duration, or match on train_tokens",
        });
    }
    let of_arms = arms.iter().map(|arm| pricing.arm(arm, &making)).collect::<Result<Vec<_>>>()?;
    let stages = pricing.reading().into_iter().chain(making.stages).chain(of_arms).collect();
    Ok(Preview {
        supply,
        declared: seen.declared,
        vocab_size,
        arms,
        flops_per_token,
        price: Price { stages },
        concerns,
        detectable: detectable(plan),
    })
}

/// That of the tokenizer file where it is there, else what the recipe says.
fn vocab_size(plan: &Plan) -> usize {
    let section = &plan.recipe.tokenizer;
    let given = section.file.as_ref().and_then(|file| Tokenizer::open(file.as_ref()).ok());
    given.map_or(section.vocab_size, |tokenizer| tokenizer.vocab_size())
}

/// What the tasks could tell. A task whose items are not known before it is asked, or whose files are not at hand yet,
/// is left out: a plan is not the place to fail for that.
fn detectable(plan: &Plan) -> Vec<Detectable> {
    let evaluators = plan.recipe.evaluators.iter();
    let tasks = evaluators.filter_map(|selected| selected.build(&BuildContext::default()).ok()?.tasks().ok());
    let compared = &plan.recipe.comparison.metrics;
    tasks
        .flatten()
        .flat_map(|task| accuracies(&task))
        .filter(|one| compared.is_empty() || compared.contains(&one.metric))
        .collect()
}

/// The metrics of a task that are a share of its items, and what they could tell.
fn accuracies(task: &TaskCard) -> Vec<Detectable> {
    let effect =
        |disagreement| Effect { disagreement, difference: detectable_accuracy(task.num_asked, disagreement) };
    let is_share = |metric: &&String| *metric == "exact_match" || metric.starts_with("acc");
    let metrics = task.higher_is_better.keys().filter(is_share);
    metrics
        .map(|metric| Detectable {
            metric: format!("eval/{}/{metric}", task.task),
            num_items: task.num_asked,
            effects: DISAGREEMENTS.map(effect).to_vec(),
        })
        .collect()
}

/// What was seen of the corpus.
struct Seen {
    /// Lengths of the first documents, in tokens.
    lengths: Vec<f64>,
    /// Documents for the oracle's pool, counted up to what is asked for.
    pool: Counted,
    heldout: Counted,
    /// Why nothing was seen, where the recipe had to be believed.
    declared: Option<String>,
}

/// A count that stops where it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Exactly(usize),
    Enough,
}

impl Counted {
    /// What is known of so many.
    fn of(self, asked: usize) -> usize {
        match self {
            Self::Exactly(documents) => documents,
            Self::Enough => asked,
        }
    }
}

impl Seen {
    fn of(plan: &Plan, bytes_per_token: f64) -> Result<Self> {
        match (Self::counted(plan, bytes_per_token), &plan.recipe.splits.expected) {
            (Err(error), Some(expected)) => {
                let asked = plan.recipe.splits.pool_documents();
                let is_enough = expected.documents >= asked;
                Ok(Self {
                    lengths: vec![expected.tokens_per_document],
                    pool: if is_enough { Counted::Enough } else { Counted::Exactly(expected.documents) },
                    heldout: Counted::Enough,
                    declared: Some(error.to_string()),
                })
            }
            (counted, _) => counted,
        }
    }

    fn counted(plan: &Plan, bytes_per_token: f64) -> Result<Self> {
        let fail = failed("corpus");
        let splits = &plan.recipe.splits;
        let corpus = plan.recipe.corpus.build(&BuildContext::default()).map_err(&fail)?;
        let lengths: Vec<f64> = corpus
            .documents()
            .map_err(&fail)?
            .filter_map(document)
            .take(LOOKED_AT)
            .map(|document| Ok(document?.text.len() as f64 / bytes_per_token + 1.0))
            .collect::<Result<_>>()?;
        if lengths.is_empty() {
            return Err(Error::Corpus("there is no document in it".to_owned()));
        }
        Ok(Self {
            lengths,
            pool: count(corpus.documents().map_err(&fail)?, splits.pool_documents())?,
            heldout: count(corpus.heldout().map_err(&fail)?, splits.heldout_documents)?,
            declared: None,
        })
    }

    fn mean_tokens(&self) -> f64 {
        self.lengths.iter().sum::<f64>() / self.lengths.len() as f64
    }

    fn supply(&self, plan: &Plan) -> Supply {
        let splits = &plan.recipe.splits;
        let at_hand = self.pool.of(splits.pool_documents());
        let tokens = |documents: usize| (documents as f64 * self.mean_tokens()) as u64;
        Supply {
            pretrain: tokens(splits.pretrain_documents.min(at_hand)),
            oracle: tokens(at_hand),
            synthetic: 0,
        }
    }

    /// A corpus that is there is to be what the recipe took it for.
    fn expected(&self, plan: &Plan, concerns: &mut Vec<Concern>) {
        let splits = &plan.recipe.splits;
        let Some(expected) = &splits.expected else { return };
        let asked = splits.pool_documents();
        let (found, said) = (self.pool.of(asked), expected.documents.min(asked));
        let is_far = |found: f64, said: f64| (found / said - 1.0).abs() > FAR;
        if is_far(found as f64, said as f64) || is_far(self.mean_tokens(), expected.tokens_per_document) {
            concerns.push(Concern {
                pointer: "/splits/expected".to_owned(),
                code: Code::NotAsExpected,
                message: format!(
                    "of {asked} documents asked for, the corpus has {found} of about {:.0} tokens; {said} of {} are expected",
                    self.mean_tokens(),
                    expected.tokens_per_document,
                ),
                help: "write what was counted, or name the corpus that is meant",
            });
        }
    }

    fn documents(&self, plan: &Plan, supply: &Supply, arms: &[ArmPlan], concerns: &mut Vec<Concern>) {
        let splits = &plan.recipe.splits;
        if let Counted::Exactly(found) = self.heldout {
            concerns.push(Concern {
                pointer: "/splits/heldout_documents".to_owned(),
                code: Code::HeldoutTooSmall,
                message: format!(
                    "the corpus keeps {found} documents for evaluation, {} are asked for",
                    splits.heldout_documents
                ),
                help: "lower it, or let the corpus set more aside",
            });
        }
        let Counted::Exactly(found) = self.pool else { return };
        if found < splits.pretrain_documents {
            concerns.push(Concern {
                pointer: "/splits/pretrain_documents".to_owned(),
                code: Code::PretrainTooSmall,
                message: format!(
                    "the corpus has {found} documents, D_pretrain needs {}",
                    splits.pretrain_documents
                ),
                help: "lower it, or add documents",
            });
            return;
        }
        let of_pool = |arm: &ArmPlan| -> u64 {
            arm.shares.iter().filter(|share| share.source == Source::Oracle).map(|share| share.tokens).sum()
        };
        if let Some(most) = arms.iter().map(of_pool).max().filter(|tokens| *tokens > 0) {
            let option = if splits.oracle_documents.is_some() { "documents" } else { "factor" };
            concerns.push(Concern {
                pointer: format!("/splits/oracle_{option}"),
                code: Code::OracleTooSmall,
                message: format!(
                    "the oracle's pool has {found} documents instead of {}: {:.1} times D_pretrain, which it would pass over {:.2} times",
                    splits.pool_documents(),
                    found as f64 / splits.pretrain_documents as f64,
                    most as f64 / supply.oracle.max(1) as f64,
                ),
                help: "lower it or splits.pretrain_documents, or add documents",
            });
        }
    }

    /// A pair is a seed document, cut to the room beside a longest completion, and a target, which is not cut.
    fn pairs(&self, plan: &Plan, synthesis: Synthesis<'_>, concerns: &mut Vec<Concern>) {
        let context = plan.recipe.model.context_length as f64;
        let Ok(sampling) = synthesis.synthesizer.sampling.build(&BuildContext::default()) else { return };
        let room = context - sampling.max_new_tokens() as f64 - 2.0;
        let (mut long, mut all) = (0usize, 0usize);
        for seed in &self.lengths {
            long += self.lengths.iter().filter(|target| seed.min(room) + *target + 1.0 > context).count();
            all += self.lengths.len();
        }
        let share = long as f64 / all as f64;
        if share > MANY {
            concerns.push(Concern {
                pointer: "/model/context_length".to_owned(),
                code: Code::PairsTooLong,
                message: format!(
                    "about {:.0}% of pairs are longer than {context} tokens and would be left out of tuning",
                    100.0 * share
                ),
                help: "raise it, or choose shorter documents",
            });
        }
    }

    /// The synthesizer writes no more tokens than it has draws for.
    fn synthetic(&self, plan: &Plan, synthesis: Synthesis<'_>, wanted: u64, concerns: &mut Vec<Concern>) {
        let section = synthesis.synthesizer;
        let Ok(sampling) = section.sampling.build(&BuildContext::default()) else { return };
        let each = self.mean_tokens().min(sampling.max_new_tokens() as f64);
        let draws = plan.recipe.splits.pretrain_documents as f64 * f64::from(section.max_draws_per_seed);
        if wanted as f64 > draws * each {
            concerns.push(Concern {
                pointer: "/synthesizer/max_draws_per_seed".to_owned(),
                code: Code::BudgetNotReached,
                message: format!(
                    "the arms ask for about {wanted} synthetic tokens; {draws:.0} draws as long as real documents give about {:.0}, and real documents would fill the rest",
                    draws * each
                ),
                help: "raise it, or lower the arms' synthetic share or budget.duration",
            });
        }
    }
}

/// Counts up to `enough`; a count that would take too long is taken to be enough.
fn count(records: Records<'_>, enough: usize) -> Result<Counted> {
    let most = enough.min(COUNTED);
    let mut found = 0;
    for document in records.filter_map(document).take(most) {
        document?;
        found += 1;
    }
    Ok(if found < most { Counted::Exactly(found) } else { Counted::Enough })
}

/// The document of a record, or that the source failed.
fn document(record: std::result::Result<Document, NoDocument>) -> Option<Result<Document>> {
    match record {
        Ok(document) => Some(Ok(document)),
        Err(NoDocument::Failed(error)) => Some(Err(failed("corpus")(error.into()))),
        Err(NoDocument::Bad(_) | NoDocument::Duplicate) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shares_of_items_are_taken_for_accuracies() {
        let task = TaskCard {
            task: "birds".to_owned(),
            version: "1".to_owned(),
            num_fewshot: 0,
            num_items: 1_200,
            num_asked: 1_000,
            higher_is_better: [("acc", true), ("acc_norm", true), ("nll", false)]
                .map(|(metric, better)| (metric.to_owned(), better))
                .into(),
            config: serde_json::Value::Null,
        };
        let found = accuracies(&task);
        let metrics: Vec<&str> = found.iter().map(|one| one.metric.as_str()).collect();
        assert_eq!(metrics, ["eval/birds/acc", "eval/birds/acc_norm"]);
        assert_eq!(found[0].num_items, 1_000);
        // c sqrt(q / (n + c²)) with c = 2.8016.
        let least = found[0].effects[0].difference.expect("enough items");
        assert!((least - 2.8016 * (0.1f64 / 1_007.85).sqrt()).abs() < 1e-5, "{least}");
    }
}
