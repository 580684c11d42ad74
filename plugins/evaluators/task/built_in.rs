//! The tasks that everybody compares on, as definitions.

use sbp_plugin::prelude::*;

use super::definition::Definition;

/// Each task's name and the text of its definition.
const TASKS: [(&str, &str); 11] = [
    ("arc_challenge", include_str!("../tasks/arc_challenge.toml")),
    ("arc_easy", include_str!("../tasks/arc_easy.toml")),
    ("hellaswag", include_str!("../tasks/hellaswag.toml")),
    ("lambada_openai", include_str!("../tasks/lambada_openai.toml")),
    ("mmlu", include_str!("../tasks/mmlu.toml")),
    ("openbookqa", include_str!("../tasks/openbookqa.toml")),
    ("piqa", include_str!("../tasks/piqa.toml")),
    ("sciq", include_str!("../tasks/sciq.toml")),
    ("triviaqa", include_str!("../tasks/triviaqa.toml")),
    ("webqs", include_str!("../tasks/webqs.toml")),
    ("winogrande", include_str!("../tasks/winogrande.toml")),
];

/// The names of all, for the schema: so a recipe and the command line can tell which one somebody may have meant.
pub(super) fn names() -> Vec<&'static str> {
    TASKS.iter().map(|(known, _)| *known).collect()
}

/// The text of a definition.
pub(super) fn text(name: &str) -> Option<&'static str> {
    TASKS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A definition.
///
/// # Errors
/// When there is no such task.
pub(super) fn definition(name: &str) -> Result<Definition> {
    let text = text(name).ok_or_else(|| unknown(name))?;
    Definition::parse(format!("the built-in task {name}"), text)
}

/// What to say where a task is asked for that there is not.
pub(super) fn unknown(name: &str) -> String {
    format!(
        "no task is called {name:?}; there are {}, and `definition` names a file with one of your own",
        names().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_one_and_is_called_as_its_file() {
        for (name, _) in TASKS {
            assert_eq!(definition(name).expect("a definition").task, name);
        }
        let error = definition("arc").err().expect("an error").to_string();
        assert!(error.contains("no task is called \"arc\"; there are arc_challenge, arc_easy"), "{error}");
    }
}
