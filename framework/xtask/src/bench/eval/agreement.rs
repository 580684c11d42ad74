//! How far two sides agree on the same items.

use super::samples::{Answer, Item, METRICS, Side};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Scores that differ by no more are the same.
const SAME_SCORE: f64 = 1e-9;

/// Disagreements that are shown of a kind.
const SHOWN: usize = 5;

/// Ours beside the peer's.
#[derive(Default)]
pub(super) struct Agreement {
    /// Items that both sides have.
    pub(super) num_items: usize,
    /// Items that one side alone has.
    pub(super) unpaired: Vec<String>,
    /// Whether a prompt or a continuation is the same, byte for byte.
    pub(super) prompts: Tally,
    /// Differences of log-likelihoods in nats, of requests that are the same.
    pub(super) nats: Vec<f64>,
    /// Whether greedy decoding would have said a continuation.
    pub(super) greedy: Tally,
    /// What was generated.
    pub(super) texts: Tally,
    /// By metric, in the order of [`METRICS`].
    pub(super) metrics: Vec<Metric>,
}

/// How often both said the same, and where they did not.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) num_same: usize,
    pub(super) differing: Vec<String>,
}

/// A metric of the whole case and of its items.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) ours: f64,
    pub(super) peer: f64,
    pub(super) items: Tally,
}

impl Tally {
    fn count(&mut self, is_same: bool, difference: impl FnOnce() -> String) {
        if is_same {
            self.num_same += 1;
        } else {
            self.differing.push(difference());
        }
    }

    /// How often it was looked at.
    pub(super) fn total(&self) -> usize {
        self.num_same + self.differing.len()
    }

    /// Share of the same; NaN where there is nothing to look at.
    pub(super) fn share(&self) -> f64 {
        self.num_same as f64 / self.total() as f64
    }

    fn is_whole(&self) -> bool {
        self.differing.is_empty()
    }
}

impl Metric {
    /// Of the whole case, whatever the items say.
    pub(super) fn is_same(&self) -> bool {
        (self.ours - self.peer).abs() <= SAME_SCORE
    }
}

impl Agreement {
    /// Compares item by item, and request by request in the order in which they were made.
    pub(super) fn of(ours: &Side, peer: &Side) -> Self {
        let mut it = Self::default();
        let mut metrics = METRICS.map(|_| Tally::default());
        let numbers: BTreeSet<_> = ours.items.keys().chain(peer.items.keys()).collect();
        for number in numbers {
            let place = format!("{} {}", number.0, number.1);
            match (ours.items.get(number), peer.items.get(number)) {
                (Some(own), Some(other)) => {
                    it.num_items += 1;
                    it.compare(&place, own, other);
                    for (name, tally) in METRICS.into_iter().zip(&mut metrics) {
                        if let Some(expected) = other.metrics.get(name) {
                            let found = own.metrics.get(name).copied().unwrap_or(f64::NAN);
                            tally.count((found - expected).abs() <= SAME_SCORE, || {
                                format!("{place}: {found}, {expected}")
                            });
                        }
                    }
                }
                (Some(_), None) => it.unpaired.push(format!("{place} of sbp")),
                (None, _) => it.unpaired.push(format!("{place} of lm_eval")),
            }
        }
        for (name, items) in METRICS.into_iter().zip(metrics) {
            // What the harness does not report is not asked of us.
            if let Some(peer) = peer.scores.get(name).copied() {
                let ours = ours.scores.get(name).copied().unwrap_or(f64::NAN);
                it.metrics.push(Metric { name, ours, peer, items });
            }
        }
        it
    }

