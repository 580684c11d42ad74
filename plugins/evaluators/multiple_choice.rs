//! The corpus's own questions, answered by likelihood.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::Question;
use sbp_plugin::slots::evaluator::{EvalContext, Evaluator, Score};

/// Multiple-choice questions with known answers, made by the corpus.
///
/// A choice scores the summed log-likelihood of its tokens after `end_of_text` and the context, not divided by its
/// length. `eval/questions/acc` is the share of questions whose answer scores best (a tie counts in part);
/// `eval/questions/nll` is the mean of -log of the answer's softmax over the choices, in nats, where guessing gives
/// the log of their number. Context and choice are tokenized apart, which is how a byte-level tokenizer splits them
/// anyway before a choice that begins with a space. A context too long for the model loses its beginning.
///
/// Cost: one forward pass over context and choice for every choice of every question, `batch_size` sequences at
/// once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MultipleChoiceConfig {
    /// Ask the first this many questions; all of them when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_questions: Option<usize>,
    /// Sequences run through the model side by side. Changes speed and memory, not the score.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
}

impl Default for MultipleChoiceConfig {
    fn default() -> Self {
        Self { max_questions: None, batch_size: 64 }
    }
}

impl Plugin<slots::Evaluator> for MultipleChoiceConfig {
    const KIND: &'static str = "multiple_choice";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Evaluator>> {
        Ok(Box::new(MultipleChoice(self.clone())))
    }
}
register!(slots::Evaluator => MultipleChoiceConfig);

const ACCURACY: &str = "eval/questions/acc";
const NLL: &str = "eval/questions/nll";

struct MultipleChoice(MultipleChoiceConfig);

impl Evaluator for MultipleChoice {
    fn metrics(&self) -> Vec<String> {
        vec![ACCURACY.to_owned(), NLL.to_owned()]
    }

    fn evaluate(&mut self, context: &mut EvalContext<'_>) -> Result<Vec<Score>> {
        let questions =
            &context.questions[..self.0.max_questions.unwrap_or(usize::MAX).min(context.questions.len())];
        if questions.is_empty() {
            return Err(
                "the corpus has no questions to ask; use one that makes them, such as \"concepts\", or take \
                        this evaluator out of the recipe"
                    .into(),
            );
        }
        let mut sequences = Vec::new();
        let mut choice_lengths = Vec::new();
        for question in questions {
            for (sequence, choice_length) in sequences_of(question, context)? {
                sequences.push(sequence);
                choice_lengths.push(choice_length);
            }
        }
        let mut scores = Vec::with_capacity(sequences.len());
        let batch_size = self.0.batch_size.max(1);
        for (sequences, lengths) in sequences.chunks(batch_size).zip(choice_lengths.chunks(batch_size)) {
            for (row, length) in context.model.log_probs(sequences)?.iter().zip(lengths) {
                let choice = &row[row.len().saturating_sub(*length)..];
                scores.push(choice.iter().map(|log_prob| f64::from(*log_prob)).sum::<f64>());
            }
        }
        let mut scores = scores.as_slice();
        let (mut accuracy, mut nll) = (Vec::new(), Vec::new());
        for question in questions {
            let (own, rest) = scores.split_at(question.choices.len());
            scores = rest;
            accuracy.push((credit(own, question.answer), 1.0));
            nll.push((-log_softmax(own, question.answer), 1.0));
        }
        Ok(vec![Score::ratio(ACCURACY, true, accuracy), Score::ratio(NLL, false, nll)])
    }
}

/// For each choice, what to run and how many tokens at its end are the choice's.
fn sequences_of(question: &Question, context: &EvalContext<'_>) -> Result<Vec<(Vec<TokenId>, usize)>> {
    if question.answer >= question.choices.len() {
        let problem = format!("answer {} of {} choices", question.answer, question.choices.len());
        return Err(format!("a question of the corpus is broken: {problem}: {:?}", question.context).into());
    }
    let stem = context.tokenizer.encode(&question.context)?;
    let mut sequences = Vec::with_capacity(question.choices.len());
    for choice in &question.choices {
        let choice_tokens = context.tokenizer.encode(choice)?;
        let Some(room) = context.model.context_length().checked_sub(1 + choice_tokens.len()) else {
            return Err(format!(
                "the choice {choice:?} does not fit into a context of {} tokens; give the model a longer one",
                context.model.context_length()
            )
            .into());
        };
        let stem = &stem[stem.len().saturating_sub(room)..];
        let sequence = [&[context.tokenizer.markers().end_of_text], stem, &choice_tokens].concat();
        sequences.push((sequence, choice_tokens.len()));
    }
    Ok(sequences)
}

/// 1 when the answer scores best alone, a part when it shares the best score, else 0.
fn credit(scores: &[f64], answer: usize) -> f64 {
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ties = scores.iter().filter(|score| **score == best).count();
    if scores[answer] == best { 1.0 / ties as f64 } else { 0.0 }
}

fn log_softmax(scores: &[f64], answer: usize) -> f64 {
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - best).exp()).sum();
    scores[answer] - best - sum.ln()
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{BigramModel, ByteTokenizer};

    use super::*;

    fn question(context: &str, choices: &[&str], answer: usize) -> Question {
        let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        Question { context: context.to_owned(), choices, answer }
    }

    fn evaluate(questions: &[Question], batch_size: usize, model: &mut BigramModel) -> Result<Vec<Score>> {
        let mut context = EvalContext { questions, ..EvalContext::new(model, &ByteTokenizer) };
        MultipleChoice(MultipleChoiceConfig { max_questions: None, batch_size }).evaluate(&mut context)
    }

    #[test]
    fn a_model_that_learned_the_answer_knows_it() {
        let mut model = BigramModel::untrained(32);
        let learned = ByteTokenizer.document("is red");
        (0..20).for_each(|_| model.learn(&learned));
        let questions =
            [question("it is", &[" blue", " red"], 1), question("it is", &[" red", " tan", " fog"], 1)];
        let scores = evaluate(&questions, 2, &mut model).unwrap();
        assert_eq!(scores[0].metric, "eval/questions/acc");
        assert_eq!(scores[0].units, [(1.0, 1.0), (0.0, 1.0)]);
        assert!(scores[1].units[0].0 < 0.1 && scores[1].units[1].0 > 1.0, "{scores:?}");
        assert_eq!(scores, evaluate(&questions, 64, &mut model).unwrap());
    }

    #[test]
    fn guessing_gives_chance() {
        let questions = [question("what", &[" a", " b", " c", " d"], 2)];
        let scores = evaluate(&questions, 8, &mut BigramModel::untrained(32)).unwrap();
        assert!((scores[0].value() - 0.25).abs() < 1e-12);
        assert!((scores[1].value() - 4f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn long_contexts_lose_their_beginning_and_long_choices_are_errors() {
        let mut model = BigramModel::untrained(8);
        assert!(evaluate(&[question("far too long a context", &[" a", " b"], 0)], 8, &mut model).is_ok());
        let error = evaluate(&[question("x", &[" long choice", " b"], 0)], 8, &mut model).unwrap_err();
        assert!(error.to_string().contains("does not fit"), "{error}");
    }

    #[test]
    fn no_questions_is_an_error_with_a_remedy() {
        let error = evaluate(&[], 8, &mut BigramModel::untrained(8)).unwrap_err().to_string();
        assert!(error.contains("take this evaluator out"), "{error}");
    }
}
