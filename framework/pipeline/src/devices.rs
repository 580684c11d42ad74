//! What a plan takes on many devices: time of every stage, memory of a training, and where more devices stop paying.
//!
//! All of it is arithmetic on the plan and on figures of data sheets; the formulas are in docs/SCALING.md.

use std::str::FromStr;

use sbp_core::ModelConfig;
use sbp_plugin::ports::Precision;
use sbp_recipe::{ExecutionSection, Plan};
use serde::Serialize;

use crate::preview::Preview;
use crate::pricing::{H100_FLOPS, StagePrice};
use crate::stages::pair::QUERIES_A_ROUND;

/// Bytes of a weight, of its gradient, of a number that the optimizer keeps.
const NUMBER: f64 = 4.0;

/// Logits that are held at once: two chunks of as many.
const CHUNK_LOGITS: f64 = (16 << 20) as f64;

/// Numbers that are exchanged at once; a process holds those that it sends and those that it gets.
const WINDOW: f64 = (16 << 20) as f64;

/// Where no device updates more than this many times its share of a group, each sums what it updates, and nothing is passed on.
const EVEN: f64 = 1.5;

/// Share of a training step that carries gradients back, while those of later layers are exchanged.
const BACKWARD: f64 = 2.0 / 3.0;

/// Devices of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Devices {
    /// How many.
    pub count: u64,
    /// Their name.
    pub name: &'static str,
    /// FLOP/s of each in bf16, dense.
    pub peak_flops: f64,
    /// Bytes of memory of each.
    pub memory_bytes: f64,
}

/// Name, FLOP/s in bf16 (dense) and bytes of memory, from NVIDIA's data sheets of the SXM modules.
const KINDS: [(&str, f64, f64); 3] =
    [("A100", 312e12, 80e9), ("H100", H100_FLOPS, 80e9), ("H200", H100_FLOPS, 141e9)];

impl FromStr for Devices {
    type Err = String;

    /// Reads `64xH100`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(['x', '×']);
        let count = parts.and_then(|(count, _)| count.trim().parse().ok()).filter(|&count: &u64| count > 0);
        let kind = parts.and_then(|(_, name)| {
            KINDS.into_iter().find(|(known, ..)| known.eq_ignore_ascii_case(name.trim()))
        });
        let (Some(count), Some((name, peak_flops, memory_bytes))) = (count, kind) else {
            let known = KINDS.map(|(name, ..)| name).join(", ");
            return Err(format!("a number and a kind, such as 64xH100; kinds are {known}"));
        };
        Ok(Self { count, name, peak_flops, memory_bytes })
    }
}

/// What cannot be read off a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Presumed {
    /// Share of the peak that computing reaches.
    pub mfu: f64,
    /// Bytes a second that a device sends, and receives, while gradients are summed.
    pub bytes_per_sec: f64,
}

/// A plan on devices.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnDevices {
    /// The devices.
    pub devices: Devices,
    /// What was presumed.
    pub presumed: Presumed,
    /// The stages that are shared out, in the order of the method.
    pub stages: Vec<StageTime>,
    /// Memory of a device while an arm is trained.
    pub memory: TrainingMemory,
    /// Devices at which exchanging takes as long as computing: more of them make a training less than twice as fast for twice
    /// their number.
    pub pays_up_to: u64,
    /// Devices that there are whole sequences for in a step.
    pub work_for: u64,
}

/// Time of a stage, each time it is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageTime {
    /// What the stage is called.
    pub stage: String,
    /// How often the study does it.
    pub times: u64,
    /// Seconds of computing.
    pub compute_secs: f64,
    /// Seconds of exchanging gradients and weights where it trains, rows where it searches, as far as nothing is computed meanwhile.
    pub exchange_secs: f64,
}

impl StageTime {
    /// Seconds of both.
    pub fn secs(&self) -> f64 {
        self.compute_secs + self.exchange_secs
    }
}

/// Bytes on one device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrainingMemory {
    /// All weights.
    pub weights: f64,
    /// The gradient of every weight; only of those that the device updates, and of what is on its way, where several compute a
    /// step and each in one part.
    pub gradients: f64,
    /// The device's share of what the optimizer keeps.
    pub optimizer: f64,
    /// What is sent and received at once.
    pub exchange: f64,
    /// Activations that wait for their gradient, and the logits at hand.
    pub activations: f64,
    /// Predictions computed at once.
    pub tokens_at_once: u64,
}

