//! A client of sharewarden: the generated types, and calls that are retried safely.
//!
//! [`Client::grant`] and [`Client::revoke`] give the request an id and retry with the same id until the outcome is known. They
//! wait for a pending change, and return one [`Outcome`]. [`Client::call`] makes any other call. An [`Error`] has the reason and
//! the metadata that the service sent. The generated types are in [`proto`].
//!
//! ```no_run
//! # async fn share() -> Result<(), Box<dyn std::error::Error>> {
//! use sharewarden_client::{Client, ConnectOptions, Outcome, proto::v1::GrantSharePermissionRequest};
//!
//! let client = Client::connect(&ConnectOptions::new("http://127.0.0.1:7443".parse()?)).await?;
//! let mut request = GrantSharePermissionRequest::default();
//! request.image_id = "wsi-basewin11".into(); // and account_id, region, shared_account_id, reason
//! match client.grant(request).await {
//!     Outcome::Succeeded(answer) => println!("{:?}", answer.change),
//!     Outcome::Failed(error) => println!("{error}: {:?}", error.reason),
//!     Outcome::Unresolved { request_id, .. } => println!("ask again with {request_id}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Read `options`, then `connection`, then `change`.

mod change;
mod channel;
mod connection;
mod credentials;
mod deadline;
mod error;
mod follow;
mod options;

pub use change::Outcome;
pub use channel::ServiceChannel;
pub use connection::{AuditStub, Client, ShareStub, Stub, backoff, open_channel};
pub use deadline::Deadline;
pub use error::{Error, Reason};
pub use options::{ConnectOptions, ConnectionError};

/// The code generated from `proto/sharewarden/v1`: messages with proto3 JSON through serde, and clients.
pub mod proto {
    /// Package `sharewarden.v1`; the documentation is in the proto files.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("sharewarden.v1");
        include!(concat!(env!("OUT_DIR"), "/sharewarden.v1.serde.rs"));
    }
}
