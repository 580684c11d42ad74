//! The solved examples that are shown before an item.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Value;
use sbp_plugin::prelude::*;

use super::definition::{Definition, Sampling};
use super::posed;
use super::rows::Row;

/// Examples to show, by group.
pub(super) struct Examples {
    groups: BTreeMap<String, Vec<Example>>,
    sampling: Sampling,
    num: usize,
    seed: RootSeed,
}

struct Example {
    row: serde_json::Value,
    /// The example as it is shown, with the delimiter behind it.
    text: String,
}

impl Examples {
    /// The examples of some rows, of which `num` are shown before each item.
    ///
    /// # Errors
    /// When a row does not fit the definition.
    pub(super) fn of(definition: &Definition, rows: Vec<Row>, num: usize, seed: RootSeed) -> Result<Self> {
        let mut groups: BTreeMap<String, Vec<Example>> = BTreeMap::new();
        for row in rows {
            let names = definition.names(&row)?;
            let text = posed::solved(definition, &row, &names)? + &definition.fewshot_delimiter;
            groups
                .entry(group(definition, &row, &names)?)
                .or_default()
                .push(Example { row: row.value, text });
        }
        Ok(Self { groups, sampling: definition.fewshot, num, seed })
    }

    /// The text of the examples for an item, never the item itself.
    ///
    /// # Errors
    /// When there are too few.
    pub(super) fn before(
        &self,
        definition: &Definition,
        index: usize,
        row: &Row,
        names: &Value,
    ) -> Result<String> {
        if self.num == 0 {
            return Ok(String::new());
        }
        let group = group(definition, row, names)?;
        let pool = self.groups.get(&group).map_or(&[][..], Vec::as_slice);
        let is_other = |example: &&Example| example.row != row.value;
        let shown: Vec<&Example> = match self.sampling {
            Sampling::First => pool.iter().filter(is_other).take(self.num).collect(),
            Sampling::Sample => {
                let mut rng = self.seed.stream(&format!("few-shot {}", definition.task), &[index as u64]);
                let (mut tried, mut drawn) = (BTreeSet::new(), Vec::new());
                while drawn.len() < self.num && tried.len() < pool.len() {
                    let place = rng.below(pool.len() as u64) as usize;
                    if tried.insert(place) {
                        drawn.extend(Some(&pool[place]).filter(is_other));
                    }
                }
                drawn
            }
        };
        // An item may stand among the examples by mistake, as one of MMLU does. It is asked after one example fewer
        // then, as in the harness, and not after its own answer.
        let is_first_of_enough = self.sampling == Sampling::First && pool.len() >= self.num;
        if shown.len() < self.num && !is_first_of_enough {
            let of = if group.is_empty() { String::new() } else { format!(" of {group}") };
            return Err(format!(
                "{} examples are to be shown before row {} of {}, but there are only {} others{of}; lower num_fewshot, or name a file with more in fewshot_data",
                self.num, row.number, row.file, shown.len()
            )
            .into());
        }
        Ok(shown.into_iter().map(|example| example.text.as_str()).collect())
    }
}

fn group(definition: &Definition, row: &Row, names: &Value) -> Result<String> {
    let group = definition.group.as_ref().map(|group| group.text(names)).transpose();
    Ok(group.map_err(|error| definition.explain("group", row, &error))?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(more: &str) -> Definition {
        let text = format!(
            r#"
            task = "t"
            version = "1"
            source = "by hand"
            scoring = "last_word"
            metrics = ["acc"]
            context = "Q: {{{{ q }}}}\nA:"
            answer = "a"
            {more}
            files = {{ items = ["test*"] }}
            "#
        );
        Definition::parse("own.toml".to_owned(), &text).expect("a definition")
    }

    fn rows(values: &[serde_json::Value]) -> Vec<Row> {
        let row = |(index, value): (usize, &serde_json::Value)| Row {
            value: value.clone(),
            file: "train.json".into(),
            number: index + 1,
        };
        values.iter().enumerate().map(row).collect()
    }

    fn before(definition: &Definition, rows: &[Row], num: usize, seed: u64, index: usize) -> Result<String> {
        let examples = Examples::of(definition, rows.to_vec(), num, RootSeed(seed))?;
        examples.before(definition, index, &rows[index], &definition.names(&rows[index])?)
    }

    #[test]
    fn the_first_of_the_group_are_shown_but_never_the_item_itself() {
        let definition = definition("fewshot = \"first\"\ngroup = \"s\"");
        let rows = rows(&[
            json!({"q": "1", "a": "one", "s": "x"}),
            json!({"q": "2", "a": "two", "s": "y"}),
            json!({"q": "3", "a": "three", "s": "x"}),
            json!({"q": "4", "a": "four", "s": "x"}),
        ]);
        let text = |index| before(&definition, &rows, 2, 0, index).expect("examples");
        assert_eq!(text(0), "Q: 3\nA: three\n\nQ: 4\nA: four\n\n");
        assert_eq!(text(3), "Q: 1\nA: one\n\nQ: 3\nA: three\n\n");
        assert_eq!(before(&definition, &rows, 3, 0, 3).expect("two others"), text(3));
        let error = before(&definition, &rows, 2, 0, 1).expect_err("none").to_string();
        assert!(error.contains("row 2 of train.json, but there are only 0 others of y; lower"), "{error}");
        assert_eq!(before(&definition, &rows, 0, 0, 1).expect("nothing"), "");
    }

    #[test]
    fn drawn_examples_differ_by_item_and_seed_alone() {
        let definition = definition("");
        let values: Vec<_> = (0..50).map(|n| json!({"q": n, "a": format!("{n}.")})).collect();
        let rows = rows(&values);
        let text = |seed, index| before(&definition, &rows, 3, seed, index).expect("examples");
        assert_eq!(text(0, 7), text(0, 7));
        assert_ne!(text(0, 7), text(1, 7));
        assert_ne!(text(0, 7), text(0, 8));
        for index in 0..50 {
            let text = text(0, index);
            assert_eq!(text.matches("Q: ").count(), 3);
            assert!(!text.contains(&format!("Q: {index}\n")), "{text}");
        }
        // Every other row is needed, and none twice.
        let all = before(&definition, &rows, 49, 0, 5).expect("examples");
        assert!((0..50).all(|n| all.contains(&format!("Q: {n}\n")) == (n != 5)));
        assert!(before(&definition, &rows, 50, 0, 5).is_err());
    }
}
