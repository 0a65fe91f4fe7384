//! Shares an image and reports a certain result: a client with the package `sharewarden-client`.
//!
//! `share-image <URL> <account/region/image> <recipient> <reason>`
//!
//! The environment has the credentials: see [`ConnectOptions::from_environment`].

use std::{
    env,
    error::Error,
    io::{self, Write},
    iter,
    process::ExitCode,
};

use sharewarden_client::{Client, ConnectOptions, Outcome, proto::v1::GrantSharePermissionRequest};

type Failed = Box<dyn Error>;

#[tokio::main]
async fn main() -> ExitCode {
    // A closed output changes nothing: `println!` would panic.
    match share().await {
        Ok(line) => {
            let _ = writeln!(io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let error: &(dyn Error + 'static) = &*error;
            let causes = iter::successors(Some(error), |&error| error.source());
            let causes: Vec<_> = causes.map(ToString::to_string).collect();
            let _ = writeln!(io::stderr(), "error: {}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

async fn share() -> Result<String, Failed> {
    let arguments: Result<Vec<_>, _> = env::args_os().skip(1).map(|argument| argument.into_string()).collect();
    let arguments = arguments.map_err(|raw| format!("the argument {raw:?} is not UTF-8"))?;
    let [server, image, recipient, reason] = arguments.as_slice() else {
        return Err("usage: share-image <URL> <account/region/image> <recipient> <reason>".into());
    };
    let [account_id, region, image_id] = image.split('/').collect::<Vec<_>>()[..] else {
        return Err(format!("{image:?} is not account/region/image").into());
    };
    let server = server
        .parse()
        .map_err(|error| format!("{server:?} is not a URL: {error}"))?;
    let options = ConnectOptions {
        server,
        ..ConnectOptions::from_environment()?
    };
    let client = Client::connect(&options).await?;
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
    let state = change.state().as_str_name();
    Ok(format!("{} {state} {}", change.change_id, change.principal))
}
