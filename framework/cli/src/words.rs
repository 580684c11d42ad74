//! Figures as people say them.

use std::time::Duration;

use sbp_pipeline::UnderWay;

use crate::screen::people;

/// Bytes, to two or three digits.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 || amount >= 10.0 {
        format!("{amount:.0} {}", UNITS[unit])
    } else {
        format!("{amount:.1} {}", UNITS[unit])
    }
}

/// How long ago something was, in its largest unit.
pub(crate) fn ago(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0..120 => format!("{secs} s ago"),
        120..7_200 => format!("{} min ago", secs / 60),
        7_200..172_800 => format!("{} h ago", secs / 3_600),
        _ => format!("{} days ago", secs / 86_400),
    }
}

/// How far a stage has come, in a line.
pub(crate) fn under_way(stage: &UnderWay) -> String {
    let mut text = format!("{}/{} {}", stage.done, stage.total, stage.unit);
    let mut add = |part: String| {
        text.push_str("  ");
        text.push_str(&part);
    };
    if let Some(loss) = stage.loss {
        add(format!("loss {loss:.3}"));
    }
    if let Some(dropped) = stage.dropped {
        add(format!("{:.0}% dropped", 100.0 * dropped));
    }
    if let Some(tokens_per_sec) = stage.tokens_per_sec {
        add(format!("{tokens_per_sec:.0} tokens/s"));
    }
    if let Some(mfu) = stage.mfu {
        add(format!("MFU {:.0}%", 100.0 * mfu));
    }
    if let Some(left) = stage.secs_left.and_then(|secs| Duration::try_from_secs_f64(secs).ok()) {
        add(format!("{} left", people(left)));
    }
    if let Some(memory) = stage.memory {
        add(size(memory.bytes));
    }
    text
}

#[cfg(test)]
mod tests {
    use sbp_pipeline::Memory;

    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1_023), "1.0 KiB");
        assert_eq!(size(5 << 20), "5.0 MiB");
        assert_eq!(size(700 << 30), "700 GiB");
        assert_eq!(ago(Duration::from_secs(119)), "119 s ago");
        assert_eq!(ago(Duration::from_secs(7_199)), "119 min ago");
        assert_eq!(ago(Duration::from_secs(3 * 86_400)), "3 days ago");
    }

    #[test]
    fn a_stage_says_what_it_knows() {
        let mut stage = UnderWay {
            stage: "train".to_owned(),
            done: 5,
            total: 10,
            unit: "steps".to_owned(),
            loss: None,
            dropped: None,
            tokens_per_sec: None,
            mfu: None,
            secs_left: None,
            memory: None,
        };
        assert_eq!(under_way(&stage), "5/10 steps");
        stage.loss = Some(2.0);
        stage.tokens_per_sec = Some(1234.4);
        stage.mfu = Some(0.031);
        stage.secs_left = Some(80.0);
        stage.memory = Some(Memory { bytes: 3 << 29, peak_bytes: 2 << 30 });
        assert_eq!(
            under_way(&stage),
            "5/10 steps  loss 2.000  1234 tokens/s  MFU 3%  1 min 20 s left  1.5 GiB"
        );
        stage.secs_left = Some(f64::INFINITY);
        assert!(!under_way(&stage).contains("left"));
    }
}
