//! The report in all its forms, made from the results of one run in `tests/fixtures/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node, ParsingOptions};
use sbp_pipeline::Results;
use sbp_pipeline::report::{self, Format, Paper, Reported};

/// Three arms, two seeds, bits per byte and two tasks; on one of them the oracle's gain is noise. Its texts hold what has a
/// meaning in HTML, LaTeX or Markdown.
fn fixture() -> Results {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/results.json");
    match report::read(&path).expect("the fixture is read") {
        (_, Reported::Run(results)) => *results,
        (_, Reported::Sweep(_)) => panic!("it is a run"),
    }
}

/// One arm on one metric, and nothing else to tell.
fn bare() -> Results {
    let mut results = fixture();
    results.arm_order = vec!["repetition".to_owned()];
    results.arms.retain(|arm, _| arm == "repetition");
    results.ledger.retain(|arm, _| arm == "repetition");
    results.comparisons.clear();
    results.curves.clear();
    results.quality.clear();
    results.samples.clear();
    results.description.clear();
    for arm in results.arms.values_mut() {
        arm.seeds.truncate(1);
        arm.metrics.values_mut().for_each(|metric| metric.stderr = f64::NAN);
    }
    results
}

/// The fixture with arms that did not spend the same.
fn unmatched() -> Results {
    let mut results = fixture();
    results.compute_match.matched = false;
    results.compute_match.residual = 0.25;
    results
        .comparisons
        .iter_mut()
        .filter(|found| found.arm == "sbp")
        .for_each(|found| found.comparable = false);
    results
}

fn parsed(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

fn elements<'a>(page: &'a Document<'_>) -> impl Iterator<Item = Node<'a, 'a>> {
    page.descendants().filter(Node::is_element)
}

/// All text below an element, whether lines may end at its spaces or not.
fn text(node: Node<'_, '_>) -> String {
    let texts = node.descendants().filter_map(|node| node.text().filter(|_| node.is_text()));
    texts.collect::<String>().replace('\u{a0}', " ")
}

fn section<'a>(page: &'a Document<'_>, id: &str) -> Option<Node<'a, 'a>> {
    elements(page).find(|node| node.attribute("id") == Some(id))
}

#[test]
fn every_form_of_the_report() {
    let results = fixture();
    insta::assert_snapshot!("table_md", Format::Markdown.render(&results, None));
    insta::assert_snapshot!("table_csv", Format::Csv.render(&results, None));
    insta::assert_snapshot!("table_tex", Format::Latex.render(&results, None));
    let page = Format::Html.render(&results, None);
    let (_, body) = page.split_once("</head>").expect("a page has a head");
    insta::assert_snapshot!("report_html", body);
    let paper = Paper::beside(&[&results]);
    insta::assert_snapshot!("paper_md", paper.markdown());
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let results = fixture();
    let paper = Paper::beside(&[&results]);
    let again: Results =
        serde_json::from_str(&serde_json::to_string(&results).expect("JSON")).expect("it is read back");
    for format in Format::ALL {
        assert!(
            format.render(&results, Some(&paper)) == format.render(&again, Some(&paper)),
            "{}",
            format.file_name()
        );
    }
}

#[test]
fn all_forms_are_written_into_one_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("a/report");
    let written = report::write(&fixture(), None, &Format::ALL, &folder).expect("it is written");
    assert_eq!(written, ["table.md", "table.csv", "table.tex", "report.html"].map(|name| folder.join(name)));
    assert!(written.iter().all(|path: &PathBuf| path.metadata().is_ok_and(|file| file.len() > 500)));
}

#[test]
fn csv_holds_the_numbers_in_full() {
    let results = fixture();
    let text = Format::Csv.render(&results, None);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<BTreeMap<String, String>> =
        reader.deserialize().collect::<Result<_, _>>().expect("every row has all fields");
    assert_eq!(rows.len(), 9);
    for found in &results.comparisons {
        let row = rows
            .iter()
            .find(|row| row["metric"] == found.metric && row["arm"] == found.arm)
            .expect("every comparison is a row");
        let number = |column: &str| row[column].parse::<f64>().ok();
        assert_eq!(number("delta"), Some(found.delta));
        assert_eq!(number("delta_high"), Some(found.ci95[1]));
        assert_eq!(number("p_holm"), Some(found.p_holm));
        assert_eq!(number("recovered"), found.recovered);
        assert_eq!(row["estimable"], found.estimable.to_string());
    }
    let baseline = rows.iter().find(|row| row["arm"] == "repetition").expect("the baseline has a row");
    assert_eq!((baseline["delta"].as_str(), baseline["comparable"].as_str()), ("", ""));
}

