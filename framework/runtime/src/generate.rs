//! Decoding many prompts side by side, with a cache of keys and values.
//!
//! Rows of the cache that are in use stay together at the front: when a row finishes, the last row takes its
//! place, so no step computes for a finished one; and when enough are free, waiting prompts move in. All rows
//! run one token a step. The choice of a token is made in Rust from that prompt's own random stream, one number
//! a token, so it does not depend on what is decoded beside it (up to rounding of the probabilities).

use std::collections::VecDeque;

use sbp_core::{Cost, RngStream, TokenId};
use sbp_plugin::ports::{Completion, Decoding, Prompt};
use tch::{Kind, Tensor};

use crate::blocks::Layout;
use crate::error::{Error, Result};
use crate::language_model::{OpenedModel, group_size, to_vec};
use crate::model::Tokens;
use crate::model::cache::Cache;
use crate::model::is_fused;
use crate::native::fused::greatest;
use crate::native::products::linear;
use crate::sampling::draw;

/// A prompt on its way.
struct Row {
    /// Place in the list that was given.
    index: usize,
    rng: RngStream,
    prompt: Vec<TokenId>,
    emitted: Vec<TokenId>,
    /// Most tokens it may emit.
    limit: usize,
    log_prob: f64,
    finished: bool,
}

impl Row {
    /// Tokens whose keys are in the cache: all but the one chosen last.
    fn cached(&self) -> usize {
        self.prompt.len() + self.emitted.len() - 1
    }

    fn is_done(&self) -> bool {
        self.finished || self.emitted.len() >= self.limit
    }

    fn complete(mut self, cost: Cost) -> Completion {
        if self.finished {
            self.emitted.pop();
        }
        Completion { tokens: self.emitted, log_prob: self.log_prob, finished: self.finished, cost }
    }
}

/// Continues every prompt, and hands each completion to `done` when it ends.
pub(crate) fn complete(
    model: &mut OpenedModel,
    prompts: Vec<Prompt>,
    how: &Decoding,
    done: &mut dyn FnMut(usize, Completion) -> sbp_plugin::Result<()>,
) -> sbp_plugin::Result<()> {
    let _guard = tch::no_grad_guard();
    let mut waiting = check(model, prompts, how)?;
    let positions = waiting.iter().map(|row| row.prompt.len() + row.limit).max().unwrap_or(0);
    let capacity = how.batch_size.min(waiting.len());
    let mut cache = Cache::new(&model.dims, capacity, positions, model.transformer.kind(), model.device)?;
    let mut rows: Vec<Row> = Vec::with_capacity(capacity);

    while !(rows.is_empty() && waiting.is_empty()) {
        // Not for every single free row: a forward pass over one prompt costs as much as over several.
        let free = capacity - rows.len();
        if free * 8 >= capacity && !waiting.is_empty() {
            let group = group_size(waiting.iter().take(free).map(|row| row.prompt.len()));
            let first = rows.len();
            rows.extend(waiting.drain(..group));
            let logits_rv = read_prompts(model, &rows[first..], first, &mut cache)?;
            choose(&logits_rv, &mut rows[first..], how)?;
        } else {
            let logits_rv = step(model, &rows, &mut cache)?;
            choose(&logits_rv, &mut rows, how)?;
        }
        // From the back, so that the row which moves in has been looked at already.
        for place in (0..rows.len()).rev() {
            if rows[place].is_done() {
                let last = rows.len() - 1;
                if place != last {
                    cache.copy_row(last, place)?;
                }
                let row = rows.swap_remove(place);
                // As one pass over prompt and continuation.
                let cost = model.charge(row.prompt.len() + row.emitted.len());
                done(row.index, row.complete(cost))?;
            }
        }
    }
    Ok(())
}

/// Checked prompts as rows, longest first, so that prompts of like length are read together and equal ones once.
fn check(model: &OpenedModel, prompts: Vec<Prompt>, how: &Decoding) -> Result<VecDeque<Row>> {
    let refuse = |what: &str| Err(Error::Invalid(format!("decoding: {what}")));
    if how.batch_size == 0 {
        return refuse("batch_size must be at least 1");
    }
    if how.max_new_tokens == 0 {
        return refuse("max_new_tokens must be at least 1");
    }
    if !(how.temperature.is_finite() && how.temperature >= 0.0) {
        return refuse("temperature must be a number from 0");
    }
    if !(how.top_p > 0.0 && how.top_p <= 1.0) {
        return refuse("top_p must be above 0 and at most 1");
    }
    if !(how.min_p >= 0.0 && how.min_p <= 1.0) {
        return refuse("min_p must be a number from 0 to 1");
    }
    let context = model.config.context_length;
    let mut rows = Vec::with_capacity(prompts.len());
    for (index, Prompt { tokens, rng }) in prompts.into_iter().enumerate() {
        model.check(index, &tokens)?;
        if tokens.len() >= context {
            let reason = format!(
                "is a prompt of {} tokens and leaves no room in a context of {context}",
                tokens.len()
            );
            return Err(Error::Sequence { index, reason });
        }
        let limit = how.max_new_tokens.min(context - tokens.len());
        rows.push(Row {
            index,
            rng,
            prompt: tokens,
            emitted: Vec::new(),
            limit,
            log_prob: 0.0,
            finished: false,
        });
    }
    rows.sort_by(|a, b| b.prompt.len().cmp(&a.prompt.len()).then_with(|| a.prompt.cmp(&b.prompt)));
    Ok(rows.into())
}

