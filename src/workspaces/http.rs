//! The one HTTP client that all SDK clients share: one connection pool, one reading of the root certificates.

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

/// How long a connection may idle in the pool. AWS closes idle connections without a word; a call that is written onto a
/// connection as it closes has an unknown outcome and costs a read-back, so keep them shorter than hyper's 90 s.
const MAX_IDLE_TIME: Duration = Duration::from_secs(20);

/// Makes the client. Its timeouts are its own: the SDK's per-client settings do not reach a shared connector.
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
