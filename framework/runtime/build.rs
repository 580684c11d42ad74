//! Compiles the C++ shim and tells dependents where libtorch lies, so that their binaries find it.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=native");
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys says where libtorch is");
    let include = Path::new(&lib).with_file_name("include");
    // Loops over numbers, which the compiler turns into vector instructions.
    cc::Build::new()
        .cpp(true)
        .file("native/kernels.cpp")
        .std("c++17")
        .opt_level(3)
        .flag("-fopenmp-simd")
        .flag_if_supported("-mprefer-vector-width=512")
        .debug(false)
        .compile("sbp_kernels");
    // Work is shared out by libtorch's own threads, whose library is loaded already. Elsewhere it is done by one thread.
    let has_openmp = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let mut shim = cc::Build::new();
    if has_openmp {
        shim.flag("-fopenmp");
        println!("cargo:rustc-link-lib=dylib=gomp");
    }
    shim.cpp(true)
        .file("native/shim.cpp")
        .file("native/fused.cpp")
        .file("native/products.cpp")
        .file("native/c10d.cpp")
        // What libtorch's headers need of gloo.
        .include("native")
        // As system headers: their warnings are not ours.
        .flag("-isystem")
        .flag(&include)
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include"))
        .std("c++17")
        // They only forward calls: more would cost compile time and buy nothing.
        .opt_level(1)
        .debug(false)
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .compile("sbp_shim");
    // The folder itself and not the link to it, so that a binary outlives the clone it was built in.
    let lib = Path::new(&lib).canonicalize().unwrap_or_else(|e| panic!("{lib}: {e}"));
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    println!("cargo:libtorch_lib={}", lib.display());
}
