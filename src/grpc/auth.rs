//! Who calls. The one place that decides it, for every RPC of ours, before anything of the message is read.

use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

use crate::domain::Principal;

use super::status;

/// The metadata in which a trusted proxy, or a trusted network, says who calls.
pub const PRINCIPAL: &str = "x-sharewarden-principal";

/// How callers are known. It sits in front of the service and leaves the [`Principal`] in the extensions of the call.
#[derive(Debug, Clone, Copy)]
pub enum Authenticator {
    /// By [`PRINCIPAL`], as it comes in: whoever can reach the service is trusted to tell the truth.
    TrustedHeader,
}

impl Authenticator {
    fn authenticate(self, metadata: &MetadataMap) -> Option<Principal> {
        match self {
            Self::TrustedHeader => only_value(metadata, PRINCIPAL)?.parse().ok(),
        }
    }
}

impl Interceptor for Authenticator {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let principal = self
            .authenticate(request.metadata())
            .ok_or_else(|| status::unauthenticated(PRINCIPAL))?;
        tracing::Span::current().record("principal", principal.as_str());
        request.extensions_mut().insert(principal);
        Ok(request)
    }
}

/// The value of a key that comes exactly once. Of two that differ, one may be the caller's own addition.
pub(super) fn only_value<'a>(metadata: &'a MetadataMap, key: &str) -> Option<&'a str> {
    let mut values = metadata.get_all(key).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn authenticated(values: &[&str]) -> Result<Principal, Code> {
        let mut request = Request::new(());
        for value in values {
            request.metadata_mut().append(PRINCIPAL, value.parse().unwrap());
        }
        let request = Authenticator::TrustedHeader
            .call(request)
            .map_err(|status| status.code())?;
        Ok(request.extensions().get::<Principal>().unwrap().clone())
    }

    #[test]
    fn a_call_says_who_makes_it_exactly_once() {
        assert_eq!(
            authenticated(&["pipeline@example.com"]).unwrap().as_str(),
            "pipeline@example.com"
        );
        for wrong in [&[][..], &[""], &["two words"], &["one", "two"], &["one", "one"]] {
            assert_eq!(authenticated(wrong), Err(Code::Unauthenticated), "{wrong:?}");
        }
    }
}
