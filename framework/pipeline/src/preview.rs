//! What can be told of a plan by a look at the corpus, before anything is made: budgets in tokens, and what the
//! documents at hand do not allow.

use sbp_core::Document;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::arm::Supply;
use sbp_plugin::slots::corpus::{NoDocument, Records};
use sbp_plugin::slots::mixer::Source;
use sbp_recipe::plan::ArmPlan;
use sbp_recipe::{Code, InitFrom, MatchOn, Plan, Synthesis};

use crate::stages::{caught, failed};
use crate::{Error, Result};

/// Documents whose length is looked at.
const LOOKED_AT: usize = 200;
/// Documents counted at most: a plan should take seconds.
const COUNTED: usize = 200_000;
/// Share of pairs too long for the context from which it is worth a word.
const MANY: f64 = 0.1;

/// A plan with its token counts estimated. Exact counts replace them as soon as the corpus is tokenised.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Unique training tokens; synthetic ones as many as are wanted.
    pub supply: Supply,
    /// Every arm's budget and sources.
    pub arms: Vec<ArmPlan>,
    /// What training on one token costs.
    pub flops_per_token: f64,
    /// FLOPs to make the synthetic documents: base model, tuning, generation.
    pub overhead_flops: f64,
    /// What will not be as the recipe says.
    pub concerns: Vec<Concern>,
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

/// Looks at the first documents and works the plan out from them.
///
/// # Errors
/// When the corpus cannot be read, or an arm cannot divide its budget.
pub fn preview(plan: &Plan) -> Result<Preview> {
    caught("plan", || look(plan))
}

fn look(plan: &Plan) -> Result<Preview> {
    let seen = Seen::of(plan)?;
    let recipe = &plan.recipe;
    let mut supply = seen.supply(plan);
    let full_tokens = plan.full_steps(&supply) * recipe.training.tokens_per_step;
    let context = recipe.model.context_length as f64;
    let mean_context =
        if recipe.training.cross_documents { context } else { seen.mean_tokens().min(context) } / 2.0;
    let flops_per_token = recipe.model.train_flops_per_token(recipe.tokenizer.vocab_size, mean_context);
    let wanted = plan.synthetic_wanted(&supply).map_err(failed("plan"))?;
    supply.synthetic = wanted;
    let synthesis = recipe.synthesis().ok().filter(|_| wanted > 0);
    let overhead_flops =
        synthesis.map_or(0.0, |synthesis| seen.overhead_tokens(plan, synthesis, &supply) * flops_per_token);
    let arms = plan.arms(&supply, overhead_flops as u64, flops_per_token).map_err(failed("plan"))?;

    let mut concerns = Vec::new();
    seen.documents(plan, &supply, &arms, &mut concerns);
    if let Some(synthesis) = synthesis {
        seen.pairs(plan, synthesis, &mut concerns);
        seen.synthetic(plan, synthesis, wanted, &mut concerns);
    }
    let budget = full_tokens as f64 * flops_per_token;
    if recipe.budget.match_on == MatchOn::TotalFlops && overhead_flops >= budget {
        concerns.push(Concern {
            pointer: "/budget/duration".to_owned(),
            code: Code::BudgetNotReached,
            message: format!(
                "making the synthetic documents takes about {overhead_flops:.1e} FLOPs, an arm's whole budget is {budget:.1e}"
            ),
            help: "raise it, shorten base.duration and synthesizer.duration, or match on train_tokens",
        });
    }
    Ok(Preview { supply, arms, flops_per_token, overhead_flops, concerns })
}

/// What was seen of the corpus.
struct Seen {
    /// Lengths of the first documents, in tokens.
    lengths: Vec<f64>,
    /// Documents for the oracle's pool, counted up to what is asked for.
    pool: Counted,
    heldout: Counted,
}

/// A count that stops where it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Exactly(usize),
    Enough,
}

impl Seen {
    fn of(plan: &Plan) -> Result<Self> {
        let fail = failed("corpus");
        let splits = &plan.recipe.splits;
        let corpus = plan.recipe.corpus.build(&BuildContext::default()).map_err(&fail)?;
        let per_token = bytes_per_token(plan.recipe.tokenizer.vocab_size);
        let lengths: Vec<f64> = corpus
            .documents()
            .map_err(&fail)?
            .filter_map(document)
            .take(LOOKED_AT)
            .map(|document| Ok(document?.text.len() as f64 / per_token + 1.0))
            .collect::<Result<_>>()?;
        if lengths.is_empty() {
            return Err(Error::Corpus("there is no document in it".to_owned()));
        }
        let pool = splits.pretrain_documents * splits.oracle_factor;
        Ok(Self {
            lengths,
            pool: count(corpus.documents().map_err(&fail)?, pool)?,
            heldout: count(corpus.heldout().map_err(&fail)?, splits.heldout_documents)?,
        })
    }

    fn mean_tokens(&self) -> f64 {
        self.lengths.iter().sum::<f64>() / self.lengths.len() as f64
    }

    fn supply(&self, plan: &Plan) -> Supply {
        let splits = &plan.recipe.splits;
        let asked = splits.pretrain_documents * splits.oracle_factor;
        let at_hand = match self.pool {
            Counted::Exactly(documents) => documents,
            Counted::Enough => asked,
        };
        let tokens = |documents: usize| (documents as f64 * self.mean_tokens()) as u64;
        Supply {
            pretrain: tokens(splits.pretrain_documents.min(at_hand)),
            oracle: tokens(at_hand),
            synthetic: 0,
        }
    }

    /// Training tokens that cost as much as making the synthetic documents.
    fn overhead_tokens(&self, plan: &Plan, synthesis: Synthesis<'_>, supply: &Supply) -> f64 {
        let per_step = plan.recipe.training.tokens_per_step;
        let base = match synthesis.synthesizer.init.from {
            InitFrom::Base => synthesis.base.duration.steps(per_step, supply.pretrain) * per_step,
            InitFrom::Scratch | InitFrom::Checkpoint => 0,
        };
        let pairs = plan.recipe.splits.pretrain_documents * synthesis.pairs.neighbors;
        let section = synthesis.synthesizer;
        let per_step = section.tuning.tokens_per_step;
        let of_pairs = (pairs as f64 * 2.0 * self.mean_tokens()) as u64;
        let tune = section.duration.steps(per_step, of_pairs) * per_step;
        // Running forward is a third of training, and a draw reads its seed document too.
        let of_a_round = tune as f64 + 2.0 * supply.synthetic as f64 / 3.0;
        base as f64 + f64::from(section.rounds.count) * of_a_round
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
            concerns.push(Concern {
                pointer: "/splits/oracle_factor".to_owned(),
                code: Code::OracleTooSmall,
                message: format!(
                    "the oracle's pool has {found} documents instead of {}: {:.1} times D_pretrain, which it would pass over {:.2} times",
                    splits.pretrain_documents * splits.oracle_factor,
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

/// English under a byte-level BPE trained on the same text. A line through two measurements: 3.8 bytes a token with
/// 1,536 tokens on the world of concepts, 4.5 with 4,096 on abstracts of papers.
pub(crate) fn bytes_per_token(vocab_size: usize) -> f64 {
    (3.0 + 1.5 * (vocab_size as f64 / 512.0).log(8.0)).clamp(1.0, 5.0)
}
