//! Shares an image and reports a certain result: a client with the package `sharewarden-client`.
//!
//! `client <URL> <account/region/image> <recipient> <reason>`
//!
//! The environment has the credentials:
//!
//! - SHAREWARDEN_TLS_CA: a PEM file with the authority to trust, for an https URL.
//! - SHAREWARDEN_TLS_CERTIFICATE and SHAREWARDEN_TLS_KEY: PEM files of the client certificate.
//! - SHAREWARDEN_TOKEN_FILE: a file with the bearer token.
//! - SHAREWARDEN_PRINCIPAL: the principal, for a service on this machine that trusts this name.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example of a program that is not ours reads its environment, and prints"
)]

use std::{env, error::Error};

use sharewarden_client::{Client, ConnectOptions, Outcome, proto::v1::GrantSharePermissionRequest};

type Failed = Box<dyn Error>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [server, image, recipient, reason] = arguments.as_slice() else {
        return Err("usage: client <URL> <account/region/image> <recipient> <reason>".into());
    };
    let [account_id, region, image_id] = image.split('/').collect::<Vec<_>>()[..] else {
        return Err(format!("{image:?} is not account/region/image").into());
    };
    let client = Client::connect(&options(server)?).await?;
    let request = GrantSharePermissionRequest {
        account_id: account_id.into(),
        region: region.into(),
        image_id: image_id.into(),
        shared_account_id: recipient.clone(),
        reason: reason.clone(),
        ..Default::default()
    };
    let change = match client.grant(request).await {
        Outcome::Succeeded(answer) => answer.change.unwrap_or_default(),
        Outcome::Failed(error) => return Err(error.to_string().into()),
        Outcome::Unresolved { request_id, error } => {
            return Err(
                format!("the result is not known yet; repeat the call with request id {request_id}: {error}").into(),
            );
        }
    };
    println!(
        "{} {} {}",
        change.change_id,
        change.state().as_str_name(),
        change.principal
    );
    Ok(())
}

fn options(server: &str) -> Result<ConnectOptions, Failed> {
    let file = |name: &str| env::var_os(name).map(Into::into);
    let principal = env::var("SHAREWARDEN_PRINCIPAL").ok();
    Ok(ConnectOptions {
        principal: principal.map(|name| name.parse()).transpose()?,
        tls_ca: file("SHAREWARDEN_TLS_CA"),
        tls_certificate: file("SHAREWARDEN_TLS_CERTIFICATE"),
        tls_key: file("SHAREWARDEN_TLS_KEY"),
        token_file: file("SHAREWARDEN_TOKEN_FILE"),
        ..ConnectOptions::new(server.parse()?)
    })
}
