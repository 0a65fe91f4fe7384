//! The code generated from `proto/sharewarden/v1`: the servers. The messages come from the package `sharewarden-client`.

/// Package `sharewarden.v1`; the documentation is in the proto files.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    pub use sharewarden_client::proto::v1::*;

    tonic::include_proto!("sharewarden.v1");
}

/// The metadata that explain an answer of `grpc.health.v1.Health/Check`.
pub mod health {
    /// The state of the service, such as `READY` or `BUILD_NOT_ADMITTED`; see `/readyz` in docs/operations.md.
    pub const REASON: &str = "sharewarden-reason";
    /// The number of the build that answers: the version of its newest migration.
    pub const BUILD: &str = "sharewarden-build";
    /// The newest migration of the database.
    pub const SCHEMA: &str = "sharewarden-schema";
    /// Builds from this number on may use the database.
    pub const OLDEST_BUILD: &str = "sharewarden-oldest-build";
    /// Once for each build that runs: its number, `=`, and the number of its replicas that were seen in the last minute.
    pub const RUNNING: &str = "sharewarden-running";
}

/// The descriptors of the package and its imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sharewarden.v1.descriptors"));
