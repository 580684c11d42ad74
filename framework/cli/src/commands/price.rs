//! What a plan takes, as a table and as JSON.

use std::fmt::Write as _;

use sbp_pipeline::{H100_FLOPS, Price};
use sbp_recipe::plan::{people, thousands};
use serde_json::{Value, json};

/// Share of a GPU's peak that well-tuned trainings of such models reach, as their reports tell it: 38% to 43% for Llama 3
/// (arXiv 2407.21783, table 4).
pub(super) const MFU: f64 = 0.4;

/// Hours from which it is worth a word how many there are.
const WORTH_A_WORD: f64 = 1.0;

const HEADER: [&str; 7] = ["takes about", "tokens", "steps", "FLOPs", "end to end", "H100-hours", "disk"];
/// Place of the hours among them.
const HOURS: usize = 5;

/// One row a stage, and one for all of them; below, what the figures presume.
pub(super) fn text(price: &Price, mfu: Option<f64>) -> String {
    let share = mfu.unwrap_or(MFU);
    let shows_hours = mfu.is_some() || hours(price.flops(), share) >= WORTH_A_WORD;
    let or_empty = |text: Option<String>| text.unwrap_or_default();
    let mut rows = vec![HEADER.map(str::to_owned)];
    for stage in &price.stages {
        let times = if stage.times == 1 { String::new() } else { format!(" x {}", stage.times) };
        let not_priced = stage.not_priced.as_ref().map(|_| "not priced".to_owned());
        rows.push([
            format!("{}{times}", stage.stage),
            or_empty(stage.tokens.map(people)),
            or_empty(stage.steps.map(thousands)),
            or_empty(stage.flops.map(flops).or(not_priced)),
            or_empty(stage.end_to_end_flops.map(flops)),
            or_empty(stage.flops.map(|flops| in_hours(hours(flops, share)))),
            or_empty(stage.disk_bytes.map(bytes)),
        ]);
    }
    let (all, none) = (price.flops(), String::new);
    let (in_all, on_disk) = (in_hours(hours(all, share)), bytes(price.disk_bytes()));
    rows.push(["in all".to_owned(), none(), none(), flops(all), none(), in_all, on_disk]);

    let mut text = table(&rows, |column| column != HOURS || shows_hours);
    for stage in &price.stages {
        if let Some(why) = &stage.not_priced {
            let _ = writeln!(text, "{} is not priced: {why}", stage.stage);
        }
    }
    if shows_hours {
        let (percent, peak) = (100.0 * share, H100_FLOPS / 1e12);
        let _ = writeln!(
            text,
            "H100-hours at {percent:.0}% of {peak} TFLOP/s, its data sheet's dense bf16 peak (--mfu); nothing was measured"
        );
    }
    let resumable = bytes(price.resumable_bytes());
    let _ = write!(text, "a training takes {resumable} more until it is done, and twice that while it saves");
    text
}

/// The same for programs.
pub(super) fn answer(price: &Price, mfu: Option<f64>) -> Value {
    let mfu = mfu.unwrap_or(MFU);
    json!({
        "stages": price.stages,
        "flops": price.flops(),
        "disk_bytes": price.disk_bytes(),
        "resumable_bytes": price.resumable_bytes(),
        "h100_hours": hours(price.flops(), mfu),
        "peak_flops": H100_FLOPS,
        "mfu": mfu,
    })
}

fn hours(flops: f64, mfu: f64) -> f64 {
    flops / (H100_FLOPS * mfu) / 3600.0
}

fn in_hours(hours: f64) -> String {
    match hours {
        0.0..0.05 => "< 0.1".to_owned(),
        0.05..100.0 => format!("{hours:.1}"),
        _ => thousands(hours.round() as u64),
    }
}

fn flops(count: f64) -> String {
    format!("{count:.2e}")
}

/// Powers of a thousand, as disks are sold.
pub(super) fn bytes(count: f64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let (mut count, mut unit) = (count / 1e3, 0);
    while count >= 999.5 && unit + 1 < UNITS.len() {
        (count, unit) = (count / 1e3, unit + 1);
    }
    let digits = if count < 9.95 { 1 } else { 0 };
    format!("{count:.digits$} {}", UNITS[unit])
}

/// The first column to the left, the others to the right; columns that are not to be shown are left out.
pub(super) fn table<const N: usize>(rows: &[[String; N]], is_shown: impl Fn(usize) -> bool) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let mut line = format!("{:<1$}", row[0], width(0));
        for column in (1..N).filter(|column| is_shown(*column)) {
            let _ = write!(line, "  {:>1$}", row[column], width(column));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use sbp_pipeline::StagePrice;

    use super::*;

    fn price(flops: f64) -> Price {
        let base = StagePrice {
            stage: "base".to_owned(),
            times: 2,
            tokens: Some(1_000_000),
            steps: Some(1_234),
            flops: Some(flops),
            disk_bytes: Some(1.5e9),
            resumable_bytes: Some(4.5e9),
            ..StagePrice::default()
        };
        let embed = StagePrice {
            stage: "embed".to_owned(),
            times: 1,
            not_priced: Some("it is not there".to_owned()),
            ..StagePrice::default()
        };
        Price { stages: vec![base, embed] }
    }

    #[test]
    fn hours_are_shown_when_there_are_some_or_when_asked_for() {
        // An hour at 40% of the peak is 989.4e12 x 0.4 x 3600 = 1.424736e18 FLOPs; the stage is done twice.
        let text = text(&price(1.424_736e18), None);
        for line in [
            "takes about  tokens  steps       FLOPs  end to end  H100-hours    disk",
            "base x 2      1.00M  1,234     1.42e18                     1.0  1.5 GB",
            "embed                       not priced",
            "in all                         2.85e18                     2.0  3.0 GB",
            "embed is not priced: it is not there",
            "a training takes 4.5 GB more until it is done, and twice that while it saves",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
        assert!(text.contains("H100-hours at 40% of 989.4 TFLOP/s"));
        assert!(!super::text(&price(1e12), None).contains("H100"));
        assert!(super::text(&price(1e12), Some(0.5)).contains("H100-hours at 50%"));
    }

    #[test]
    fn hours_follow_from_the_share() {
        let hours = |mfu| answer(&price(1.424_736e18), Some(mfu))["h100_hours"].as_f64().unwrap();
        assert!((hours(0.4) - 2.0).abs() < 1e-9);
        assert!((hours(0.8) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn sizes_read_well() {
        let written = [0.0, 999.0, 9_949.0, 999_499.0, 999_500.0, 2.41e12, 5e18].map(bytes);
        assert_eq!(written, ["0.0 kB", "1.0 kB", "9.9 kB", "999 kB", "1.0 MB", "2.4 TB", "5000 PB"]);
    }
}