    fn compare(&mut self, place: &str, own: &Item, other: &Item) {
        // Of a generated answer we may also ask how likely the right one is; the harness does not.
        let is_asked =
            |kind: bool| other.requests.iter().any(|(_, continuation)| continuation.is_some() == kind);
        let own: Vec<_> = own
            .requests
            .iter()
            .zip(&own.answers)
            .filter(|((_, continuation), _)| is_asked(continuation.is_some()))
            .collect();
        let pairs = || own.iter().copied().zip(other.requests.iter().zip(&other.answers));
        let first = pairs().find(|((a, _), (b, _))| a != b);
        let same_number = own.len() == other.requests.len();
        self.prompts.count(same_number && first.is_none(), || match first {
            Some(((a, _), (b, _))) => format!("{place}: {}", first_difference(a, b)),
            None => format!("{place}: {} requests, {}", own.len(), other.requests.len()),
        });
        for (number, ((_, a), (_, b))) in pairs().enumerate().filter(|(_, ((a, _), (b, _)))| a == b) {
            let place = format!("{place}, request {number}");
            match (a, b) {
                (
                    Answer::LogLikelihood { nats: a, is_greedy: own },
                    Answer::LogLikelihood { nats: b, is_greedy: other },
                ) => {
                    self.nats.push((a - b).abs());
                    self.greedy.count(own == other, || format!("{place}: {own}, {other}"));
                }
                _ => self.texts.count(a == b, || format!("{place}: {}, {}", shown(a), shown(b))),
            }
        }
    }

    /// The largest difference of log-likelihoods; NaN where none was asked for.
    pub(super) fn largest(&self) -> f64 {
        self.nats.iter().copied().reduce(f64::max).unwrap_or(f64::NAN)
    }

    /// Their mean difference; NaN where none was asked for.
    pub(super) fn mean(&self) -> f64 {
        self.nats.iter().sum::<f64>() / self.nats.len() as f64
    }

    /// What differs, kind by kind; prompts first, since they explain everything else.
    pub(super) fn differences(&self) -> String {
        let mut text = String::new();
        let mut show = |what: &str, of: usize, differing: &[String]| {
            if !differing.is_empty() {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{what}: {} of {of} differ (sbp, then lm_eval)", differing.len());
                for line in &differing[..SHOWN.min(differing.len())] {
                    let _ = writeln!(text, "  {line}");
                }
            }
        };
        show("prompts", self.prompts.total(), &self.prompts.differing);
        show("items that one side alone has", self.num_items + self.unpaired.len(), &self.unpaired);
        show("greedy flags", self.greedy.total(), &self.greedy.differing);
        show("generated texts", self.texts.total(), &self.texts.differing);
        for metric in &self.metrics {
            show(metric.name, metric.items.total(), &metric.items.differing);
            if !metric.is_same() && metric.items.is_whole() {
                let line = format!("of the whole: {}, {}", metric.ours, metric.peer);
                show(metric.name, 1, &[line]);
            }
        }
        text
    }
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Text(text) => format!("{text:?}"),
        Answer::LogLikelihood { nats, .. } => format!("{nats} nats"),
    }
}

