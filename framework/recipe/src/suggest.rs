//! Which known name somebody may have meant.

/// The known name nearest to what was written: a typo, a part of the name, or the same beginning.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = plain(found);
    known
        .into_iter()
        .filter_map(|name| Some((farness(&found, &plain(name))?, name)))
        .min()
        .map(|(_, name)| name)
}

/// The names, as a message lists them.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `hiddenSize`, `hidden-size` and `Hidden_Size` are all spellings of `hidden_size`.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', ' '], "_")
}

fn farness(found: &str, name: &str) -> Option<usize> {
    let typos = strsim::damerau_levenshtein(found, name);
    if typos <= (name.len() / 4).max(1) {
        return Some(typos);
    }
    let words = |text: &str| -> Vec<String> {
        text.split('_').map(|word| word.trim_end_matches('s').to_owned()).collect()
    };
    let (short, long) = (words(found), words(name));
    if found.len() > 1 && short.iter().all(|word| long.contains(word)) {
        return Some(100 + long.len());
    }
    let same = found.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    (same >= 4 || same == found.chars().count() && same > 1).then_some(200 + name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(found: &str) -> Option<&'static str> {
        nearest(
            found,
            [
                "corpus",
                "evaluators",
                "hidden_size",
                "num_heads",
                "num_kv_heads",
                "peak_lr",
                "top_p",
                "training",
            ],
        )
    }

    #[test]
    fn people_write_names_in_many_ways() {
        for (found, meant) in [
            ("hiden_size", "hidden_size"),
            ("hiddenSize", "hidden_size"),
            ("hidden-size", "hidden_size"),
            ("heads", "num_heads"),
            ("lr", "peak_lr"),
            ("trainer", "training"),
            ("train", "training"),
            ("eval", "evaluators"),
            ("topp", "top_p"),
        ] {
            assert_eq!(of(found), Some(meant), "{found}");
        }
        for found in ["x", "dropout", "seed", "optimizer"] {
            assert_eq!(of(found), None, "{found}");
        }
    }
}
