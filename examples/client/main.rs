//! Shares an image, and is sure of it: a client with tonic.
//!
//! `client <URL> <account/region/image> <recipient> <reason>`
//!
//! Who calls, by the environment: SHAREWARDEN_TLS_CA (a PEM file: trust this authority; the URL says https),
//! SHAREWARDEN_TLS_CERTIFICATE and SHAREWARDEN_TLS_KEY (PEM files: show this certificate), SHAREWARDEN_TOKEN_FILE (send the bearer
//! token in this file), SHAREWARDEN_PRINCIPAL (say who calls, to a service on this machine that trusts it).
//!
//! A program of its own has the generated types from the protos (`tonic-prost-build`), and needs nothing of this crate.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example of a program that is not ours reads its environment, and prints"
)]

use std::{env, error::Error, fs, time::Duration};

use sharewarden::proto::v1::{
    GrantSharePermissionRequest, GrantSharePermissionResponse, change,
    share_permission_service_client::SharePermissionServiceClient,
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt;
use uuid::Uuid;

/// For one call; the change goes on without us.
const PATIENCE: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;

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
    let request = GrantSharePermissionRequest {
        account_id: account_id.into(),
        region: region.into(),
        image_id: image_id.into(),
        shared_account_id: recipient.clone(),
        reason: reason.clone(),
        // The same for all tries: the request acts once, however often it is sent.
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let mut client = SharePermissionServiceClient::new(connect(server).await?);
    let change = send(&mut client, &request).await?.change.unwrap_or_default();
    let state = change::State::try_from(change.state)?.as_str_name();
    println!("{} {state} {}", change.change_id, change.principal);
    Ok(())
}

async fn connect(server: &str) -> Result<Channel, Failed> {
    let endpoint = Endpoint::new(server.to_owned())?;
    let Ok(authority) = env::var("SHAREWARDEN_TLS_CA") else {
        return Ok(endpoint.connect().await?);
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(authority)?));
    if let Ok(certificate) = env::var("SHAREWARDEN_TLS_CERTIFICATE") {
        let key = fs::read(env::var("SHAREWARDEN_TLS_KEY")?)?;
        tls = tls.identity(Identity::from_pem(fs::read(certificate)?, key));
    }
    Ok(endpoint.tls_config(tls)?.connect().await?)
}

/// Adds what a call says of its caller.
fn say_who_calls(metadata: &mut MetadataMap) -> Result<(), Failed> {
    if let Ok(file) = env::var("SHAREWARDEN_TOKEN_FILE") {
        let token = fs::read_to_string(file)?;
        metadata.insert("authorization", format!("Bearer {}", token.trim()).parse()?);
    } else if let Ok(principal) = env::var("SHAREWARDEN_PRINCIPAL") {
        metadata.insert("x-sharewarden-principal", principal.parse()?);
    }
    Ok(())
}

/// Sends a request until its answer is known.
async fn send(
    client: &mut SharePermissionServiceClient<Channel>,
    request: &GrantSharePermissionRequest,
) -> Result<GrantSharePermissionResponse, Failed> {
    let mut tried = 0;
    loop {
        tried += 1;
        let mut call = Request::new(request.clone());
        call.set_timeout(PATIENCE);
        say_who_calls(call.metadata_mut())?;
        let status = match client.grant_share_permission(call).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => status,
        };
        match to_wait(&status, tried) {
            Some(wait) if tried < TRIES => tokio::time::sleep(wait).await,
            _ => return Err(format!("{}: {}", reason_of(&status), status.message()).into()),
        }
    }
}

/// Until the same request may be sent again; `None` if that is of no use.
fn to_wait(status: &Status, tried: u32) -> Option<Duration> {
    let pushback: Option<&MetadataValue<Ascii>> = status.metadata().get("grpc-retry-pushback-ms");
    if let Some(pushback) = pushback {
        // A negative number says not to come back.
        return pushback.to_str().ok()?.parse().ok().map(Duration::from_millis);
    }
    match status.code() {
        // It was accepted, or nobody knows: the same request asks which.
        Code::DeadlineExceeded => Some(Duration::ZERO),
        Code::Unavailable => Some(Duration::from_millis(200) * 2_u32.pow(tried)),
        _ => None,
    }
}

/// The service's own word for what is wrong; the code where it did not get to say one.
fn reason_of(status: &Status) -> String {
    match status.get_details_error_info() {
        Some(info) => info.reason,
        None => format!("{:?}", status.code()),
    }
}