impl TrainingMemory {
    /// Of a training of `tokens_per_step` shared by so many processes, whose optimizer keeps `num_moments` numbers.
    pub fn of(
        model: &ModelConfig,
        vocab_size: usize,
        num_moments: f64,
        (tokens_per_step, precision): (u64, Precision),
        execution: &ExecutionSection,
        num_processes: u64,
    ) -> Self {
        let weights = model.num_parameters(vocab_size) as f64;
        let (n, own) = (num_processes as f64, tokens_per_step.div_ceil(num_processes));
        let at_once = execution.tokens_per_microbatch.map_or(own, |most| own.min(most as u64));
        let parts = own.div_ceil(at_once);
        let group = largest_group(model, vocab_size);
        let gradients = if parts > 1 {
            // Sums of earlier parts, to which the last one's are added group by group.
            weights + group
        } else if num_processes > 1 {
            // Besides those that stay, a group is made, one waits, and one is exchanged.
            weights.min(weights / n + 3.0 * group)
        } else {
            weights
        };
        let exchange = if num_processes > 1 { group + 2.0 * WINDOW.min(group) } else { 0.0 };
        let [d, m, k] = [model.hidden_size, model.intermediate_size, model.head_dim].map(|size| size as f64);
        let [h, g, layers] = [model.num_heads, model.num_kv_heads, model.num_layers].map(|size| size as f64);
        // Residual sum and normalised sum twice; projections before and after rotation; what attention gives; gate, up and
        // their product.
        let of_a_layer = 4.0 * d + 2.0 * (h + 2.0 * g) * k + h * k + 3.0 * m;
        // Where layers are computed twice, one of them is whole at a time.
        let kept =
            if execution.recompute_activations { layers * 2.0 * d + of_a_layer } else { layers * of_a_layer };
        let bytes = match precision {
            Precision::Fp32 => NUMBER,
            Precision::Bf16 => 2.0,
        };
        // A layer's gradients stand beside its activations while they are made.
        let activations = at_once as f64 * (kept + of_a_layer + 4.0 * d) * bytes;
        // In bf16 a layer's weights are held once more until their gradient is made.
        let cast = match (precision, execution.recompute_activations) {
            (Precision::Fp32, _) => 0.0,
            (Precision::Bf16, true) => 2.0 * weights / layers,
            (Precision::Bf16, false) => 2.0 * weights,
        };
        let logits = 2.0 * NUMBER * CHUNK_LOGITS.min(at_once as f64 * vocab_size as f64);
        Self {
            weights: NUMBER * weights,
            gradients: NUMBER * gradients,
            optimizer: NUMBER * num_moments / n,
            exchange: NUMBER * exchange,
            activations: activations + cast + logits,
            tokens_at_once: at_once,
        }
    }

    /// All of it.
    pub fn bytes(&self) -> f64 {
        self.weights + self.gradients + self.optimizer + self.exchange + self.activations
    }
}

/// The parameters whose gradients are exchanged together, as how many numbers each has: what follows the layers, each layer, and the
/// embedding.
fn groups(model: &ModelConfig, vocab_size: usize) -> Vec<Vec<f64>> {
    let width = model.hidden_size as f64;
    let table = width * vocab_size as f64;
    let last = if model.tie_embeddings { vec![width] } else { vec![width, table] };
    let layer = model.layer_parameters().map(|numbers| numbers as f64).to_vec();
    let layers = std::iter::repeat_n(layer, model.num_layers);
    [last].into_iter().chain(layers).chain([vec![table]]).collect()
}

/// Numbers of the largest group.
fn largest_group(model: &ModelConfig, vocab_size: usize) -> f64 {
    groups(model, vocab_size).iter().map(|group| group.iter().sum()).fold(0.0, f64::max)
}

/// By group, the most numbers that one of `n` devices updates. Each parameter, from the largest to the smallest, goes to whoever has
/// the fewest numbers so far.
fn most_updated(groups: &[Vec<f64>], n: f64) -> Vec<f64> {
    let numbered = groups.iter().enumerate();
    let mut parameters: Vec<(f64, usize)> =
        numbered.flat_map(|(group, of)| of.iter().map(move |&numbers| (numbers, group))).collect();
    parameters.sort_by(|a, b| b.0.total_cmp(&a.0));
    // More devices than parameters have nothing to update.
    let devices = n.min(parameters.len() as f64) as usize;
    let mut held = vec![(0.0_f64, vec![0.0_f64; groups.len()]); devices];
    for (numbers, group) in parameters {
        if let Some((all, of)) = held.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0)) {
            *all += numbers;
            of[group] += numbers;
        }
    }
    (0..groups.len()).map(|group| held.iter().map(|(_, of)| of[group]).fold(0.0, f64::max)).collect()
}

