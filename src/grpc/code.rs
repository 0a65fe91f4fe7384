//! The names of codes, as the gRPC specification and OpenTelemetry have them; tonic prints other ones. What the edge observes of a
//! call goes by them.

use tonic::{Code, Status};

use crate::edge::observation::{Ending, Protocol};

use super::rpcs::Rpc;

/// How calls of gRPC are observed.
pub(super) const OBSERVED: Protocol = Protocol {
    method: |path| Rpc::at(path).name,
    ending: |headers| {
        let status = headers.get(Status::GRPC_STATUS)?;
        Some(ending(Code::from_bytes(status.as_bytes())))
    },
    abandoned: ending(Code::Cancelled),
    broken: ending(Code::Unknown),
};

const fn ending(code: Code) -> Ending {
    Ending {
        status: name(code),
        is_server_error: is_server_error(code),
    }
}

/// The name of a code.
pub(super) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// True for what OpenTelemetry's conventions for gRPC count as an error of the server.
const fn is_server_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
