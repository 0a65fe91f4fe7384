//! The code generated from `proto/sharewarden/v1`: messages, client and server, with proto3 JSON through serde.

/// Package `sharewarden.v1`; the documentation is in the proto files.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("sharewarden.v1");
    include!(concat!(env!("OUT_DIR"), "/sharewarden.v1.serde.rs"));
}

/// The descriptors of the package and its imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sharewarden.v1.descriptors"));
