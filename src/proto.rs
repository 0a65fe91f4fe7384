//! The code generated from `proto/sharewarden/v1`: the servers. The messages come from the package `sharewarden-client`.

/// Package `sharewarden.v1`; the documentation is in the proto files.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    pub use sharewarden_client::proto::v1::*;

    tonic::include_proto!("sharewarden.v1");
}

/// The descriptors of the package and its imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sharewarden.v1.descriptors"));
