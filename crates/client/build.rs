//! Generates messages and clients from `proto/`. The compiler is the crate `protox`, so no system protoc is needed.
use std::error::Error;

const PROTO: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let mut compiler = protox::Compiler::new([PROTO])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("sharewarden/v1/share_permission_service.proto")?;
    compiler.open_file("sharewarden/v1/audit_service.proto")?;
    compiler.open_file("sharewarden/v1/access_service.proto")?;
    compiler.open_file("sharewarden/v1/drift_service.proto")?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(compiler.file_descriptor_set())?;
    pbjson_build::Builder::new()
        .register_descriptors(&compiler.encode_file_descriptor_set())?
        .build(&[".sharewarden.v1"])?;
    Ok(())
}
