//! The scores as a LaTeX table, ruled by `booktabs` and by nothing else.

use std::fmt::Write as _;

use super::ledger;
use super::results::Results;
use super::scores::{self, Recovered, Row};

/// A `table` to put into a paper.
pub(crate) fn latex(results: &Results) -> String {
    let mut text = format!(
        "% Report of {}, plan {}. Needs \\usepackage{{booktabs}} and nothing else.\n",
        on_a_line(&results.recipe),
        on_a_line(results.short_plan())
    );
    text.push_str("\\begin{table}[t]\n\\centering\n\\footnotesize\n\\setlength{\\tabcolsep}{4pt}\n");
    let _ = writeln!(text, "\\caption{{{}}}", caption(results));
    let _ = writeln!(text, "\\label{{tab:{}}}", label(&results.recipe));
    text.push_str("\\vspace{1ex}\n");
    // A metric stands above its arms: in a column of its own it would push the table over the edge of a page.
    text.push_str("\\begin{tabular}{@{}lrrrr@{}}\n\\toprule\n");
    text.push_str(
        "Arm & Value $\\pm$ s.e. & Difference [95\\,\\%] & $p$ (Holm) & Recovered [95\\,\\%] \\\\\n\\midrule\n",
    );
    let mut last = "";
    for row in scores::rows(results) {
        if row.metric != last {
            if !last.is_empty() {
                text.push_str("\\addlinespace\n");
            }
            let _ = writeln!(text, "\\multicolumn{{5}}{{@{{}}l}}{{{}}} \\\\", directed(&row));
        }
        let _ = writeln!(text, "\\quad {} \\\\", cells(&row).join(" & "));
        last = row.metric;
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
    text
}

/// The metric, with an arrow in the direction in which it gets better.
fn directed(row: &Row<'_>) -> String {
    let direction = match row.higher_is_better {
        Some(true) => " $\\uparrow$",
        Some(false) => " $\\downarrow$",
        None => "",
    };
    format!("{}{direction}", escaped(row.metric))
}

fn cells(row: &Row<'_>) -> [String; 5] {
    let recovered = match row.recovered() {
        Recovered::Share(share, interval) => math(&format!("{share} {interval}")),
        other => escaped(&other.text()),
    };
    [
        escaped(row.arm),
        math(&row.value()),
        if row.is_baseline() {
            "(baseline)".to_owned()
        } else {
            math(&format!("{} {}", row.difference(), row.interval()))
        },
        math(&row.p_holm()),
        recovered,
    ]
}

fn caption(results: &Results) -> String {
    let mut caption = format!("\\textbf{{{}}}", escaped(&results.recipe));
    let description = results.description.trim().trim_end_matches('.');
    if !description.is_empty() {
        let _ = write!(caption, ": {}", escaped(description));
    }
    if let Some(reason) = scores::not_comparable(results) {
        let _ = write!(caption, ". \\textbf{{NOT COMPARABLE}}: {}", escaped(&reason));
    } else {
        caption.push('.');
    }
    let _ = write!(caption, " {} {}", escaped(&scores::note(results)), escaped(&ledger::sentence(results)),);
    caption
}

/// Numbers with their signs and intervals, as mathematics.
fn math(numbers: &str) -> String {
    match numbers.trim() {
        "" => String::new(),
        numbers => format!("${}$", numbers.replace('±', "\\pm").replace('%', "\\%").replace(" [", "\\ [")),
    }
}

/// What a label may be made of.
fn label(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn on_a_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

/// Text in which nothing is a command. Letters that plain LaTeX has no glyph for are named by their number.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            '"' => escaped.push_str("''"),
            '–' => escaped.push_str("--"),
            '—' => escaped.push_str("---"),
            '‘' | '’' => escaped.push('\''),
            '“' => escaped.push_str("``"),
            '”' => escaped.push_str("''"),
            '…' => escaped.push_str("\\dots{}"),
            '×' => escaped.push_str("$\\times$"),
            '±' => escaped.push_str("$\\pm$"),
            '↑' => escaped.push_str("$\\uparrow$"),
            '↓' => escaped.push_str("$\\downarrow$"),
            'Ð' | 'ð' | 'Þ' | 'þ' | '÷' => named(c, &mut escaped),
            'À'..='ÿ' => escaped.push(c),
            c if c.is_ascii_graphic() => escaped.push(c),
            c if c.is_whitespace() => escaped.push(' '),
            c => named(c, &mut escaped),
        }
    }
    escaped
}

fn named(c: char, text: &mut String) {
    let _ = write!(text, "[U+{:04X}]", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_command() {
        assert_eq!(
            escaped("50% of a_b & {c} #1 $x$ ~^\\"),
            "50\\% of a\\_b \\& \\{c\\} \\#1 \\$x\\$ \\textasciitilde{}\\textasciicircum{}\\textbackslash{}"
        );
        assert_eq!(
            escaped("<ð, é, naïve, “so” – 日>"),
            "\\textless{}[U+00F0], é, naïve, ``so'' -- [U+65E5]\\textgreater{}"
        );
        assert_eq!(escaped("two\nlines"), "two lines");
    }

    #[test]
    fn numbers_are_mathematics() {
        assert_eq!(math("2.904 ± 0.039"), "$2.904 \\pm 0.039$");
        assert_eq!(math("42% [31%, 55%]"), "$42\\%\\ [31\\%, 55\\%]$");
        assert_eq!(math("-0.1 [-0.2, -0.0]"), "$-0.1\\ [-0.2, -0.0]$");
        assert_eq!(math(" "), "");
    }
}
