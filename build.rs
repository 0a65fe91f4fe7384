//! Generates the gRPC servers from `proto/`; the messages come from `sharewarden-client`. Also passes the version of rustc to the
//! program, for the build information metric.
use std::{error::Error, fs, path::PathBuf};

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its folders by the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-env-changed=SHAREWARDEN_REVISION");
    if let Some(version) = rustc_version() {
        println!("cargo:rustc-env=SHAREWARDEN_RUSTC={version}");
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("sharewarden/v1/share_permission_service.proto")?;
    compiler.open_file("sharewarden/v1/audit_service.proto")?;
    compiler.open_file("sharewarden/v1/access_service.proto")?;
    compiler.open_file("sharewarden/v1/drift_service.proto")?;
    fs::write(
        out.join("sharewarden.v1.descriptors"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".sharewarden.v1", "::sharewarden_client::proto::v1")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The version of cargo's rustc, such as `1.95.0`; `None` if it cannot be read.
#[expect(clippy::disallowed_methods, reason = "cargo names its rustc by the environment")]
fn rustc_version() -> Option<String> {
    let output = std::process::Command::new(std::env::var("RUSTC").ok()?)
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(1).map(String::from)
}
