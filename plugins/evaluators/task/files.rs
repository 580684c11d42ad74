//! Where a task's files are.

use std::path::Path;

use sbp_plugin::input::{self, InputFile, InputFolder};
use sbp_plugin::prelude::*;

use super::definition::Definition;
use super::rows::ending;

/// The files that patterns find: `data` itself where it is a file. In a folder, the first of the task's usual folders
/// that holds any, then the folder itself; in each its subfolder `data`, too. The first pattern that finds something
/// decides.
///
/// # Errors
/// When there is nothing, or files of several layouts, which would be the same rows twice.
pub(super) fn find(data: &Path, definition: &Definition, patterns: &[String]) -> Result<Vec<InputFile>> {
    if input::is_file(data)? {
        let name = data.file_name().unwrap_or(data.as_os_str()).to_string_lossy().into_owned();
        return Ok(vec![InputFile { path: data.to_owned(), name }]);
    }
    let (task, origin) = (&definition.task, &definition.origin);
    let Some(folder) = InputFolder::open(data)? else {
        return Err(format!(
            "there is nothing at {}; `data` must be a file of the task {task} or a folder that holds it",
            data.display()
        )
        .into());
    };
    let usual = definition.files.folders.iter().map(String::as_str);
    let roots = usual.chain([""]).flat_map(|root| [root.to_owned(), below(root, "data")]);
    for root in roots {
        for pattern in patterns {
            let mut found =
                folder.fitting(&root, pattern).map_err(|error| format!("{origin}: `files`: {error}"))?;
            found.retain(|file| ending(&file.name).is_some());
            let layouts: Vec<_> = found.iter().filter_map(|file| ending(&file.name)).collect();
            if layouts.windows(2).any(|pair| pair[0] != pair[1]) {
                let names: Vec<&str> = found.iter().map(|file| file.name.as_str()).collect();
                return Err(format!(
                    "the task {task} is in {} in several layouts: {}; name one file in `data`, or take the others away",
                    data.join(&root).display(),
                    names.join(", ")
                )
                .into());
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Err(format!(
        "there is no file of the task {task} in {}: looked for {} there and in {}; name the file in `data`",
        data.display(),
        patterns.join(", "),
        definition.files.folders.join(", ")
    )
    .into())
}

fn below(root: &str, folder: &str) -> String {
    if root.is_empty() { folder.to_owned() } else { format!("{root}/{folder}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Definition {
        let text = r#"
            task = "t"
            version = "1"
            source = "by hand"
            scoring = "last_word"
            metrics = ["acc"]
            context = "a"
            answer = "b"
            files = { folders = ["t [1]", "set/t"], items = ["test*", "*/test*", "valid*"] }
        "#;
        Definition::parse("own.toml".to_owned(), text).expect("a definition")
    }

    fn found(files: &[&str]) -> std::result::Result<Vec<String>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let definition = definition();
        let found = find(folder.path(), &definition, &definition.files.items);
        Ok(found.map_err(|error| error.to_string())?.into_iter().map(|file| file.name).collect())
    }

    #[test]
    fn usual_folders_come_first_and_the_first_pattern_that_finds_something_decides() {
        let all =
            ["test.jsonl", "t [1]/valid.jsonl", "t [1]/test.md", "t [1]/test/x.csv", "other/test.jsonl"];
        assert_eq!(found(&all), Ok(vec!["valid.jsonl".to_owned()]));
        let shards = ["set/t/data/test-1.parquet", "set/t/data/test-0.parquet", "set/t/data/valid.parquet"];
        let from_the_folder = ["data/test-0.parquet", "data/test-1.parquet"].map(str::to_owned).to_vec();
        assert_eq!(found(&shards), Ok(from_the_folder));
        assert_eq!(
            found(&["b/test.json", "a/test.json"]),
            Ok(vec!["a/test.json".to_owned(), "b/test.json".to_owned()])
        );
    }

    #[test]
    fn nothing_and_too_much_are_errors_with_a_remedy() {
        let error = found(&["train.jsonl"]).expect_err("nothing");
        assert!(
            error.contains("looked for test*, */test*, valid* there and in t [1], set/t; name the file"),
            "{error}"
        );
        let error = found(&["test.jsonl", "test.parquet"]).expect_err("twice");
        assert!(error.contains("several layouts: test.jsonl, test.parquet; name one"), "{error}");
        let definition = definition();
        let error = find(Path::new("/nowhere"), &definition, &definition.files.items)
            .expect_err("nothing")
            .to_string();
        assert!(error.contains("there is nothing at /nowhere"), "{error}");
    }
}
