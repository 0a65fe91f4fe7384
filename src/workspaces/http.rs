//! The one HTTP client of all SDK clients, with one connection pool. The root certificates are read once.

use std::time::Duration;

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};

use super::{BaseCredentials, WorkSpacesSettings};

/// Maximum idle time of a pooled connection. AWS closes idle connections. A call that is written to a closing connection has an
/// unknown outcome and needs a read-back, so this is shorter than hyper's 90 s.
const MAX_IDLE_TIME: Duration = Duration::from_secs(20);

/// Makes the client. It needs its own timeouts, because the SDK's per-client timeouts do not reach a shared connector.
pub(super) fn client(settings: &WorkSpacesSettings) -> SharedHttpClient {
    let proxy = match settings.credentials {
        BaseCredentials::Environment => ProxyConfig::from_env(),
        BaseCredentials::Fixed { .. } => ProxyConfig::disabled(),
    };
    let timeouts = HttpConnectorSettings::builder()
        .connect_timeout(settings.connect_timeout())
        .read_timeout(settings.forwarder.attempt_timeout)
        .build();
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .proxy_config(proxy)
        .connector_settings(timeouts)
        .pool_idle_timeout(MAX_IDLE_TIME)
        .build();
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}
