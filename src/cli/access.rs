//! `whoami` and `accounts`: how the service knows the caller, and what it may do.

use super::{
    cell::{Cell, TableRow},
    connection::{AccessStub, Client},
    console::Console,
    failure::{Failure, Stop},
    format::name,
    options::{ClientOptions, Output},
    pages::{self, ListPage, PageArgs},
    printer::ListItem,
    render,
    table::{self, Cells, Fit},
    text::one_line,
    view::View,
};
use crate::proto::v1::{
    Account, AccountScope, GetCallerIdentityRequest, GetCallerIdentityResponse, ListAccountsRequest, PolicyEffect,
    Privilege, Recipients, RoleBinding,
};

pub(super) async fn whoami(options: &ClientOptions, client: &Client, console: &mut Console<'_>) -> Result<(), Stop> {
    let answer = client
        .call(
            client.deadline(),
            GetCallerIdentityRequest {},
            async |mut stub: AccessStub, request| stub.get_caller_identity(request).await,
        )
        .await?;
    if options.output == Output::Json {
        return console.print_json(&answer);
    }
    console.print(identity(&answer, options, console.view()))
}

fn identity(answer: &GetCallerIdentityResponse, options: &ClientOptions, view: &View) -> String {
    let kinds = answer.credentials.iter().map(|kind| render::credential(*kind));
    let mut text = table::pairs(
        [
            ("Principal", Cell::Text(one_line(&answer.principal))),
            ("Known by", Cell::Text(kinds.collect::<Vec<_>>().join(", "))),
            ("Until", Cell::Time(answer.expire_time)),
            ("Groups", Cell::Text(list(&answer.groups))),
            ("Service", Cell::Text(options.server())),
        ],
        view,
    );
    let bindings = answer.role_bindings.iter().map(|binding| -> TableRow {
        vec![
            ("ROLES", list(&binding.roles).into()),
            ("GIVEN TO", Cell::Text(holder(binding))),
            ("IN ACCOUNTS", Cell::Text(scope(binding.scope.as_ref()))),
        ]
    });
    let privileges = answer.privileges.iter().map(|held| -> TableRow {
        vec![
            ("MAY", privilege(held.privilege).into()),
            ("IN ACCOUNTS", Cell::Text(scope(held.scope.as_ref()))),
        ]
    });
    let policies = answer.policies.iter().map(|policy| -> TableRow {
        let effect = name(policy.effect, "POLICY_EFFECT_", PolicyEffect::as_str_name);
        vec![
            ("POLICY", Cell::Text(one_line(&policy.id))),
            ("EFFECT", effect.to_ascii_lowercase().into()),
            ("SAYS", Cell::Text(one_line(&policy.says))),
        ]
    });
    for rows in [bindings.collect::<Vec<_>>(), privileges.collect(), policies.collect()] {
        text.push('\n');
        text.push_str(&table::list(&rows, Fit::Columns(&[]), view).text);
    }
    text
}

/// Who has the roles of a binding.
fn holder(binding: &RoleBinding) -> String {
    match binding.group.is_empty() {
        true => one_line(&binding.principal),
        false => format!("the group {}", one_line(&binding.group)),
    }
}

pub(super) async fn accounts(
    options: &ClientOptions,
    client: &Client,
    args: &PageArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    pages::follow(args, options.output, console, async |page_size, page_token| {
        let request = ListAccountsRequest { page_size, page_token };
        let answer = client
            .call(client.deadline(), request, async |mut stub: AccessStub, request| {
                stub.list_accounts(request).await
            })
            .await?;
        Ok(ListPage::of(answer.accounts, answer.next_page_token))
    })
    .await
}

impl ListItem for Account {
    const NAME: &'static str = "accounts";
    const DISPENSABLE: &'static [&'static str] = &["I MAY", "REGIONS"];

    fn row(&self) -> TableRow {
        vec![
            ("ACCOUNT", one_line(&self.account_id).into()),
            ("REGIONS", Cell::Text(list(&self.regions))),
            ("I MAY", may(&self.privileges).into()),
            ("MAY BE SHARED WITH", Cell::Text(recipients(self.recipients.as_ref()))),
        ]
    }

    fn record(&self) -> Result<Cells, Failure> {
        Ok(vec![
            ("account_id", self.account_id.clone()),
            ("regions", self.regions.join(" ")),
            ("privileges", may(&self.privileges)),
            ("recipients", recipients(self.recipients.as_ref())),
        ])
    }
}

fn list(texts: &[String]) -> String {
    one_line(&texts.join(" "))
}

fn may(privileges: &[i32]) -> String {
    let privileges = privileges.iter().map(|held| privilege(*held));
    privileges.collect::<Vec<_>>().join(" ")
}

fn privilege(value: i32) -> String {
    name(value, "PRIVILEGE_", Privilege::as_str_name).to_ascii_lowercase()
}

fn scope(scope: Option<&AccountScope>) -> String {
    match scope {
        Some(scope) if scope.all_accounts => "all".to_owned(),
        Some(scope) => list(&scope.account_ids),
        None => String::new(),
    }
}

fn recipients(recipients: Option<&Recipients>) -> String {
    match recipients {
        Some(recipients) if recipients.anyone => "anyone".to_owned(),
        Some(recipients) if recipients.account_ids.is_empty() => "nobody".to_owned(),
        Some(recipients) => list(&recipients.account_ids),
        None => String::new(),
    }
}