/// Reads prompts into the cache, from its row `first` on; logits of what follows each. Of equal prompts one after another
/// the first is read, and copied for the others.
fn read_prompts(model: &OpenedModel, rows: &[Row], first: usize, cache: &mut Cache) -> Result<Tensor> {
    // The place of each row's prompt among those that are read, and the row that each of these is read into.
    let (mut read, mut read_into) = (Vec::with_capacity(rows.len()), Vec::new());
    for (place, row) in rows.iter().enumerate() {
        if place == 0 || rows[place - 1].prompt != row.prompt {
            read_into.push(place);
        }
        read.push(read_into.len() as i64 - 1);
    }
    let prompts: Vec<&[TokenId]> = read_into.iter().map(|&place| rows[place].prompt.as_slice()).collect();
    let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
    let layout = Layout::new(&lengths);
    let mut slots = Vec::with_capacity(layout.num_tokens);
    for (sequence, _, length) in layout.rows() {
        // Padding goes behind the prompt, where it is masked until its place is taken.
        slots.extend((0..length).map(|position| cache.slot(first + read_into[sequence], position)));
    }
    let last_rows: Vec<i64> =
        layout.starts.iter().zip(&lengths).map(|(start, length)| (start + length - 1) as i64).collect();
    let ids = layout.spread(&prompts, 0_i64, i64::from);
    let positions = layout.positions();
    let tokens = Tokens::new(layout, &ids, &positions, &slots, &model.rotary, model.device)?;
    let hidden_nd = model.transformer.hidden(&tokens, Some(cache))?;
    for (place, &prompt) in read.iter().enumerate() {
        let from = read_into[prompt as usize];
        if from != place {
            cache.copy_row(first + from, first + place)?;
        }
    }
    let tensor = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(model.device);
    let logits_pv = linear(&hidden_nd.f_index_select(0, &tensor(&last_rows)?)?, model.transformer.head())?;
    if read_into.len() == rows.len() {
        return Ok(logits_pv);
    }
    Ok(logits_pv.f_index_select(0, &tensor(&read)?)?)
}

/// Runs the token chosen last in every row; logits of what follows.
fn step(model: &OpenedModel, rows: &[Row], cache: &mut Cache) -> Result<Tensor> {
    let (mut ids, mut positions, mut slots) = (Vec::new(), Vec::new(), Vec::new());
    for (place, row) in rows.iter().enumerate() {
        let position = row.cached();
        ids.push(row.emitted.last().map_or(0, |&token| i64::from(token)));
        positions.push(position as i64);
        slots.push(cache.slot(place, position));
    }
    let tokens = Tokens::new(Layout::new(&[]), &ids, &positions, &slots, &model.rotary, model.device)?;
    let mask = if model.transformer.is_fused() { None } else { Some(mask(model, rows)?) };
    let hidden_rd = model.transformer.step(&tokens, cache, mask.as_ref())?;
    linear(&hidden_rd, model.transformer.head())
}

/// Which positions each row sees: its own, of all that any row has.
fn mask(model: &OpenedModel, rows: &[Row]) -> Result<Tensor> {
    let seen = rows.iter().map(Row::cached).max().unwrap_or(0) + 1;
    let mut mask = vec![f32::NEG_INFINITY; rows.len() * seen];
    for (place, row) in rows.iter().enumerate() {
        mask[place * seen..][..=row.cached()].fill(0.0);
    }
    let mask = Tensor::f_from_slice(&mask)?.f_view([rows.len() as i64, 1, 1, seen as i64])?;
    Ok(mask.f_to_device(model.device)?.f_to_kind(model.transformer.kind())?)
}

