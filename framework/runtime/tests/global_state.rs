//! What changes the whole process and so needs one of its own: one test, in the order a program goes.

use sbp_runtime::device::{self, Device};
use sbp_runtime::native;
use std::num::NonZeroUsize;

#[test]
fn a_program_tunes_chooses_and_resumes() {
    assert_eq!(native::tune_allocator(), cfg!(target_env = "gnu"));

    let resolved = device::init(Device::Cpu, NonZeroUsize::new(1)).unwrap();
    assert_eq!((resolved.device, resolved.threads), (tch::Device::Cpu, 1));
    assert_eq!(tch::get_num_threads(), 1);
    assert_eq!(device::init(Device::Cpu, None).unwrap(), resolved, "asking again changes nothing");
    let changed = device::init(Device::Cpu, NonZeroUsize::new(2)).unwrap_err();
    assert!(changed.to_string().contains("start another process"), "{changed}");

    let facts = device::facts();
    assert_eq!(facts.torch_found, facts.torch_wanted);
    assert_eq!(facts.flush_denormal, resolved.flush_denormal);
    if cfg!(target_os = "linux") {
        assert!(facts.library_folder.unwrap().join("libtorch_cpu.so").exists());
    }
    if facts.cuda_error.is_some() {
        let refused = device::init(Device::Cuda(0), None).unwrap_err().to_string();
        assert!(refused.contains("cuda:0 cannot be used") && refused.contains("`cpu`"), "{refused}");
        assert_eq!(device::init(Device::Auto, None).unwrap().device, tch::Device::Cpu);
    }

    let draw = || tch::Tensor::randn([8], (tch::Kind::Float, tch::Device::Cpu));
    let state = native::generator_state().unwrap();
    let first = draw();
    assert_ne!(draw(), first);
    native::set_generator_state(&state).unwrap();
    assert_eq!(draw(), first);

    native::set_deterministic(true).unwrap();
    assert_eq!(draw().dot(&draw()).size(), [0_i64; 0]);
}
