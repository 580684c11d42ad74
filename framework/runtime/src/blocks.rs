//! How the sequences of a step lie in memory: a few blocks of nearly equal length, one after another.
//!
//! Everything but attention works on the flat list of tokens. Attention works block by block, on views of
//! `rows` sequences by `length` tokens, so it never crosses documents and needs no mask: the padding at the end
//! of a row comes after all its tokens, where causal attention cannot see it. Sequences are sorted by length
//! and cut where the sum of padded tokens and a fixed cost per block is least; at 70 tokens a document about
//! one token in a hundred is padding.

/// Tokens of computation that one more block costs: its own kernels in every layer, forward and backward.
const BLOCK_COST: usize = 16;

/// `rows` sequences of at most `length` tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// Number of sequences.
    pub(crate) rows: usize,
    /// Tokens of each, padding included.
    pub(crate) length: usize,
}

/// Where every sequence of a list lies among the flat tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The blocks, one after another, longest first.
    pub(crate) blocks: Vec<Block>,
    /// First flat token of each sequence, by its place in the list.
    pub(crate) starts: Vec<usize>,
    /// Places in the list, in the order of the flat tokens.
    order: Vec<usize>,
    /// Number of flat tokens, padding included.
    pub(crate) num_tokens: usize,
}

impl Layout {
    /// The cheapest layout for sequences of these lengths.
    pub(crate) fn new(lengths: &[usize]) -> Self {
        Self::cut(lengths, partition)
    }

    /// A layout without padding: a block holds sequences of one length only.
    pub(crate) fn exact(lengths: &[usize]) -> Self {
        Self::cut(lengths, |runs| runs.iter().map(|&(length, rows)| Block { rows, length }).collect())
    }

    /// The layout whose blocks are cut from runs of equal length.
    fn cut(lengths: &[usize], blocks: impl FnOnce(&[(usize, usize)]) -> Vec<Block>) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        // Longest first, ties in the given order; the sort is stable.
        order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
        let runs = runs(order.iter().map(|&index| lengths[index]));
        let blocks = blocks(&runs);

        let mut starts = vec![0; lengths.len()];
        let mut num_tokens = 0;
        let mut sequences = order.iter();
        for block in &blocks {
            for &index in sequences.by_ref().take(block.rows) {
                starts[index] = num_tokens;
                num_tokens += block.length;
            }
        }
        Self { blocks, starts, order, num_tokens }
    }

    /// Every sequence as (place in the list, first flat token, tokens with padding), as they lie.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let lengths = self.blocks.iter().flat_map(|block| std::iter::repeat_n(block.length, block.rows));
        self.order.iter().zip(lengths).map(|(&sequence, length)| (sequence, self.starts[sequence], length))
    }

    /// Position of every flat token within its row.
    pub(crate) fn positions(&self) -> Vec<i64> {
        self.rows().flat_map(|(_, _, length)| 0..length as i64).collect()
    }

    /// Sequences spread over the flat tokens; places that no sequence reaches hold `padding`.
    pub(crate) fn spread<T: Copy, U: Copy>(
        &self,
        sequences: &[&[T]],
        padding: U,
        of: impl Fn(T) -> U,
    ) -> Vec<U> {
        let mut flat = vec![padding; self.num_tokens];
        for (sequence, &start) in sequences.iter().zip(&self.starts) {
            for (place, &value) in flat[start..].iter_mut().zip(*sequence) {
                *place = of(value);
            }
        }
        flat
    }

    /// Sizes of the blocks in flat tokens.
    pub(crate) fn block_tokens(&self) -> Vec<i64> {
        self.blocks.iter().map(|block| (block.rows * block.length) as i64).collect()
    }
}

/// Runs of equal length as (length, number of sequences); lengths come in descending order.
fn runs(lengths: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for length in lengths {
        match runs.last_mut() {
            Some((last, count)) if *last == length => *count += 1,
            _ => runs.push((length, 1)),
        }
    }
    runs
}

/// Cuts runs into blocks; quadratic in the number of different lengths, which the context bounds.
fn partition(runs: &[(usize, usize)]) -> Vec<Block> {
    // least[i]: least cost of the first i runs, and where its last block begins.
    let mut least = vec![(0_usize, 0_usize); runs.len() + 1];
    for end in 1..=runs.len() {
        let (mut best, mut rows) = ((usize::MAX, 0), 0);
        for begin in (0..end).rev() {
            rows += runs[begin].1;
            let cost = least[begin].0 + rows * runs[begin].0 + BLOCK_COST;
            if cost < best.0 {
                best = (cost, begin);
            }
        }
        least[end] = best;
    }
    let mut blocks = Vec::new();
    let mut end = runs.len();
    while end > 0 {
        let begin = least[end].1;
        let rows = runs[begin..end].iter().map(|(_, count)| count).sum();
        blocks.push(Block { rows, length: runs[begin].0 });
        end = begin;
    }
    blocks.reverse();
    blocks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_lengths_share_a_block_and_far_ones_do_not() {
        let layout = Layout::new(&[10, 100, 9, 100]);
        assert_eq!(layout.blocks, [Block { rows: 2, length: 100 }, Block { rows: 2, length: 10 }]);
        assert_eq!(layout.starts, [200, 0, 210, 100]);
        assert_eq!(layout.num_tokens, 220);
        assert_eq!(layout.positions()[200..], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn an_exact_layout_pads_nothing() {
        let layout = Layout::exact(&[10, 100, 9, 100]);
        let blocks = [(2, 100), (1, 10), (1, 9)].map(|(rows, length)| Block { rows, length });
        assert_eq!((layout.blocks.as_slice(), layout.num_tokens), (blocks.as_slice(), 219));
        assert_eq!(layout.starts, [200, 0, 210, 100]);
    }

    #[test]
    fn nothing_has_an_empty_layout() {
        assert_eq!(Layout::new(&[]), Layout { blocks: vec![], starts: vec![], order: vec![], num_tokens: 0 });
    }

    #[test]
    fn documents_of_like_length_waste_little() {
        let lengths: Vec<usize> = (0..58).map(|i| 50 + i * 37 % 41).collect();
        let layout = Layout::new(&lengths);
        let padding = layout.num_tokens - lengths.iter().sum::<usize>();
        assert!(padding * 40 < layout.num_tokens, "{padding} of {} tokens are padding", layout.num_tokens);
    }

    proptest! {
        #[test]
        fn every_sequence_has_a_place_of_its_own(lengths in prop::collection::vec(1_usize..60, 0..40)) {
            let layout = Layout::new(&lengths);
            let sequences: Vec<Vec<usize>> =
                lengths.iter().enumerate().map(|(index, &length)| vec![index + 1; length]).collect();
            let views: Vec<&[usize]> = sequences.iter().map(Vec::as_slice).collect();
            let flat = layout.spread(&views, 0, |value| value);
            for (index, &length) in lengths.iter().enumerate() {
                prop_assert_eq!(flat.iter().filter(|&&value| value == index + 1).count(), length);
                prop_assert_eq!(layout.positions()[layout.starts[index]], 0);
            }
            prop_assert_eq!(layout.block_tokens().iter().sum::<i64>() as usize, layout.num_tokens);
        }
    }
}
