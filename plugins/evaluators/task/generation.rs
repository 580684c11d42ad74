//! The model's own words: greedy decoding until a text that ends an answer.

use sbp_plugin::ports::{Decoding, LanguageModel, Prompt, Tokenizer};
use sbp_plugin::prelude::*;

use super::definition::Generation;
use super::tokens;

/// Tokens of the first round. Most answers are shorter.
const FIRST_ROUND: usize = 16;

/// The likeliest answer to each prompt, token by token, without the text that ended it.
///
/// A prompt loses its beginning where it and the longest answer do not fit the context; an answer may take half of the
/// context at most. Decoding goes in rounds, each twice as long as the one before, and only answers without an end take
/// part in the next: so any text can end an answer, and little is decoded in vain. A round reads its prompts anew.
///
/// # Errors
/// When model or tokenizer fail.
pub(super) fn answers(
    model: &mut dyn LanguageModel,
    tokenizer: &dyn Tokenizer,
    prompts: &[&str],
    how: &Generation,
) -> Result<Vec<String>> {
    let context_length = model.context_length();
    let most = how.max_tokens.min((context_length / 2).max(1));
    let room = context_length.saturating_sub(most).max(1);
    let prompts: Vec<Vec<TokenId>> =
        prompts.iter().map(|prompt| tokens::prompt(tokenizer, room, prompt)).collect::<Result<_>>()?;
    let mut emitted: Vec<Vec<TokenId>> = vec![Vec::new(); prompts.len()];
    let mut texts = vec![String::new(); prompts.len()];
    let mut open: Vec<usize> = (0..prompts.len()).collect();
    let (mut done, mut round) = (0, FIRST_ROUND);
    while !open.is_empty() && done < most {
        let decoding = Decoding {
            temperature: 0.0,
            max_new_tokens: round.min(most - done),
            stop: tokenizer.markers().end_of_text,
            ..Decoding::default()
        };
        let prompt = |&place: &usize| Prompt {
            tokens: [prompts[place].as_slice(), &emitted[place]].concat(),
            // Greedy decoding asks no stream.
            rng: RootSeed(0).stream("greedy answer", &[place as u64]),
        };
        let asked: Vec<Prompt> = open.iter().map(prompt).collect();
        let mut next = Vec::new();
        model.complete(asked, &decoding, &mut |index, completion| {
            let place = open[index];
            emitted[place].extend(completion.tokens);
            let text = tokenizer.decode(&emitted[place])?;
            let end = how.until.iter().filter_map(|until| text.find(until.as_str())).min();
            if end.is_none() && !completion.finished {
                next.push(place);
            }
            texts[place] = text[..end.unwrap_or(text.len())].to_owned();
            Ok(())
        })?;
        next.sort_unstable();
        (open, done, round) = (next, done + decoding.max_new_tokens, round * 2);
    }
    Ok(texts)
}

/// Whether an answer is one of the accepted, as the harness's `exact_match` compares, spaces around the answer aside.
pub(super) fn is_accepted(answer: &str, accepted: &[String], how: &Generation) -> bool {
    let plain = |text: &str| {
        let text = if how.ignore_case { text.to_lowercase() } else { text.to_owned() };
        match how.ignore_punctuation {
            true => text.chars().filter(|c| !c.is_ascii_punctuation()).collect(),
            false => text,
        }
    };
    let answer = plain(answer.trim());
    accepted.iter().any(|accepted| plain(accepted) == answer)
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{BigramModel, ByteTokenizer};

    use super::*;

    fn how(until: &[&str], max_tokens: usize) -> Generation {
        Generation {
            until: until.iter().map(|text| (*text).to_owned()).collect(),
            max_tokens,
            ignore_case: true,
            ignore_punctuation: true,
        }
    }

    /// A model that says the letters after another, and `?` for ever.
    fn alphabet(context_length: usize) -> BigramModel {
        let mut model = BigramModel::untrained(context_length);
        for text in ["abcdefghijklmnopqrstuvwxyz", "??", "!"] {
            model.learn(&ByteTokenizer.document(text));
        }
        // "??" taught the end behind "?" as often as another "?".
        model.learn(&sbp_core::Example { tokens: vec![63, 63], loss_weights: vec![0.0, 5.0] });
        model
    }

    fn answers_of(model: &mut BigramModel, prompts: &[&str], how: &Generation) -> Vec<String> {
        answers(model, &ByteTokenizer, prompts, how).expect("answers")
    }

    #[test]
    fn the_earliest_text_ends_an_answer_in_whichever_round_it_comes() {
        let mut model = alphabet(200);
        let found = answers_of(&mut model, &["a", "x", "?", "!"], &how(&["uv", "j", "q"], 40));
        assert_eq!(found, ["bcdefghi", "yz", &"?".repeat(40), ""]);
        // Sixteen letters and the first of the second round.
        let found = answers_of(&mut model, &["c"], &how(&["st", "zz"], 40));
        assert_eq!(found, ["defghijklmnopqr"]);
        assert_eq!(answers_of(&mut model, &["a"], &how(&["z"], 3)), ["bcd"]);
    }

    #[test]
    fn in_a_short_context_an_answer_takes_half_and_the_prompt_loses_its_beginning() {
        let mut model = alphabet(8);
        assert_eq!(answers_of(&mut model, &["something long and then a"], &how(&["z"], 256)), ["bcde"]);
        assert_eq!(answers_of(&mut alphabet(2), &["a"], &how(&["z"], 256)), ["b"]);
    }

    #[test]
    fn answers_are_compared_without_case_and_punctuation_and_with_every_alias() {
        let accepted = ["D. H. Lawrence".to_owned(), "Lawrence".to_owned()];
        let how = how(&["."], 9);
        for (answer, expected) in [
            ("  lawrence\n", true),
            ("d h LAWRENCE!", true),
            ("Lawrence of", false),
            ("DH Lawrence", false),
            ("", false),
        ] {
            assert_eq!(is_accepted(answer, &accepted, &how), expected, "{answer}");
        }
        let exact = Generation { ignore_case: false, ignore_punctuation: false, ..how };
        assert!(is_accepted(" Lawrence", &accepted, &exact) && !is_accepted("lawrence", &accepted, &exact));
    }
}