/// A plan on devices, from its price.
pub fn on_devices(plan: &Plan, preview: &Preview, devices: &Devices, presumed: Presumed) -> OnDevices {
    let recipe = &plan.recipe;
    let weights = recipe.model.num_parameters(preview.vocab_size) as f64;
    let n = devices.count as f64;
    let flops_per_sec = n * devices.peak_flops * presumed.mfu;
    let exchange = Exchange::of(&recipe.model, preview.vocab_size, n, presumed.bytes_per_sec);
    let time = |stage: &StagePrice| {
        let compute_secs = stage.flops? / flops_per_sec;
        let steps = stage.steps.unwrap_or(0) as f64;
        let own = (stage.tokens.unwrap_or(0) as f64 / steps / n).ceil();
        let parts =
            (own / recipe.execution.tokens_per_microbatch.map_or(own, |most| most as f64)).max(1.0).ceil();
        let exchange_secs = if steps > 0.0 {
            steps * exchange.secs(BACKWARD * compute_secs / steps / parts)
        } else if stage.stage == "pair" {
            (handing_secs(stage.flops?, n, presumed.bytes_per_sec) - compute_secs).max(0.0)
        } else {
            0.0
        };
        Some(StageTime { stage: stage.stage.clone(), times: stage.times, compute_secs, exchange_secs })
    };
    let training = &recipe.training;
    // A checkpoint holds the weights and what the optimizer keeps.
    let moments = preview.price.resumable_bytes() / NUMBER - weights;
    let tokens = training.tokens_per_step as f64;
    let step_flops = tokens * preview.flops_per_token;
    // Of so many devices that one more changes nothing of it, and as if all of it had to be waited for.
    let exchange_secs =
        Exchange::of(&recipe.model, preview.vocab_size, f64::INFINITY, presumed.bytes_per_sec).secs(0.0);
    OnDevices {
        stages: preview.price.stages.iter().filter_map(time).collect(),
        memory: TrainingMemory::of(
            &recipe.model,
            preview.vocab_size,
            moments.max(0.0),
            (training.tokens_per_step, training.precision),
            &recipe.execution,
            devices.count,
        ),
        pays_up_to: (step_flops / (devices.peak_flops * presumed.mfu) / exchange_secs).max(1.0) as u64,
        work_for: (training.tokens_per_step / recipe.model.context_length as u64).max(1),
        devices: devices.clone(),
        presumed,
    }
}

/// Seconds in which exact search of so many FLOPs hands its rows round: all of them but its own to each device, for every
/// [`QUERIES_A_ROUND`] documents that it searches for.
fn handing_secs(search_flops: f64, n: f64, bytes_per_sec: f64) -> f64 {
    // Of 2 FLOPs, one number of one document and one number of another.
    let numbers_a_round = search_flops / 2.0 / (n * QUERIES_A_ROUND as f64);
    NUMBER * numbers_a_round * (1.0 - 1.0 / n) / bytes_per_sec
}

/// Seconds of a step's exchange.
struct Exchange {
    /// Gradients, while others are computed.
    beside: f64,
    /// The embedding's gradient, which is found last, and all weights.
    after: f64,
}

impl Exchange {
    /// Between `n` devices. Of a group each has a slice of every other's gradients to sum, and passes it on to whoever updates it,
    /// which takes as long as one device's part of the group is large. Weights take the same ways back.
    fn of(model: &ModelConfig, vocab_size: usize, n: f64, bytes_per_sec: f64) -> Self {
        let groups = groups(model, vocab_size);
        // As a share, which infinitely many have too.
        let others = 1.0 - 1.0 / n;
        let secs = groups.iter().zip(most_updated(&groups, n)).map(|(group, most)| {
            let numbers: f64 = group.iter().sum();
            let passed_on = if n * most <= EVEN * numbers { 0.0 } else { most };
            NUMBER * others * (numbers + passed_on) / bytes_per_sec
        });
        let secs: Vec<f64> = secs.collect();
        let all: f64 = secs.iter().sum();
        let embedding = secs.last().copied().unwrap_or(0.0);
        Self { beside: all - embedding, after: embedding + all }
    }

