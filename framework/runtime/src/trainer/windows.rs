//! How numbers that every process has are summed, and how numbers that one process has are spread, so many at a time.
//!
//! Of a row of numbers each process updates a range. A window takes a share of every range and is cut into slices, one for each
//! process, which has that slice of every process to sum, or to pass on; so all send and receive about as much at a time,
//! whoever updates most. Where ranges are about equally long, slices are what each updates, and nothing is passed on.

use std::ops::Range;

use sbp_plugin::team::Team;

use crate::error::{Error, Result};

/// Numbers that are exchanged at once: 64 MiB. Tests come to several.
pub(super) const WINDOW: usize = if cfg!(test) { 1 << 9 } else { 16 << 20 };

/// Where no process updates more than this many times its share of a window, slices are what each updates.
const EVEN: f64 = 1.5;

/// Some of the numbers.
pub(super) struct Window {
    /// By process: which of all numbers it updates of those in the window.
    places: Vec<Range<usize>>,
    /// The same, as they lie in the window: one process's after the other's.
    owned: Vec<Range<usize>>,
    /// By process: what it sums, or passes on.
    slices: Vec<Range<usize>>,
}

/// The windows of a row of numbers, from what each process updates of it.
pub(super) fn windows(owned: &[Range<usize>]) -> impl Iterator<Item = Window> {
    let len: usize = owned.iter().map(Range::len).sum();
    let num_windows = len.div_ceil(WINDOW);
    (0..num_windows).map(move |window| {
        let cut = |of: &Range<usize>, at: usize| of.start + of.len() * at / num_windows;
        let places: Vec<_> = owned.iter().map(|of| cut(of, window)..cut(of, window + 1)).collect();
        Window::new(places)
    })
}

impl Window {
    fn new(places: Vec<Range<usize>>) -> Self {
        let mut end = 0;
        let owned: Vec<_> = places
            .iter()
            .map(|places| {
                let start = end;
                end += places.len();
                start..end
            })
            .collect();
        let size = owned.len();
        let most = owned.iter().map(Range::len).max().unwrap_or(0);
        let slices = if (most * size) as f64 <= EVEN * end as f64 {
            owned.clone()
        } else {
            (0..size).map(|rank| end * rank / size..end * (rank + 1) / size).collect()
        };
        Self { places, owned, slices }
    }

    /// From every process's numbers to the sums of those in the window that this process updates.
    pub(super) fn sum(&self, team: &dyn Team, numbers: &[f32]) -> Result<Vec<f32>> {
        let own = &self.slices[team.rank()];
        let inside: Vec<f32> =
            self.places.iter().flat_map(|places| &numbers[places.clone()]).copied().collect();
        let mut rows = swap(team, &inside, &lengths(&self.slices), &vec![own.len(); team.size()])?;
        sum_rows(&mut rows, own.len());
        rows.truncate(own.len());
        if self.slices == self.owned {
            return Ok(rows);
        }
        swap(team, &rows, &shared(&self.owned, own), &shared(&self.slices, &self.owned[team.rank()]))
    }

    /// Gives every process the numbers in the window that this one updates, of all `numbers` that it has. Those of the others come in
    /// their places.
    pub(super) fn spread(&self, team: &dyn Team, numbers: &mut [f32]) -> Result<()> {
        let (rank, own) = (team.rank(), &self.slices[team.rank()]);
        let updated = numbers[self.places[rank].clone()].to_vec();
        let slice = if self.slices == self.owned {
            updated
        } else {
            swap(team, &updated, &shared(&self.slices, &self.owned[rank]), &shared(&self.owned, own))?
        };
        let inside =
            swap(team, &slice.repeat(team.size()), &vec![own.len(); team.size()], &lengths(&self.slices))?;
        for (places, owned) in self.places.iter().zip(&self.owned) {
            numbers[places.clone()].copy_from_slice(&inside[owned.clone()]);
        }
        Ok(())
    }
}