#[test]
fn the_page_is_well_formed_and_asks_for_nothing() {
    let results = fixture();
    let paper = Paper::beside(&[&results]);
    for (results, paper) in
        [(&results, None), (&results, Some(&paper)), (&bare(), None), (&unmatched(), None)]
    {
        let page = Format::Html.render(results, paper);
        let page = parsed(&page);
        for element in elements(&page) {
            let name = element.tag_name().name();
            assert!(
                !["script", "img", "iframe", "object", "embed", "base", "form"].contains(&name),
                "{name}"
            );
            for attribute in element.attributes() {
                let (name, value) = (attribute.name(), attribute.value());
                assert!(
                    name != "src" && name != "srcset" && name != "style" && !name.starts_with("on"),
                    "{name}"
                );
                if name == "href" {
                    assert!(value.starts_with('#') || value.starts_with("data:"), "{value}");
                }
            }
            if name == "style" {
                let style = text(element);
                assert!(
                    !style.contains("@import") && !style.contains("url(") && !style.contains("@font-face")
                );
            }
        }
        // Every link within the page leads somewhere.
        for target in elements(&page).filter_map(|element| element.attribute("href")?.strip_prefix('#')) {
            assert!(section(&page, target).is_some(), "{target}");
        }
    }
}

#[test]
fn texts_are_shown_as_they_are() {
    let results = fixture();
    let page = Format::Html.render(&results, None);
    let page = parsed(&page);
    let samples = section(&page, "samples").expect("there are samples");
    let shown: Vec<String> = samples
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/1999/xhtml", "p")))
        .map(text)
        .collect();
    let expected: Vec<String> =
        results.samples.iter().flat_map(|sample| [sample.seed.clone(), sample.synthetic.clone()]).collect();
    assert_eq!(shown, expected);
    assert!(text(section(&page, "asked").expect("a header")).contains("50% is <real>, naïve #1_test: β."));
}

#[test]
fn every_coordinate_is_a_number_within_its_figure() {
    for results in [fixture(), bare()] {
        let page = Format::Html.render(&results, None);
        let page = parsed(&page);
        for figure in elements(&page).filter(|element| element.tag_name().name() == "svg") {
            let size: Vec<f64> =
                figure.attribute("viewBox").expect("a size").split(' ').map(number).collect();
            for shape in figure.descendants().filter(Node::is_element) {
                for (name, span) in [("x", size[2]), ("cx", size[2]), ("y", size[3]), ("cy", size[3])] {
                    if let Some(value) = shape.attribute(name) {
                        assert!((0.0..=span).contains(&number(value)), "{name} {value}");
                    }
                }
                let path = shape.attribute("d").unwrap_or_default();
                let path =
                    path.split(|c: char| c.is_ascii_alphabetic() || c == ' ').filter(|it| !it.is_empty());
                assert!(path.map(number).all(|value| (0.0..=size[2]).contains(&value)));
            }
        }
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

#[test]
fn every_figure_says_what_it_is() {
    let page = Format::Html.render(&fixture(), None);
    let page = parsed(&page);
    let titles: Vec<String> = elements(&page)
        .filter(|element| element.attribute("role") == Some("img"))
        .map(|figure| text(figure.first_element_child().expect("a title")))
        .collect();
    assert_eq!(
        titles,
        [
            "Training loss against training tokens",
            "Training loss against FLOPs end to end",
            "val/heldout/bpb",
            "eval/arc_easy/acc",
            "eval/sciq/acc",
            "Similarity of pairs, seed-1",
            "Similarity of pairs, seed-2",
        ]
    );
}

#[test]
fn arms_that_spent_differently_are_called_so_everywhere() {
    let (matched, unmatched) = (fixture(), unmatched());
    for format in [Format::Markdown, Format::Latex, Format::Html] {
        assert!(!format.render(&matched, None).contains("NOT COMPARABLE"), "{}", format.file_name());
        let report = format.render(&unmatched, None);
        assert!(report.contains("NOT COMPARABLE"), "{report}");
        assert!(report.contains("sbp did not spend what repetition did"), "{report}");
        assert!(report.contains("not comparable"), "{report}");
    }
    let csv = Format::Csv.render(&unmatched, None);
    assert_eq!(csv.lines().filter(|line| line.ends_with(",false")).count(), 3, "{csv}");
}

#[test]
fn what_is_absent_leaves_no_trace() {
    let results = bare();
    for format in Format::ALL {
        let report = format.render(&results, None);
        assert!(!report.contains("NaN") && !report.contains("inf"), "{report}");
    }
    let page = Format::Html.render(&results, None);
    let page = parsed(&page);
    for id in ["loss", "dynamics", "pairs", "quality", "samples", "paper"] {
        assert!(section(&page, id).is_none(), "{id}");
    }
    for id in ["asked", "results", "ledger", "provenance"] {
        assert!(section(&page, id).is_some(), "{id}");
    }
}

#[test]
fn the_published_study_stands_on_the_page_when_asked_for() {
    let results = fixture();
    let paper = Paper::beside(&[&results, &bare()]);
    assert!(section(&parsed(&Format::Html.render(&results, None)), "paper").is_none());
    let page = Format::Html.render(&results, Some(&paper));
    let page = parsed(&page);
    let said = text(section(&page, "paper").expect("it is asked for"));
    for part in ["47.66 [V]", "68.94 [M+]", "5.74 [M]", "25.6% [V]", "v3 / ICLR 2026", "quick-study"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}