/// Both sides from a little before where they first differ, in the prompt or else in the continuation.
fn first_difference(own: &(String, Option<String>), other: &(String, Option<String>)) -> String {
    const CONTEXT: usize = 20;
    let (what, a, b) = if own.0 == other.0 {
        let text = |continuation: &Option<String>| continuation.clone().unwrap_or_default();
        ("continuation", text(&own.1), text(&other.1))
    } else {
        ("prompt", own.0.clone(), other.0.clone())
    };
    let at = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let around =
        |text: &str| text.chars().skip(at.saturating_sub(CONTEXT)).take(2 * CONTEXT).collect::<String>();
    format!("{what} from character {at} on: {:?}, {:?}", around(&a), around(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn side(items: Vec<(u64, Item)>, score: f64) -> Side {
        Side {
            items: items.into_iter().map(|(number, item)| (("arc_easy".to_owned(), number), item)).collect(),
            scores: BTreeMap::from([("acc".to_owned(), score)]),
        }
    }

    fn asked(prompt: &str, nats: [f64; 2], acc: f64) -> Item {
        let request = |continuation: &str| (prompt.to_owned(), Some(continuation.to_owned()));
        Item {
            requests: vec![request(" a"), request(" b")],
            answers: nats.map(|nats| Answer::LogLikelihood { nats, is_greedy: false }).to_vec(),
            metrics: BTreeMap::from([("acc".to_owned(), acc)]),
        }
    }

    #[test]
    fn the_same_is_whole_and_rounding_shows_in_nats_alone() {
        let ours = side(vec![(0, asked("Q", [-1.0, -2.0], 1.0)), (1, asked("R", [-1.0, -2.0], 0.0))], 0.5);
        let peer = side(vec![(0, asked("Q", [-1.0, -2.25], 1.0)), (1, asked("R", [-1.25, -2.0], 0.0))], 0.5);
        let it = Agreement::of(&ours, &peer);
        assert_eq!((it.num_items, it.nats.len(), it.largest(), it.mean()), (2, 4, 0.25, 0.125));
        assert_eq!((it.prompts.share(), it.greedy.total(), it.texts.total()), (1.0, 4, 0));
        assert!(it.metrics.len() == 1 && it.metrics[0].is_same());
        assert_eq!(it.differences(), "");
    }

    #[test]
    fn other_prompts_come_first_and_their_likelihoods_are_not_compared() {
        let ours = side(vec![(0, asked("Question: Q\nAnswer:", [-1.0, -2.0], 1.0))], 1.0);
        let peer = side(vec![(0, asked("Question: Q \nAnswer:", [-3.0, -2.0], 0.0))], 0.0);
        let it = Agreement::of(&ours, &peer);
        assert!(it.largest().is_nan() && it.nats.is_empty());
        assert_eq!(
            it.differences(),
            "prompts: 1 of 1 differ (sbp, then lm_eval)\n  arc_easy 0: prompt from character 11 on: \
             \"Question: Q\\nAnswer:\", \"Question: Q \\nAnswer:\"\n\
             acc: 1 of 1 differ (sbp, then lm_eval)\n  arc_easy 0: 1, 0\n"
        );
        assert!(!it.metrics[0].is_same());
    }

    #[test]
    fn an_item_that_is_missing_and_a_metric_that_is_missing_are_told() {
        let mut ours = side(vec![(0, asked("Q", [-1.0, -2.0], 1.0))], 1.0);
        ours.scores.clear();
        let peer = side(vec![(0, asked("Q", [-1.0, -2.0], 1.0)), (1, asked("R", [-1.0, -2.0], 1.0))], 1.0);
        let it = Agreement::of(&ours, &peer);
        assert_eq!((it.num_items, it.unpaired.as_slice()), (1, &["arc_easy 1 of lm_eval".to_owned()][..]));
        assert!(it.differences().contains("of the whole: NaN, 1"), "{}", it.differences());
    }

    #[test]
    fn what_the_harness_does_not_ask_is_left_out() {
        let text = Answer::Text(" Paris".to_owned());
        let peer = Item {
            requests: vec![("Q".to_owned(), None)],
            answers: vec![text.clone()],
            metrics: BTreeMap::new(),
        };
        let ours = Item {
            requests: vec![("Q".to_owned(), Some(" Paris".to_owned())), ("Q".to_owned(), None)],
            answers: vec![Answer::LogLikelihood { nats: -1.0, is_greedy: true }, text],
            metrics: BTreeMap::new(),
        };
        let it = Agreement::of(&side(vec![(0, ours)], 0.0), &side(vec![(0, peer)], 0.0));
        assert_eq!((it.prompts.share(), it.texts.share(), it.nats.len()), (1.0, 1.0, 0));
    }

    #[test]
    fn texts_are_compared_whole_and_only_some_differences_are_shown() {
        let said = |text: &str| Item {
            requests: vec![("Q".to_owned(), None)],
            answers: vec![Answer::Text(text.to_owned())],
            metrics: BTreeMap::new(),
        };
        let ours = side((0..8).map(|number| (number, said(" Paris"))).collect(), 0.0);
        let peer = side(
            (0..8).map(|number| (number, said(if number == 0 { " Paris" } else { "Paris" }))).collect(),
            0.0,
        );
        let it = Agreement::of(&ours, &peer);
        assert_eq!((it.texts.num_same, it.texts.differing.len()), (1, 7));
        assert_eq!(it.differences().lines().count(), 1 + SHOWN);
    }
}
