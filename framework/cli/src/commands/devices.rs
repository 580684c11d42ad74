//! What a plan takes on many devices, as a table.

use std::fmt::Write as _;
use std::time::Duration;

use sbp_pipeline::{OnDevices, StageTime};

use super::price::{bytes, table};
use crate::screen::people;

/// Share of a training that exchanging may take before it is worth a word.
const MUCH: f64 = 0.2;

/// One row a stage; below, memory, and how far more devices help.
pub(super) fn text(on: &OnDevices) -> String {
    let devices = &on.devices;
    let mut rows = vec![[
        format!("on {} x {}", devices.count, devices.name),
        "time".to_owned(),
        "computing".to_owned(),
        "exchanging".to_owned(),
    ]];
    let mut all = 0.0;
    for stage in &on.stages {
        let times = if stage.times == 1 { String::new() } else { format!(" x {}", stage.times) };
        let share = |secs: f64| format!("{:.0}%", 100.0 * secs / stage.secs());
        let exchanging = if stage.exchange_secs > 0.0 { share(stage.exchange_secs) } else { String::new() };
        rows.push([
            format!("{}{times}", stage.stage),
            people(Duration::from_secs_f64(stage.secs())),
            share(stage.compute_secs),
            exchanging,
        ]);
        all += stage.times as f64 * stage.secs();
    }
    rows.push(["in all".to_owned(), people(Duration::from_secs_f64(all)), String::new(), String::new()]);
    let mut text = table(&rows, |_| true);

    let memory = &on.memory;
    let _ = writeln!(
        text,
        "a device holds {} of {} while it trains: weights {}, gradients {}, optimizer {}, exchange {}, activations of {} \
         tokens {}",
        bytes(memory.bytes()),
        bytes(devices.memory_bytes),
        bytes(memory.weights),
        bytes(memory.gradients),
        bytes(memory.optimizer),
        bytes(memory.exchange),
        memory.tokens_at_once,
        bytes(memory.activations),
    );
    if devices.count > 1 {
        let whole = bytes(memory.optimizer * devices.count as f64);
        let rest = match memory.gradients < memory.weights {
            true => " and summed gradients; whole on each device: weights",
            false => {
                "; whole on each device: weights and, until the last part of its share of a step, gradients"
            }
        };
        let _ = writeln!(text, "  shared out: what the optimizer keeps ({whole}){rest}");
    }
    if memory.bytes() > devices.memory_bytes {
        text.push_str(match memory.bytes() - memory.activations > 0.9 * devices.memory_bytes {
            true => "  that does not fit, whatever is computed at once: each device holds all weights, and all gradients where it computes a step in parts\n",
            false => {
                "  that does not fit: set execution.tokens_per_microbatch, or execution.recompute_activations = true\n"
            }
        });
    }
    let most = on.pays_up_to.min(on.work_for);
    let why = if on.pays_up_to < on.work_for {
        "there, exchanging takes as long as computing"
    } else {
        "a step has no more sequences of the context's length"
    };
    let _ = writeln!(text, "more devices help a training up to about {most}: {why}");
    let is_much = |stage: &StageTime| stage.exchange_secs > MUCH * stage.secs();
    if on.stages.iter().any(is_much) {
        text.push_str("  larger steps (training.tokens_per_step) are exchanged more rarely\n");
    }
    let _ = write!(
        text,
        "at {:.0}% of {:.0} TFLOP/s (--mfu) and {:.0} GB/s between devices (--bandwidth); nothing was measured. What one process does \
         alone (corpus, tokens, judging pairs, quality) is not in it",
        100.0 * on.presumed.mfu,
        devices.peak_flops / 1e12,
        on.presumed.bytes_per_sec / 1e9,
    );
    text
}