/// Chooses the next token of every row.
fn choose(logits_rv: &Tensor, rows: &mut [Row], how: &Decoding) -> Result<()> {
    let logits_rv = logits_rv.f_to_kind(Kind::Float)?;
    if how.temperature == 0.0 && is_fused(&logits_rv) {
        let (chosen, log_probs) = greatest(&logits_rv)?;
        emit(rows, chosen, log_probs, how);
        return Ok(());
    }
    let chosen: Vec<i64> = if how.temperature == 0.0 {
        // The first of equals, as libtorch documents.
        Vec::try_from(logits_rv.f_argmax(1, false)?.f_to_device(tch::Device::Cpu)?)?
    } else {
        let scaled_rv = logits_rv.f_mul_scalar(1.0 / how.temperature)?;
        let probabilities = to_vec(&scaled_rv.f_softmax(1, Kind::Float)?)?;
        let vocabulary = probabilities.len() / rows.len();
        let of_row = probabilities.chunks_exact(vocabulary).zip(rows.iter_mut());
        of_row.map(|(row, Row { rng, .. })| draw(row, how, rng.uniform()) as i64).collect()
    };
    let chosen_r1 = Tensor::f_from_slice(&chosen)?.f_unsqueeze(1)?.f_to_device(logits_rv.device())?;
    let log_probs = to_vec(&logits_rv.f_log_softmax(1, Kind::Float)?.f_gather(1, &chosen_r1, false)?)?;
    emit(rows, chosen, log_probs, how);
    Ok(())
}

fn emit(rows: &mut [Row], chosen: Vec<i64>, log_probs: Vec<f32>, how: &Decoding) {
    for ((row, token), log_prob) in rows.iter_mut().zip(chosen).zip(log_probs) {
        let token = token as TokenId;
        row.emitted.push(token);
        row.log_prob += f64::from(log_prob);
        row.finished = token == how.stop;
    }
}

#[cfg(test)]
mod tests {
    use sbp_core::RootSeed;
    use sbp_plugin::ports::LanguageModel;

    use super::*;
    use crate::language_model::tests::model;

    const GREEDY: Decoding = Decoding {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
        max_new_tokens: 12,
        stop: 49,
        batch_size: 3,
    };

    fn complete(model: &mut OpenedModel, prompts: Vec<Prompt>, how: &Decoding) -> Vec<Completion> {
        let mut completions: Vec<Option<Completion>> = vec![None; prompts.len()];
        let mut done = |place: usize, completion| {
            assert!(completions[place].replace(completion).is_none(), "completed twice");
            Ok(())
        };
        model.complete(prompts, how, &mut done).unwrap();
        completions.into_iter().map(Option::unwrap).collect()
    }

    fn prompts() -> Vec<Prompt> {
        let mut stream = RootSeed(8).stream("prompts", &[]);
        let lengths = [5, 20, 1, 9, 5, 30, 2];
        let tokens = lengths.map(|length| (0..length).map(|_| stream.below(49) as TokenId).collect());
        let rng = |index| RootSeed(9).stream("prompt", &[index as u64]);
        tokens.into_iter().enumerate().map(|(index, tokens)| Prompt { tokens, rng: rng(index) }).collect()
    }

    /// The whole sequence of a completion, the stop token included.
    fn whole(prompt: &Prompt, completion: &Completion) -> Vec<TokenId> {
        let mut tokens = prompt.tokens.clone();
        tokens.extend(&completion.tokens);
        if completion.finished {
            tokens.push(GREEDY.stop);
        }
        tokens
    }

    #[test]
    fn cached_decoding_says_what_a_full_pass_says() {
        for tied in [true, false] {
            let mut model = model(tied);
            let how = Decoding { temperature: 1.3, top_p: 0.9, ..GREEDY };
            let completions = complete(&mut model, prompts(), &how);
            for (prompt, completion) in prompts().iter().zip(&completions) {
                let whole = whole(prompt, completion);
                assert!(whole.len() <= 32 && completion.tokens.len() <= 12);
                let full = model.log_probs(std::slice::from_ref(&whole)).unwrap();
                let expected: f64 = full[0][prompt.tokens.len() - 1..].iter().copied().map(f64::from).sum();
                assert!((completion.log_prob - expected).abs() < 1e-4, "{} {expected}", completion.log_prob);
            }
        }
    }

    #[test]
    fn greedy_takes_the_most_probable_token() {
        let mut model = model(true);
        let completions = complete(&mut model, prompts(), &GREEDY);
        for (prompt, completion) in prompts().iter().zip(&completions) {
            let whole = whole(prompt, completion);
            for place in prompt.tokens.len()..whole.len() {
                let every: Vec<Vec<TokenId>> =
                    (0..50).map(|token| [&whole[..place], &[token]].concat()).collect();
                let last = |index: usize, found: &[Vec<f32>]| found[index][place - 1];
                let found = model.log_probs(&every).unwrap();
                let best = (0..50).map(|token| last(token, &found)).fold(f32::NEG_INFINITY, f32::max);
                assert!(best - last(whole[place] as usize, &found) < 1e-5);
            }
        }
    }