    /// Those that nothing is computed in, where gradients take so long to compute.
    fn secs(&self, backward: f64) -> f64 {
        (self.beside - backward).max(0.0) + self.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ModelConfig {
        ModelConfig { hidden_size: 100, num_layers: 10, intermediate_size: 300, ..ModelConfig::default() }
    }

    fn memory(execution: &ExecutionSection, num_processes: u64) -> TrainingMemory {
        let moments = 2.0 * model().num_parameters(1000) as f64;
        TrainingMemory::of(&model(), 1000, moments, (1 << 20, Precision::Fp32), execution, num_processes)
    }

    #[test]
    fn devices_are_read_from_their_names() {
        let devices: Devices = "64xh100".parse().unwrap();
        assert_eq!((devices.count, devices.name, devices.memory_bytes), (64, "H100", 80e9));
        for wrong in ["", "H100", "0xH100", "8xTPU", "x"] {
            assert!(wrong.parse::<Devices>().unwrap_err().contains("such as 64xH100"), "{wrong}");
        }
    }

    #[test]
    fn processes_share_the_optimizers_state_and_the_step() {
        let execution = ExecutionSection::default();
        let (one, four) = (memory(&execution, 1), memory(&execution, 4));
        assert_eq!((one.exchange, one.optimizer), (0.0, 2.0 * one.weights));
        assert_eq!(four.weights, one.weights);
        assert!(four.gradients < one.gradients);
        assert_eq!((4.0 * four.optimizer, 4 * four.tokens_at_once), (one.optimizer, one.tokens_at_once));
        assert!(four.activations < one.activations / 2.0);
    }

    #[test]
    fn what_is_recomputed_or_cut_into_parts_takes_less() {
        let whole = memory(&ExecutionSection::default(), 1);
        let twice = ExecutionSection { recompute_activations: true, ..ExecutionSection::default() };
        assert!(memory(&twice, 1).activations < whole.activations / 3.0);
        let parts = ExecutionSection { tokens_per_microbatch: Some(1 << 14), ..ExecutionSection::default() };
        let parts = memory(&parts, 1);
        assert!(parts.activations < whole.activations / 20.0);
        assert!(whole.gradients < parts.gradients && parts.gradients < 1.3 * whole.gradients);
        // Of several processes, each keeps what it updates, but for sums of parts that are not complete.
        let execution =
            ExecutionSection { tokens_per_microbatch: Some(1 << 14), ..ExecutionSection::default() };
        let [few, many] = [4, 64].map(|n| memory(&execution, n));
        assert_eq!((few.gradients, few.tokens_at_once), (parts.gradients, 1 << 14));
        assert!(many.gradients < 0.5 * few.gradients);
    }

    #[test]
    fn rows_are_handed_round_once_for_the_queries_of_a_round() {
        // Every document of two devices in one round: a row goes to the other device, 4 bytes a number.
        let (num_rows, dim) = (2.0 * QUERIES_A_ROUND as f64, 64.0);
        let secs = handing_secs(2.0 * num_rows * num_rows * dim, 2.0, 1e9);
        assert!((secs - 4.0 * num_rows * dim / 2.0 / 1e9).abs() < 1e-12);
        assert_eq!(handing_secs(1e18, 1.0, 1e9), 0.0);
    }

    #[test]
    fn what_is_exchanged_beside_computing_costs_no_time() {
        let exchange = |n| Exchange::of(&model(), 1000, n, 1e9);
        let weights = model().num_parameters(1000) as f64;
        let (two, many) = (exchange(2.0), exchange(f64::INFINITY));
        // Infinitely many: of every group the largest parameter is passed on, and the embedding's 1e5 numbers travel once more.
        let layer = model().layer_parameters();
        let largest = *layer.iter().max().unwrap() as f64;
        let all = weights + 1e5 + 100.0 + 10.0 * largest;
        assert!((many.secs(0.0) - 4.0 * (2.0 * all) / 1e9).abs() < 1e-9);
        assert!((many.after - 4.0 * (all + 2e5) / 1e9).abs() < 1e-9);
        // Two have half the way to go, and their parts of a layer differ by little.
        assert!(two.secs(0.0) < 0.5 * many.secs(0.0));
        assert!((two.secs(two.beside / 2.0) - two.beside / 2.0 - two.after).abs() < 1e-12);
        assert_eq!(two.secs(1.0), two.after);
    }
}
