//! `list`: follows the pages, and prints each as it comes.

use super::args::ListArgs;
use super::connection::{Client, Connection};
use super::console::{Console, unprintable};
use super::failure::Stop;
use super::fault::Fault;
use super::json;
use super::options::{ClientOptions, Output};
use super::render::PermissionList;
use crate::proto::v1::share_permission::State;
use crate::proto::v1::{ListSharePermissionsRequest, ListSharePermissionsResponse, SharePermission};

pub(super) async fn list(
    options: &ClientOptions,
    connection: &Connection,
    args: ListArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut request = first_page(args);
    let page_size = request.page_size;
    let mut printer = Printer::new(options.output);
    loop {
        let wanted = limit - printer.printed;
        request.page_size = i32::try_from(wanted).unwrap_or(page_size).min(page_size);
        let mut page = ask(connection, &request).await?;
        page.permissions.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        printer.page(&page.permissions, console)?;
        let more = !page.next_page_token.is_empty();
        if !more || printer.printed == limit {
            return printer.end(more, console);
        }
        request.page_token = page.next_page_token;
    }
}

fn first_page(args: ListArgs) -> ListSharePermissionsRequest {
    ListSharePermissionsRequest {
        account_id: args.account.unwrap_or_default(),
        region: args.region.unwrap_or_default(),
        image_id: args.image.unwrap_or_default(),
        shared_account_id: args.with.unwrap_or_default(),
        state: args.state.map_or(State::Unspecified, State::from).into(),
        page_size: args.page_size,
        page_token: String::new(),
    }
}

/// Each page has the whole time-out: a list may be long.
async fn ask(
    connection: &Connection,
    request: &ListSharePermissionsRequest,
) -> Result<ListSharePermissionsResponse, Fault> {
    let rpc = async |mut client: Client, request| client.list_share_permissions(request).await;
    connection.call(connection.deadline(), request.clone(), rpc).await
}

/// Prints permissions as they come: JSON is one document all the same, and a table has one head.
struct Printer {
    output: Output,
    table: PermissionList,
    started: bool,
    printed: u64,
}

impl Printer {
    fn new(output: Output) -> Self {
        Self {
            output,
            table: PermissionList::default(),
            started: false,
            printed: 0,
        }
    }

    fn page(&mut self, permissions: &[SharePermission], console: &mut Console<'_>) -> Result<(), Stop> {
        match self.output {
            Output::Table => console.print(self.table.page(permissions))?,
            Output::Json => self.json(permissions, console)?,
        }
        self.printed += permissions.len() as u64;
        console.flush()
    }

    fn json(&mut self, permissions: &[SharePermission], console: &mut Console<'_>) -> Result<(), Stop> {
        if !self.started {
            console.print("{\n  \"permissions\": [")?;
            self.started = true;
        }
        for (at, permission) in permissions.iter().enumerate() {
            let json = json::value(permission).map_err(|error| unprintable(&error))?;
            let comma = if at == 0 && self.printed == 0 { "" } else { "," };
            console.print(format_args!("{comma}\n    {json}"))?;
        }
        Ok(())
    }

    fn end(self, more: bool, console: &mut Console<'_>) -> Result<(), Stop> {
        if self.output == Output::Json {
            console.print_line(if self.printed == 0 { "]\n}" } else { "\n  ]\n}" })?;
        }
        if self.printed == 0 {
            console.note("note: there are no such permissions");
        } else if more {
            console.note(format_args!(
                "note: stopped at --limit {}; there may be more",
                self.printed
            ));
        }
        Ok(())
    }
}
