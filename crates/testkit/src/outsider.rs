//! A caller of AWS past the service.

use aws_sdk_workspaces::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};

use crate::stack::REGION;

/// Calls AWS past the service, with the SDK and the keys of an account.
#[derive(Debug, Clone)]
pub struct Outsider(pub Client);

impl Outsider {
    /// Calls this simulator with the keys of this account.
    pub fn new(simulator: &str, account: &str) -> Self {
        Self::with(
            simulator,
            Credentials::new(format!("AKIA{account}"), "any", None, None, "test"),
        )
    }

    /// Calls this simulator with these credentials.
    pub fn with(simulator: &str, credentials: Credentials) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(simulator)
            .retry_config(RetryConfig::disabled())
            .credentials_provider(credentials);
        Self(Client::from_conf(config.build()))
    }

    /// Shares an image, or takes a share away. Panics if AWS refuses.
    pub async fn set(&self, image: &str, recipient: &str, is_shared: bool) {
        assert!(self.try_set(image, recipient, is_shared).await, "AWS accepts the call");
    }

    /// The same. False if AWS does not say that it is done.
    pub async fn try_set(&self, image: &str, recipient: &str, is_shared: bool) -> bool {
        let call = self.0.update_workspace_image_permission();
        let call = call
            .image_id(image)
            .shared_account_id(recipient)
            .allow_copy_image(is_shared);
        call.send().await.is_ok()
    }
}
