#![allow(clippy::print_stdout, missing_docs)]
use sbp_plugin::ports::Runtime;
use sbp_runtime::{TorchRuntime, device};
fn main() {
    let mut rt = TorchRuntime::new(device::init(device::Device::Cpu, None).unwrap());
    let mut m = rt.open(std::path::Path::new(&std::env::args().nth(1).unwrap())).unwrap();
    let seqs: Vec<Vec<u32>> = [200usize, 17, 80]
        .iter()
        .enumerate()
        .map(|(j, &n)| (0..n).map(|i| ((i * 7919 + j * 31 + i * i * 13) % 2048) as u32).collect())
        .collect();
    let lp = m.log_probs(&seqs).unwrap();
    let mh = m.mean_hidden(&seqs).unwrap();
    println!("{}", serde_json::json!({"seqs": seqs, "lp": lp, "mh": mh}));
}