/// What two ranges have in common.
fn both(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

/// How many numbers each of some ranges has in common with another.
fn shared(ranges: &[Range<usize>], with: &Range<usize>) -> Vec<usize> {
    ranges.iter().map(|range| both(range, with).len()).collect()
}

fn lengths(ranges: &[Range<usize>]) -> Vec<usize> {
    ranges.iter().map(Range::len).collect()
}

pub(super) fn swap(team: &dyn Team, numbers: &[f32], to: &[usize], from: &[usize]) -> Result<Vec<f32>> {
    team.swap(numbers, to, from).map_err(Error::Team)
}

/// Makes the first row the sum of all: of the sums of both halves.
fn sum_rows(rows: &mut [f32], width: usize) {
    let num_rows = rows.len().checked_div(width).unwrap_or(0);
    if num_rows < 2 {
        return;
    }
    let (first, second) = rows.split_at_mut(num_rows / 2 * width);
    sum_rows(first, width);
    sum_rows(second, width);
    for (sum, number) in first[..width].iter_mut().zip(&second[..width]) {
        *sum += number;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sbp_testkit::ThreadTeam;

    use super::*;

    proptest! {
        #[test]
        fn everybody_gets_the_sums_of_its_own_and_all_get_what_each_has(
            // Up to several windows; one may update nearly all, another nothing.
            lengths in prop::collection::vec(prop_oneof![0_usize..40, 0_usize..1500], 1..5),
        ) {
            let mut end = 0;
            let owned: Vec<_> = lengths.iter().map(|len| { end += len; end - len..end }).collect();
            // Whole numbers: sums are exact.
            let number = |rank: usize, place: usize| ((place * 31 + rank * 17) % 101) as f32;
            let sum = |place| (0..owned.len()).map(|rank| number(rank, place)).sum::<f32>();
            let found = ThreadTeam::run(owned.len(), |team| {
                let team = team.as_ref();
                let own = &owned[team.rank()];
                let mut numbers: Vec<f32> = (0..end).map(|place| number(team.rank(), place)).collect();
                let mut sums = Vec::new();
                for window in windows(&owned) {
                    sums.extend(window.sum(team, &numbers).unwrap());
                }
                numbers[own.clone()].copy_from_slice(&sums);
                for window in windows(&owned) {
                    window.spread(team, &mut numbers).unwrap();
                }
                numbers
            });
            let expected: Vec<f32> = (0..end).map(sum).collect();
            for numbers in found {
                prop_assert_eq!(&numbers, &expected);
            }
        }

        #[test]
        fn windows_are_of_bounded_size_and_hold_everything_once(
            lengths in prop::collection::vec(0_usize..3000, 1..6),
        ) {
            let mut end = 0;
            let owned: Vec<_> = lengths.iter().map(|len| { end += len; end - len..end }).collect();
            let mut places: Vec<usize> = Vec::new();
            for window in windows(&owned) {
                let inside: Vec<usize> = window.places.iter().flat_map(Clone::clone).collect();
                prop_assert!(inside.len() <= WINDOW + owned.len());
                places.extend(inside);
            }
            places.sort_unstable();
            prop_assert_eq!(places, (0..end).collect::<Vec<_>>());
        }

        #[test]
        fn halves_of_rows_are_summed_as_rows_are(
            numbers in prop::collection::vec(-1e6_f32..1e6, 8 * 3),
        ) {
            let whole = { let mut rows = numbers.clone(); sum_rows(&mut rows, 3); rows[..3].to_vec() };
            for num_processes in [2, 4] {
                let mut sums = Vec::new();
                for own in numbers.chunks(8 * 3 / num_processes) {
                    let mut own = own.to_vec();
                    sum_rows(&mut own, 3);
                    sums.extend_from_slice(&own[..3]);
                }
                sum_rows(&mut sums, 3);
                prop_assert_eq!(&sums[..3], whole.as_slice());
            }
        }
    }
}
