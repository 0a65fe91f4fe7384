//! The commands with a single answer: `get` and `change show`.

use super::{
    args::ChangeArgs,
    connection::{Client, ShareStub},
    console::Console,
    failure::Stop,
    live_line::LiveLine,
    options::{ClientOptions, Output},
    render,
    share::PermissionName,
    wait,
};
use crate::proto::v1::{GetChangeRequest, GetChangeResponse, GetSharePermissionRequest};

pub(super) async fn get(
    options: &ClientOptions,
    client: &Client,
    name: PermissionName,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let name = name.resolve(options)?;
    let request = GetSharePermissionRequest {
        account_id: name.account,
        region: name.region,
        image_id: name.image,
        shared_account_id: name.with,
    };
    let answer = client
        .call(client.deadline(), request, async |mut stub: ShareStub, request| {
            stub.get_share_permission(request).await
        })
        .await?;
    match (&answer.permission, options.output) {
        (Some(permission), Output::Table) => console.print(render::permission(
            permission,
            answer.last_look.as_ref(),
            console.view(),
        )),
        _ => console.print_json(&answer),
    }
}

pub(super) async fn change(
    options: &ClientOptions,
    client: &Client,
    args: ChangeArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request = GetChangeRequest {
        account_id: options.account(args.account)?,
        change_id: args.change_id,
    };
    if args.wait {
        let line = LiveLine::new(console);
        let answer = client
            .follow_telling(request.clone(), &mut |change| line.show_change(change))
            .await?;
        drop(line);
        print_change(options, &answer, console)?;
        return Ok(wait::outcome(options, &request, &answer.change.unwrap_or_default())?);
    }
    let answer = get_change(client, request).await?;
    print_change(options, &answer, console)
}

async fn get_change(client: &Client, request: GetChangeRequest) -> Result<GetChangeResponse, Stop> {
    let answer = client
        .call(client.deadline(), request, async |mut stub: ShareStub, request| {
            stub.get_change(request).await
        })
        .await?;
    Ok(answer)
}

fn print_change(options: &ClientOptions, answer: &GetChangeResponse, console: &mut Console<'_>) -> Result<(), Stop> {
    match (&answer.change, options.output) {
        (Some(change), Output::Table) => console.print(render::change(change, console.view())),
        _ => console.print_json(answer),
    }
}
