//! What each platform takes out of which wheel.

use crate::Result;
use std::env::consts::{ARCH, OS};

/// A wheel and the libraries to take out of it.
pub(super) struct Wheel {
    /// As pip names it, version included.
    pub(super) requirement: &'static str,
    /// Where the libraries lie inside.
    pub(super) library_folder: &'static str,
    pub(super) libraries: &'static [&'static str],
    /// Where the headers lie inside, if they are wanted.
    pub(super) headers: Option<&'static str>,
}

/// How libtorch is put together on one platform.
pub(super) struct Platform {
    pub(super) name: &'static str,
    /// Tags for `pip download --platform`, any of which will do.
    pub(super) tags: &'static [&'static str],
    pub(super) megabytes: u32,
    pub(super) wheels: &'static [Wheel],
    /// The wheel's own `libtorch` needs its CUDA library; where it is left out, an empty one takes its place.
    pub(super) needs_stub: bool,
}

/// `libtorch_cpu` of the CUDA builds is linked to these two, used or not.
const CUDA_RUNTIME: Wheel = Wheel {
    requirement: "nvidia-cuda-runtime==13.0.96",
    library_folder: "nvidia/cu13/lib/",
    libraries: &["libcudart.so.13"],
    headers: None,
};
const CUDA_PROFILING: Wheel = Wheel {
    requirement: "nvidia-cuda-cupti==13.0.85",
    library_folder: "nvidia/cu13/lib/",
    libraries: &["libcupti.so.13"],
    headers: None,
};

const fn torch(libraries: &'static [&'static str]) -> Wheel {
    Wheel {
        requirement: "torch==2.11.0",
        library_folder: "torch/lib/",
        libraries,
        headers: Some("torch/include/"),
    }
}

const PLATFORMS: &[Platform] = &[
    Platform {
        name: "linux-x86_64",
        tags: &["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux2014_x86_64"],
        megabytes: 530,
        wheels: &[torch(&["libc10.so", "libtorch_cpu.so", "libgomp.so.1"]), CUDA_RUNTIME, CUDA_PROFILING],
        needs_stub: true,
    },
    // Untested; the lists are read off the wheels.
    Platform {
        name: "linux-aarch64",
        tags: &["manylinux_2_28_aarch64", "manylinux_2_25_aarch64", "manylinux2014_aarch64"],
        megabytes: 420,
        wheels: &[
            torch(&[
                "libc10.so",
                "libtorch_cpu.so",
                "libgomp.so.1",
                "libarm_compute.so",
                "libarm_compute_graph.so",
                "libgfortran.so.5",
                "libnvpl_blas_core.so.0",
                "libnvpl_blas_lp64_gomp.so.0",
                "libnvpl_lapack_core.so.0",
                "libnvpl_lapack_lp64_gomp.so.0",
            ]),
            CUDA_RUNTIME,
            CUDA_PROFILING,
        ],
        needs_stub: true,
    },
    // Untested; this wheel has no CUDA, so its own libtorch serves.
    Platform {
        name: "macos-aarch64",
        tags: &["macosx_14_0_arm64"],
        megabytes: 81,
        wheels: &[torch(&["libc10.dylib", "libtorch_cpu.dylib", "libtorch.dylib", "libomp.dylib"])],
        needs_stub: false,
    },
];

impl Platform {
    /// The machine this runs on.
    pub(super) fn current() -> Result<&'static Self> {
        let name = format!("{OS}-{ARCH}");
        PLATFORMS.iter().find(|it| it.name == name).ok_or_else(|| {
            let known: Vec<_> = PLATFORMS.iter().map(|it| it.name).collect();
            format!(
                "no libtorch is known for {name} (known: {}).\n  Set LIBTORCH to one that you have.",
                known.join(", ")
            )
        })
    }
}

impl Wheel {
    /// Where a file of the wheel goes inside the libtorch folder; `None` if it is not wanted.
    pub(super) fn destination(&self, file: &str) -> Option<String> {
        if let Some(library) = file.strip_prefix(self.library_folder) {
            return self.libraries.contains(&library).then(|| format!("lib/{library}"));
        }
        file.strip_prefix(self.headers?).map(|header| format!("include/{header}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_libraries_and_the_headers_are_taken() {
        let wheel = &PLATFORMS[0].wheels[0];
        assert_eq!(wheel.destination("torch/lib/libc10.so").as_deref(), Some("lib/libc10.so"));
        assert_eq!(wheel.destination("torch/include/ATen/ATen.h").as_deref(), Some("include/ATen/ATen.h"));
        assert_eq!(wheel.destination("torch/lib/libtorch_cuda.so"), None);
        assert_eq!(wheel.destination("torch/__init__.py"), None);
    }

    #[test]
    fn the_torch_wheel_is_of_the_wanted_version() {
        let wanted = format!("torch=={}", super::super::VERSION);
        assert!(PLATFORMS.iter().all(|it| it.wheels[0].requirement == wanted));
    }
}
