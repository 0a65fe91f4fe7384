//! The names of status codes in the gRPC specification and in OpenTelemetry. tonic prints other names. Metrics and traces use
//! these.

use tonic::{Code, Status};

use crate::edge::observation::{Ending, Protocol};

use super::rpcs::Rpc;

/// How the edge observes gRPC calls.
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

/// The name in the gRPC specification.
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

/// True for the codes that OpenTelemetry's gRPC conventions count as server errors.
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
