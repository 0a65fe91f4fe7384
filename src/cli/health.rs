//! `health`: the health check of `grpc.health.v1`. It sends no principal, so it works in a container that has neither a user name
//! nor a credential.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use serde::Serialize;
use tonic::{Code, Request, Status, metadata::MetadataMap};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    connection::{self, ServiceChannel},
    console::Console,
    failure::{Exit, Failure, Stop},
    options::{ClientOptions, Output},
};
use crate::{
    client::{Deadline, Error},
    proto::health,
};

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
#[serde(rename_all = "camelCase")]
struct HealthReport<'a> {
    service: &'a str,
    status: &'a str,
    #[serde(flatten)]
    explanation: Explanation,
}

/// What the metadata of the answer say. Empty for the answer of a proxy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_build: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    running: BTreeMap<u64, u64>,
}

impl Explanation {
    fn of(metadata: &MetadataMap) -> Self {
        let text = |key| metadata.get(key).and_then(|value| value.to_str().ok());
        let number = |key| text(key).and_then(|text| text.parse().ok());
        let running = metadata.get_all(health::RUNNING).iter().filter_map(|value| {
            let (build, replicas) = value.to_str().ok()?.split_once('=')?;
            Some((build.parse().ok()?, replicas.parse().ok()?))
        });
        Self {
            reason: text(health::REASON).map(str::to_owned),
            build: number(health::BUILD),
            schema: number(health::SCHEMA),
            oldest_build: number(health::OLDEST_BUILD),
            running: running.collect(),
        }
    }

    /// Where the installation stands. None if the service has not read it yet.
    fn installation(&self) -> Option<String> {
        let (build, schema, oldest_build) = (self.build?, self.schema?, self.oldest_build?);
        let running = self.running.iter().map(|(build, replicas)| match replicas {
            1 => format!("1 replica of build {build}"),
            replicas => format!("{replicas} replicas of build {build}"),
        });
        let running = running.collect::<Vec<_>>().join(", ");
        let unfinished = match oldest_build < schema {
            true => format!("; not finalized: build {oldest_build} can be run again until `sharewarden finalize`"),
            false => String::new(),
        };
        Some(format!(
            "build {build}; schema {schema} admits builds from {oldest_build} on{unfinished}; running: {running}"
        ))
    }
}

pub(super) async fn health(options: &ClientOptions, args: HealthArgs, console: &mut Console<'_>) -> Result<(), Stop> {
    let (service, deadline) = (args.name(), Deadline::after(options.timeout));
    console.wait_for(options.waiting_text());
    let channel = connection::open_channel(options).await?;
    let (status, explanation) = check(channel, service, deadline.remaining())
        .await
        .map_err(|status| check_failure(options, service, &status))?;
    let name = status.as_str_name();
    let (reason, installation) = (explanation.reason.clone(), explanation.installation());
    match options.output {
        Output::Json => console.print_json(&HealthReport {
            service,
            status: name,
            explanation,
        })?,
        Output::Table | Output::Csv => {
            console.print_line(name)?;
            if let Some(installation) = installation {
                console.print_line(&installation)?;
            }
        }
    }
    match status {
        ServingStatus::Serving => Ok(()),
        _ => {
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            let what = format!("{} is {name}{reason}", options.server());
            Err(Failure::new(Exit::TryLater, what, "its log has the cause").into())
        }
    }
}

async fn check(
    channel: ServiceChannel,
    service: &str,
    timeout: Duration,
) -> Result<(ServingStatus, Explanation), Status> {
    let mut request = Request::new(HealthCheckRequest {
        service: service.to_owned(),
    });
    request.set_timeout(timeout);
    let mut client = HealthClient::new(channel);
    let answer = tokio::time::timeout(timeout, client.check(request)).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer arrived within the timeout")));
    let answer = answer?;
    let explanation = Explanation::of(answer.metadata());
    Ok((answer.into_inner().status(), explanation))
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
