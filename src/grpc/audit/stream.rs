//! The handlers that answer with streams.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::proto::v1;

use super::AuditApi;

/// What is sent to those who follow ledgers.
pub(super) type Watching = Pin<Box<dyn Stream<Item = Result<v1::WatchAuditEntriesResponse, Status>> + Send>>;
/// What is sent to those who copy ledgers.
pub(super) type Exporting = Pin<Box<dyn Stream<Item = Result<v1::ExportAuditEntriesResponse, Status>> + Send>>;

pub(super) async fn watch(
    _: &AuditApi,
    _: Request<v1::WatchAuditEntriesRequest>,
) -> Result<Response<Watching>, Status> {
    Err(Status::unimplemented("not implemented"))
}

pub(super) async fn export(
    _: &AuditApi,
    _: Request<v1::ExportAuditEntriesRequest>,
) -> Result<Response<Exporting>, Status> {
    Err(Status::unimplemented("not implemented"))
}
