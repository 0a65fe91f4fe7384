//! `health`: the health check of `grpc.health.v1`. It sends no principal, so it works in a container that has neither a user name
//! nor a credential.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tonic::{Code, Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    connection::{self, ServiceChannel},
    console::Console,
    failure::{Exit, Failure, Stop},
    options::{ClientOptions, Output},
};
use crate::client::{Deadline, Error};

/// Arguments of `health`.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub struct HealthArgs {
    /// Check only that the process is alive, without its database
    #[arg(long)]
    liveness: bool,
    /// Check that the service is ready for calls (the default)
    #[arg(long)]
    readiness: bool,
    /// Check the health of this gRPC service, such as sharewarden.v1.AuditService
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

impl HealthArgs {
    fn name(&self) -> &str {
        match &self.service {
            Some(name) => name,
            None if self.liveness => "liveness",
            None => "readiness",
        }
    }
}

#[derive(Serialize)]
struct HealthReport<'a> {
    service: &'a str,
    status: &'a str,
}

pub(super) async fn health(options: &ClientOptions, args: HealthArgs, console: &mut Console<'_>) -> Result<(), Stop> {
    let (service, deadline) = (args.name(), Deadline::after(options.timeout));
    console.wait_for(options.waiting_text());
    let channel = connection::open_channel(options).await?;
    let status = check(channel, service, deadline.remaining())
        .await
        .map_err(|status| check_failure(options, service, &status))?;
    let name = status.as_str_name();
    match options.output {
        Output::Json => console.print_json(&HealthReport { service, status: name })?,
        Output::Table | Output::Csv => console.print_line(name)?,
    }
    match status {
        ServingStatus::Serving => Ok(()),
        _ => {
            let hint = "its log has the cause; `/readyz` of its admin port has the reason";
            Err(Failure::new(Exit::TryLater, format!("{} is {name}", options.server()), hint).into())
        }
    }
}

async fn check(channel: ServiceChannel, service: &str, timeout: Duration) -> Result<ServingStatus, Status> {
    let mut request = Request::new(HealthCheckRequest {
        service: service.to_owned(),
    });
    request.set_timeout(timeout);
    let mut client = HealthClient::new(channel);
    let answer = tokio::time::timeout(timeout, client.check(request)).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer arrived within the timeout")));
    Ok(answer?.into_inner().status())
}

fn check_failure(options: &ClientOptions, service: &str, status: &Status) -> Stop {
    match status.code() {
        Code::NotFound => {
            let what = format!("{} has no health status of {service:?}", options.server());
            let hint = "use --liveness, --readiness, or the name of one of its gRPC services";
            Failure::new(Exit::NotFound, what, hint).into()
        }
        Code::DeadlineExceeded | Code::Cancelled => {
            let what = format!("{} did not answer within the timeout", options.server());
            Failure::new(Exit::TryLater, what, "it may be overloaded or stopped").into()
        }
        _ => Stop::from(Error::from(status)),
    }
}
