//! A context and a continuation as tokens, split as lm-evaluation-harness splits them.

use sbp_plugin::ports::{Continuation, Tokenizer};
use sbp_plugin::prelude::*;

/// Context and continuation as tokens that fit the model.
///
/// As in the harness's `_encode_pair`: whitespace at the end of the context goes to the continuation; both are encoded
/// as one text, and what follows as many tokens as the context alone takes is the continuation. Nothing is put in front
/// of the context, save `end_of_text` where it is empty. What does not fit is cut from the left: context and
/// continuation keep the last `context_length` tokens and one more, the last being predicted and never read.
///
/// # Errors
/// When nothing is left of the context or of the continuation.
pub(super) fn encode(
    tokenizer: &dyn Tokenizer,
    context_length: usize,
    context: &str,
    continuation: &str,
) -> Result<Continuation> {
    let visible = context.trim_end();
    let mut tokens = tokenizer.encode(&(context.to_owned() + continuation))?;
    let continuation_at = if visible.is_empty() {
        tokens.insert(0, tokenizer.markers().end_of_text);
        1
    } else {
        tokenizer.encode(visible)?.len()
    };
    let cut = tokens.len().saturating_sub(context_length + 1);
    if cut >= continuation_at {
        return Err(format!(
            "the answer {continuation:?} leaves no room for a question in a context of {context_length} tokens; give the model a longer one"
        )
        .into());
    }
    if continuation_at >= tokens.len() {
        return Err(format!(
            "the tokenizer makes one token of {continuation:?} and what is before it; let target_delimiter be a space"
        )
        .into());
    }
    let continuation = tokens.split_off(continuation_at);
    tokens.drain(..cut);
    Ok(Continuation { context: tokens, tokens: continuation })
}

/// A prompt as tokens that leave room for an answer: the last `most` of them; `end_of_text` where it is empty.
///
/// # Errors
/// When the tokenizer fails.
pub(super) fn prompt(tokenizer: &dyn Tokenizer, most: usize, text: &str) -> Result<Vec<TokenId>> {
    let mut tokens = tokenizer.encode(text)?;
    if tokens.is_empty() {
        tokens.push(tokenizer.markers().end_of_text);
    }
    tokens.drain(..tokens.len().saturating_sub(most));
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use sbp_core::Markers;
    use sbp_testkit::ByteTokenizer;

    use super::*;

    /// One token for each word with the space before it, and one for each space that no word follows.
    struct Words;

    impl Tokenizer for Words {
        fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
            let mut tokens = Vec::new();
            let mut word = String::new();
            for c in text.chars() {
                if c == ' ' && !word.is_empty() {
                    tokens.push(std::mem::take(&mut word));
                }
                word.push(c);
            }
            tokens.extend(Some(word).filter(|word| !word.is_empty()));
            Ok(tokens.iter().map(|word| word.bytes().map(TokenId::from).sum()).collect())
        }
        fn decode(&self, _: &[TokenId]) -> Result<String> {
            Err("not needed".into())
        }
        fn markers(&self) -> Markers {
            Markers { end_of_text: 0, related: 1 }
        }
        fn vocab_size(&self) -> usize {
            1 << 20
        }
    }

    fn split(context: &str, continuation: &str, context_length: usize) -> (String, String) {
        let encoded = encode(&ByteTokenizer, context_length, context, continuation).expect("encoded");
        let text = |tokens: &[TokenId]| ByteTokenizer.decode(tokens).expect("text");
        (text(&encoded.context), text(&encoded.tokens))
    }

    #[test]
    fn spaces_at_the_end_of_a_context_go_to_the_continuation() {
        assert_eq!(split("a b", " c", 9), ("a b".to_owned(), " c".to_owned()));
        assert_eq!(split("a b \n ", "c", 9), ("a b".to_owned(), " \n c".to_owned()));
        // Encoded apart, the space and the word would be two tokens.
        let encoded = encode(&Words, 9, "to be ", "or not").expect("encoded");
        assert_eq!(encoded.context, Words.encode("to be").expect("tokens"));
        assert_eq!(encoded.tokens, Words.encode(" or not").expect("tokens"));
    }

    #[test]
    fn an_empty_context_is_the_end_of_a_text() {
        for context in ["", "  "] {
            let encoded = encode(&ByteTokenizer, 9, context, "ab").expect("encoded");
            assert_eq!(encoded.context, [256]);
            assert_eq!(ByteTokenizer.decode(&encoded.tokens).expect("text"), format!("{context}ab"));
        }
        assert_eq!(prompt(&ByteTokenizer, 4, "").expect("tokens"), [256]);
    }

    #[test]
    fn what_does_not_fit_is_cut_from_the_left() {
        // Seven bytes are read and one more is predicted.
        assert_eq!(split("0123456789", " abc", 7), ("6789".to_owned(), " abc".to_owned()));
        assert_eq!(split("0123", " abc", 7), ("0123".to_owned(), " abc".to_owned()));
        assert_eq!(split("0123", " abcdef", 7), ("3".to_owned(), " abcdef".to_owned()));
        let error =
            |continuation| encode(&ByteTokenizer, 7, "0123", continuation).expect_err("an error").to_string();
        assert!(error(" abcdefg").contains("leaves no room for a question in a context of 7 tokens"));
        assert!(
            encode(&Words, 9, "fire", "man")
                .expect_err("one token")
                .to_string()
                .contains("let target_delimiter")
        );
        assert_eq!(prompt(&ByteTokenizer, 3, "01234").expect("tokens"), [50, 51, 52]);
    }
}
