//! An error of the API: status, code and message. [`response`](super::response) encodes it for each protocol.

use std::borrow::Cow;

use http::StatusCode;

#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
    /// One more member of the error's structure, such as ResourceId.
    pub(super) detail: Option<(&'static str, String)>,
    pub(super) retry_after_seconds: Option<u64>,
}

impl ApiError {
    /// An error with HTTP 400, which AWS JSON 1.1 uses for all client errors.
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

    /// A failure of the simulator itself. The caller cannot know whether the call took effect.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalServerException", message).status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
