//! Says where the io_uring backend exists: `cfg(uring)`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(uring)");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let architectures = ["x86_64", "aarch64", "riscv64", "loongarch64", "powerpc64"];
    if target("OS") == "linux" && architectures.contains(&target("ARCH").as_str()) {
        println!("cargo::rustc-cfg=uring");
    }
}
