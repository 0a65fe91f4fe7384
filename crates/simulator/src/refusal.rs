//! An error as the API gives it: status, code, message. How it is written down depends on the protocol (see `reply`).

use std::borrow::Cow;

use http::StatusCode;

/// Why a call was refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
    /// A further member of the error's structure, such as ResourceId.
    pub(super) detail: Option<(&'static str, String)>,
    pub(super) retry_after_seconds: Option<u64>,
}

impl Refusal {
    /// A refusal with HTTP 400, which is what AWS JSON 1.1 uses for everything that is the caller's fault.
    pub(super) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: code.into(),
            message: message.into(),
            detail: None,
            retry_after_seconds: None,
        }
    }

    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn detail(mut self, member: &'static str, value: impl Into<String>) -> Self {
        self.detail = Some((member, value.into()));
        self
    }

    pub(super) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after_seconds = seconds;
        self
    }

    pub(super) fn not_found(image_id: &str) -> Self {
        Self::new(
            "ResourceNotFoundException",
            format!("The image {image_id} was not found."),
        )
        .detail("ResourceId", image_id)
    }

    pub(super) fn unavailable(image_id: &str) -> Self {
        Self::new(
            "ResourceUnavailableException",
            format!("The image {image_id} is not available."),
        )
        .detail("ResourceId", image_id)
    }

    pub(super) fn access_denied(message: impl Into<String>) -> Self {
        Self::new("AccessDeniedException", message)
    }

    pub(super) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValuesException", message)
    }

    pub(super) fn not_supported(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new("OperationNotSupportedException", message).detail("reason", reason)
    }

    pub(super) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    /// A failure of the simulator itself: the caller cannot know whether its call took effect.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalServerException", message).status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
