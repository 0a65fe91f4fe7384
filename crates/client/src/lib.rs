//! A client of sharewarden: the generated types, and calls that are retried safely.
//!
//! A program that shares an image needs these lines. The environment variables are those of the command line
//! ([`ConnectOptions::from_environment`]).
//!
//! ```no_run
//! use sharewarden_client::{Client, ConnectOptions, Outcome, proto::v1::GrantSharePermissionRequest};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect(&ConnectOptions::from_environment()?).await?;
//!     let request = GrantSharePermissionRequest {
//!         account_id: "111122223333".into(),
//!         region: "eu-central-1".into(),
//!         image_id: "wsi-basewin11".into(),
//!         shared_account_id: "000011112222".into(),
//!         reason: "build 7".into(),
//!         ..Default::default()
//!     };
//!     match client.grant(request).await {
//!         Outcome::Succeeded(answer) => println!("shared: {:?}", answer.change),
//!         Outcome::Failed(error) => return Err(error.into()),
//!         Outcome::Unresolved { request_id, .. } => println!("not known yet; send it again with {request_id}"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What it promises
//!
//! - [`Client::grant`] and [`Client::revoke`] give a request one id, and send it with the same id until its outcome is known. So
//!   it takes effect once, whatever happens to the connection (`tests/cuts.rs` cuts it after every byte).
//! - They return one [`Outcome`], which is the one in the ledger. An outcome that is not known is never called a failure.
//! - They wait for a pending change, for the client's timeout at most. A change that the service accepted goes on after that, and
//!   also when the future is dropped.
//! - [`job::ShareJob`] makes many changes with the same promises over several runs of the program.
//! - [`Client::call`] makes any other call, and retries while the service is unavailable. An [`Error`] has the reason and the
//!   metadata that the service sent. The generated types are in [`proto`].
//!
//! Read `options`, then `connection`, then `change` and `end`, then `job`.

mod change;
mod channel;
mod connection;
mod credentials;
mod deadline;
mod end;
mod error;
mod follow;
pub mod job;
mod options;
mod silence;

pub use change::{Outcome, Telling};
pub use channel::ServiceChannel;
pub use connection::{AccessStub, AuditStub, Client, DriftStub, ShareStub, Stub, backoff, open_channel};
pub use deadline::Deadline;
pub use end::GrantEnd;
pub use error::{Error, Reason};
pub use options::{ConnectOptions, ConnectionError};
pub use silence::Silence;

/// The code generated from `proto/sharewarden/v1`: messages with proto3 JSON through serde, and clients.
pub mod proto {
    /// Package `sharewarden.v1`; the documentation is in the proto files.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("sharewarden.v1");
        include!(concat!(env!("OUT_DIR"), "/sharewarden.v1.serde.rs"));
    }
}