    #[test]
    fn a_completion_does_not_depend_on_its_neighbours() {
        let mut model = model(true);
        let how = Decoding { temperature: 1.0, top_p: 0.95, ..GREEDY };
        let alone = Decoding { batch_size: 1, ..how };
        assert_eq!(
            complete(&mut model, prompts(), &how).into_iter().map(|it| it.tokens).collect::<Vec<_>>(),
            complete(&mut model, prompts(), &alone).into_iter().map(|it| it.tokens).collect::<Vec<_>>()
        );
    }

    #[test]
    fn equal_prompts_are_read_once_and_continued_apart() {
        let mut model = model(true);
        let how = Decoding { temperature: 1.2, batch_size: 8, ..GREEDY };
        let several = || -> Vec<Prompt> {
            let draws = (0..12).map(|draw| {
                let tokens = prompts()[draw % 3].tokens.clone();
                Prompt { tokens, rng: RootSeed(4).stream("draw", &[draw as u64]) }
            });
            draws.collect()
        };
        let together = complete(&mut model, several(), &how);
        for (prompt, expected) in several().into_iter().zip(&together) {
            let alone = complete(&mut model, vec![prompt], &how);
            assert_eq!(alone[0].tokens, expected.tokens);
            assert_eq!(alone[0].cost, expected.cost);
        }
        assert_ne!(together[0].tokens, together[3].tokens);
    }

    #[test]
    fn what_was_completed_before_an_error_stands() {
        let mut model = model(true);
        let mut places = Vec::new();
        let error = model.complete(prompts(), &GREEDY, &mut |place, _| {
            places.push(place);
            if places.len() == 3 { Err("enough".into()) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().to_string(), "enough");
        assert_eq!(places.len(), 3);
    }

    #[test]
    fn bf16_says_about_what_fp32_says() {
        let exact = model(true);
        let (config, dims) = (exact.config.clone(), exact.dims);
        let stream = RootSeed(5).stream("init", &[]);
        let parameters = crate::model::Parameters::fresh(&dims, stream, tch::Device::Cpu).unwrap();
        let mut rough = OpenedModel::new(config, dims, parameters, Kind::BFloat16, tch::Device::Cpu).unwrap();
        let completions = complete(&mut rough, prompts(), &GREEDY);
        let mut exact = exact;
        for (prompt, completion) in prompts().iter().zip(&completions) {
            let whole = whole(prompt, completion);
            let full = exact.log_probs(std::slice::from_ref(&whole)).unwrap();
            let expected: f64 = full[0][prompt.tokens.len() - 1..].iter().copied().map(f64::from).sum();
            assert!((completion.log_prob - expected).abs() < 0.3, "{} {expected}", completion.log_prob);
            assert!((completion.log_prob - expected).abs() > 0.0);
        }
    }

    #[test]
    fn the_stop_token_ends_and_is_left_out() {
        let mut model = model(true);
        let first = complete(&mut model, prompts(), &GREEDY);
        let stop = first[0].tokens[0];
        let second = complete(&mut model, prompts(), &Decoding { stop, ..GREEDY });
        assert!(second[0].tokens.is_empty());
        assert!(second[0].finished && second[0].log_prob < 0.0);
        // Context 32: a prompt of 30 leaves room for 2.
        assert_eq!((first[5].tokens.len(), first[5].finished), (2, false));
    }

    #[test]
    fn prompts_without_room_are_an_error() {
        let mut model = model(true);
        let prompt = |length| Prompt { tokens: vec![1; length], rng: RootSeed(1).stream("prompt", &[]) };
        let mut none = |_, _| panic!("nothing can be completed");
        let message =
            model.complete(vec![prompt(3), prompt(32)], &GREEDY, &mut none).unwrap_err().to_string();
        assert_eq!(message, "sequence 1 is a prompt of 32 tokens and leaves no room in a context of 32");
        model.complete(vec![], &GREEDY, &mut none).unwrap();
    }

    #[test]
    fn cost_counts_prompts_and_what_was_emitted() {
        let mut model = model(true);
        let completions = complete(&mut model, prompts(), &GREEDY);
        let tokens: usize = prompts()
            .iter()
            .zip(&completions)
            .map(|(prompt, completion)| whole(prompt, completion).len())
            .sum();
        assert_eq!(model.take_cost().tokens, tokens as u64);
    }
}
