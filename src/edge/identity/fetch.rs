//! Fetches an issuer's keys from a file or from an https URL.

use std::{error::Error as StdError, path::Path, time::Duration};

use reqwest::{Certificate, Client, Response, redirect::Policy};

use super::TokenKeysProblem;
use crate::{config::JwtConfig, domain::causes};

/// Timeout of the HTTP request. Callers wait for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of a response. A JWK Set has a few kilobytes.
const MAX_BYTES: usize = 1024 * 1024;

pub(super) async fn text(settings: &JwtConfig) -> Result<Vec<u8>, TokenKeysProblem> {
    if !settings.jwks_is_url() {
        return read(settings.jwks.as_ref()).await;
    }
    let client = client(settings.jwks_ca.as_deref()).await?;
    get(&client, &settings.jwks)
        .await
        .map_err(|error| TokenKeysProblem::Fetch(root_cause(&error)))
}

async fn read(file: &Path) -> Result<Vec<u8>, TokenKeysProblem> {
    tokio::fs::read(file)
        .await
        .map_err(|source| TokenKeysProblem::Unreadable {
            file: file.to_owned(),
            source,
        })
}

/// A new client for each fetch: fetches are rare, and the file of authorities may have changed.
async fn client(ca: Option<&Path>) -> Result<Client, TokenKeysProblem> {
    let mut builder = Client::builder()
        .https_only(true)
        // Only the configuration decides where the keys come from.
        .redirect(Policy::none())
        // One small response needs no HTTP/2.
        .http1_only()
        .timeout(TIMEOUT);
    if let Some(file) = ca {
        let authorities = Certificate::from_pem_bundle(&read(file).await?)
            .map_err(|error| TokenKeysProblem::Fetch(format!("auth.jwt.jwks_ca: {}", root_cause(&error))))?;
        builder = builder.tls_certs_only(authorities);
    }
    builder
        .build()
        .map_err(|error| TokenKeysProblem::Fetch(root_cause(&error)))
}

async fn get(client: &Client, url: &str) -> Result<Vec<u8>, reqwest::Error> {
    let mut response: Response = client.get(url).send().await?.error_for_status()?;
    let mut text = Vec::new();
    while let Some(part) = response.chunk().await? {
        text.extend_from_slice(&part);
        if text.len() > MAX_BYTES {
            // The truncated text is not JSON, so parsing fails and reports it.
            break;
        }
    }
    Ok(text)
}

/// The innermost cause: the outer ones repeat the URL.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}
