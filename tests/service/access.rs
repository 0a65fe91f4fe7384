//! Who the caller is, and what it may see: `AccessService`, and reads of the changes that a caller asked for.

use std::fs;

use sharewarden_client::proto::v1::{
    AccountScope, CredentialKind, GetCallerIdentityRequest, GetChangeRequest, GrantSharePermissionRequest,
    ListAccountsRequest, ListAccountsResponse, ListAuditEntriesRequest, ListChangesRequest, PolicyEffect, Privilege,
    Recipients, access_service_client::AccessServiceClient,
};
use sharewarden_testkit::{
    credentials::{AUDIENCE, ISSUER, ServerFiles, TokenKey, claims, jwks},
    stack::*,
};
use tonic::{Code, Request, Status, transport::Channel};

const ROLES: &str = "roles = [
    { principal = \"build-*\", roles = [\"operator\"], accounts = [\"111122223333\"] },
    { principal = \"build-7\", roles = [\"viewer\"], accounts = [\"444455556666\"] },
    { principal = \"operator\", roles = [\"operator\"] },
    { principal = \"reader\", roles = [\"viewer\"] },
    { principal = \"auditor\", roles = [\"auditor\"] },
]
";

fn from<T>(name: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("x-sharewarden-principal", name.parse().unwrap());
    request
}

async fn access(stack: &Stack) -> AccessServiceClient<Channel> {
    AccessServiceClient::connect(format!("http://{}", stack.address))
        .await
        .unwrap()
}

fn only(accounts: &[&str]) -> Option<AccountScope> {
    Some(AccountScope {
        all_accounts: false,
        account_ids: accounts.iter().map(|id| (*id).to_owned()).collect(),
    })
}

fn all() -> Option<AccountScope> {
    Some(AccountScope {
        all_accounts: true,
        account_ids: Vec::new(),
    })
}

#[tokio::test]
async fn a_caller_learns_its_name_its_credentials_its_roles_and_what_it_may_do_where() {
    use Privilege::{Export, Grant, Prove, Read, Revoke};
    let stack = Stack::start_with(ROLES).await;
    let mut access = access(&stack).await;
    for (name, bindings, privileges) in [
        (
            "build-7",
            vec![
                ("build-*", vec!["operator"], only(&[ACCOUNT])),
                ("build-7", vec!["viewer"], only(&[OTHER_ACCOUNT])),
            ],
            vec![
                (Grant, only(&[ACCOUNT])),
                (Revoke, only(&[ACCOUNT])),
                (Read, only(&[OTHER_ACCOUNT])),
            ],
        ),
        (
            "operator",
            vec![("operator", vec!["operator"], all())],
            vec![(Grant, all()), (Revoke, all())],
        ),
        ("reader", vec![("reader", vec!["viewer"], all())], vec![(Read, all())]),
        (
            "auditor",
            vec![("auditor", vec!["auditor"], all())],
            vec![(Read, all()), (Export, all()), (Prove, all())],
        ),
    ] {
        let answer = access
            .get_caller_identity(from(name, GetCallerIdentityRequest {}))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.principal, name);
        assert_eq!(answer.credentials, [CredentialKind::TrustedHeader as i32]);
        assert_eq!(answer.expire_time, None);
        let found: Vec<_> = answer
            .role_bindings
            .into_iter()
            .map(|b| (b.principal, b.roles, b.scope))
            .collect();
        let expected: Vec<_> = bindings
            .into_iter()
            .map(|(principal, roles, scope)| {
                (
                    principal.to_owned(),
                    roles.into_iter().map(str::to_owned).collect(),
                    scope,
                )
            })
            .collect();
        assert_eq!(found, expected, "{name}");
        let found: Vec<_> = answer
            .privileges
            .into_iter()
            .map(|held| (held.privilege(), held.scope))
            .collect();
        assert_eq!(found, privileges, "{name}");
    }
    let status = access
        .get_caller_identity(from("nobody", GetCallerIdentityRequest {}))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "POLICY_DENIED")
    );
    let status = access
        .get_caller_identity(Request::new(GetCallerIdentityRequest {}))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    stack.end().await;
}

#[tokio::test]
async fn a_caller_learns_which_policies_speak_of_it_and_what_they_say() {
    let policies = tempfile::tempdir().unwrap();
    let text = "@id(\"pipelines\") permit (principal in Sharewarden::PrincipalGroup::\"pipelines\", action, resource);
                @id(\"night\") @says(\"Nothing at night.\") forbid (principal, action, resource) when { context.hour < 6 };";
    fs::write(policies.path().join("a.cedar"), text).unwrap();
    let stack = Stack::start_with(&format!(
        "policy.directory = \"{}\"\n{ROLES}groups = [{{ name = \"pipelines\", principals = [\"member\"] }}]\n",
        policies.path().display()
    ))
    .await;
    let mut access = access(&stack).await;
    let mut told = async |name| {
        let answer = access
            .get_caller_identity(from(name, GetCallerIdentityRequest {}))
            .await;
        let policies = answer.unwrap().into_inner().policies.into_iter();
        let told = policies.map(|policy| (policy.effect(), policy.says, policy.id));
        told.collect::<Vec<_>>()
    };
    let night = (PolicyEffect::Forbid, "Nothing at night.".to_owned(), "night".to_owned());
    let pipelines = (PolicyEffect::Permit, String::new(), "pipelines".to_owned());
    assert_eq!(told("member").await, [night.clone(), pipelines]);
    assert_eq!(
        told("reader").await,
        std::slice::from_ref(&night),
        "a viewer has no policy for changes"
    );
    let operator = told("build-7").await;
    assert_eq!(operator[0], night);
    let (effect, says, id) = &operator[1];
    assert_eq!(*effect, PolicyEffect::Permit);
    assert_eq!(says, "build-* has the role operator in 111122223333.");
    assert!(id.starts_with("roles.operator.") && operator.len() == 2, "{operator:?}");
    stack.end().await;
}

#[tokio::test]
async fn the_identity_of_a_token_says_so_and_when_it_expires() {
    let (files, key) = (ServerFiles::new(), TokenKey::es256("one"));
    let file = files.write("jwks.json", &jwks(&[&key]));
    let stack = Stack::start_with(&format!(
        "auth.modes = [\"jwt\"]\nauth.jwt.issuer = \"{ISSUER}\"\nauth.jwt.audience = \"{AUDIENCE}\"\nauth.jwt.jwks = \"{}\"\n",
        file.display()
    ))
    .await;
    let mut request = Request::new(GetCallerIdentityRequest {});
    let token = format!("Bearer {}", key.sign(&claims(serde_json::json!({}))));
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    let answer = access(&stack)
        .await
        .get_caller_identity(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.principal, "pipeline@example.com");
    assert_eq!(answer.credentials, [CredentialKind::Token as i32]);
    assert!(answer.expire_time.is_some());
    stack.end().await;
}

async fn accounts(stack: &Stack, name: &str, page_size: i32, page_token: &str) -> Result<ListAccountsResponse, Status> {
    let request = ListAccountsRequest {
        page_size,
        page_token: page_token.to_owned(),
    };
    Ok(access(stack)
        .await
        .list_accounts(from(name, request))
        .await?
        .into_inner())
}

#[tokio::test]
async fn a_caller_sees_only_the_accounts_in_which_it_has_a_role_with_regions_and_recipients() {
    let more = ROLES.replace(
        "roles = [\"viewer\"], accounts = [\"444455556666\"]",
        "roles = [\"viewer\"], accounts = [\"111122223333\"]",
    );
    let stack = Stack::start_with(&more).await;
    let seen = |answer: &ListAccountsResponse| -> Vec<_> {
        answer
            .accounts
            .iter()
            .map(|account| account.account_id.clone())
            .collect()
    };
    for (name, expected) in [
        ("build-1", vec![ACCOUNT]),
        ("build-7", vec![ACCOUNT]),
        ("operator", vec![ACCOUNT, OTHER_ACCOUNT]),
        ("reader", vec![ACCOUNT, OTHER_ACCOUNT]),
        ("auditor", vec![ACCOUNT, OTHER_ACCOUNT]),
    ] {
        let answer = accounts(&stack, name, 0, "").await.unwrap();
        assert_eq!(
            (seen(&answer), answer.next_page_token.as_str()),
            (expected.iter().map(|id| (*id).to_owned()).collect(), ""),
            "{name}"
        );
    }
    let answer = accounts(&stack, "build-7", 0, "").await.unwrap();
    assert_eq!(answer.accounts[0].regions, [REGION, "us-east-1"]);
    let privileges: Vec<_> = answer.accounts[0].privileges().collect();
    assert_eq!(privileges, [Privilege::Grant, Privilege::Revoke, Privilege::Read]);
    assert_eq!(
        answer.accounts[0].recipients,
        Some(Recipients {
            anyone: true,
            account_ids: Vec::new()
        })
    );

    // In pages; a token of other lists and a changed one are refused.
    let first = accounts(&stack, "operator", 1, "").await.unwrap();
    assert_eq!(seen(&first), [ACCOUNT]);
    let second = accounts(&stack, "operator", 1, &first.next_page_token).await.unwrap();
    assert_eq!(
        (seen(&second), second.next_page_token.as_str()),
        (vec![OTHER_ACCOUNT.to_owned()], "")
    );
    let recipients = second.accounts[0].recipients.clone().unwrap();
    assert_eq!(
        (recipients.anyone, recipients.account_ids),
        (false, vec![OTHER_RECIPIENT.to_owned()])
    );
    // A token gives no other caller more.
    assert!(
        accounts(&stack, "build-1", 1, &first.next_page_token)
            .await
            .unwrap()
            .accounts
            .is_empty()
    );
    let status = accounts(&stack, "operator", 1, "AAAA").await.unwrap_err();
    assert_eq!(reason(&status), "INVALID_PAGE_TOKEN");
    let status = accounts(&stack, "operator", -1, "").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = accounts(&stack, "nobody", 0, "").await.unwrap_err();
    assert_eq!(reason(&status), "POLICY_DENIED");
    stack.end().await;
}

async fn granted(stack: &Stack, name: &str, request: GrantSharePermissionRequest) -> String {
    let answer = stack
        .client()
        .await
        .grant_share_permission(from(name, request))
        .await
        .unwrap();
    answer.into_inner().change.unwrap().change_id
}

async fn get(stack: &Stack, name: &str, account: &str, change: &str) -> Result<(), Status> {
    let request = GetChangeRequest {
        account_id: account.to_owned(),
        change_id: change.to_owned(),
    };
    let answer = stack.client().await.get_change(from(name, request)).await?.into_inner();
    assert_eq!(answer.change.unwrap().change_id, change);
    Ok(())
}

async fn kinds(stack: &Stack, name: &str, accounts: &[&str], change: &str) -> Result<Vec<String>, Status> {
    let mut request = ListAuditEntriesRequest::default();
    let filter = request.filter.get_or_insert_default();
    filter.account_ids = accounts.iter().map(|id| (*id).to_owned()).collect();
    filter.change_id = change.to_owned();
    let answer = stack
        .audit()
        .await
        .list_audit_entries(from(name, request))
        .await?
        .into_inner();
    Ok(answer.entries.into_iter().rev().map(|entry| entry.kind).collect())
}

async fn changes(stack: &Stack, name: &str, accounts: &[&str], principal: &str) -> Result<Vec<String>, Status> {
    let request = ListChangesRequest {
        account_ids: accounts.iter().map(|id| (*id).to_owned()).collect(),
        principal: principal.to_owned(),
        ..ListChangesRequest::default()
    };
    let answer = stack
        .client()
        .await
        .list_changes(from(name, request))
        .await?
        .into_inner();
    Ok(answer.changes.into_iter().map(|change| change.change_id).collect())
}

/// What a caller without a role for reads was always told.
#[track_caller]
fn is_refused<T: std::fmt::Debug>(result: Result<T, Status>, name: &str) -> String {
    let status = result.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "POLICY_DENIED")
    );
    let rule = detail(&status, "rule");
    assert!(
        rule.starts_with(&format!("{name} may not read: this needs the role viewer or auditor")),
        "{rule}"
    );
    rule
}

#[tokio::test]
async fn an_operator_reads_the_changes_that_it_asked_for_and_no_others() {
    let stack = Stack::start_with(ROLES).await;
    let own = granted(&stack, "operator", grant()).await;
    let others = granted(&stack, "build-1", nth_grant(1)).await;
    get(&stack, "operator", ACCOUNT, &own).await.unwrap();
    assert_eq!(
        kinds(&stack, "operator", &[ACCOUNT], &own).await.unwrap(),
        ["change.requested", "change.succeeded"]
    );
    for accounts in [&[][..], &[ACCOUNT]] {
        assert_eq!(
            changes(&stack, "operator", accounts, "operator").await.unwrap(),
            std::slice::from_ref(&own)
        );
    }

    // A change of another principal looks like one that does not exist.
    let missing = uuid::Uuid::new_v4().to_string();
    let theirs = get(&stack, "operator", ACCOUNT, &others).await;
    let none = get(&stack, "operator", ACCOUNT, &missing).await;
    assert_eq!(is_refused(theirs, "operator"), is_refused(none, "operator"));
    let theirs = kinds(&stack, "operator", &[ACCOUNT], &others).await;
    let none = kinds(&stack, "operator", &[ACCOUNT], &missing).await;
    assert_eq!(is_refused(theirs, "operator"), is_refused(none, "operator"));
    is_refused(get(&stack, "operator", OTHER_ACCOUNT, &own).await, "operator");
    is_refused(kinds(&stack, "operator", &[OTHER_ACCOUNT], &own).await, "operator");
    // The entries of all accounts, of two accounts, and without a change.
    let how = is_refused(kinds(&stack, "operator", &[], &own).await, "operator");
    assert!(how.contains("name one account and the change"), "{how}");
    is_refused(
        kinds(&stack, "operator", &[ACCOUNT, OTHER_ACCOUNT], &own).await,
        "operator",
    );
    is_refused(kinds(&stack, "operator", &[ACCOUNT], "").await, "operator");
    let how = is_refused(changes(&stack, "operator", &[ACCOUNT], "").await, "operator");
    assert!(how.contains("--asked-by"), "{how}");
    is_refused(changes(&stack, "operator", &[ACCOUNT], "build-1").await, "operator");

    // The roles for reads read as before.
    for name in ["reader", "auditor"] {
        get(&stack, name, ACCOUNT, &own).await.unwrap();
        assert_eq!(changes(&stack, name, &[], "").await.unwrap().len(), 2);
        assert_eq!(kinds(&stack, name, &[], &own).await.unwrap().len(), 2);
        let status = get(&stack, name, ACCOUNT, &missing).await.unwrap_err();
        assert_eq!(reason(&status), "CHANGE_NOT_FOUND");
    }
    stack.end().await;
}

#[tokio::test]
async fn roles_in_some_accounts_limit_reads_of_own_changes_to_these_accounts() {
    let stack = Stack::start_with(ROLES).await;
    // It may grant in one account, and read everything in another.
    let own = granted(&stack, "build-7", grant()).await;
    get(&stack, "build-7", ACCOUNT, &own).await.unwrap();
    assert_eq!(
        changes(&stack, "build-7", &[ACCOUNT, OTHER_ACCOUNT], "build-7")
            .await
            .unwrap(),
        std::slice::from_ref(&own)
    );
    assert!(
        changes(&stack, "build-7", &[OTHER_ACCOUNT], "")
            .await
            .unwrap()
            .is_empty()
    );
    for accounts in [&[][..], &[ACCOUNT]] {
        let status = changes(&stack, "build-7", accounts, "").await.unwrap_err();
        assert_eq!(reason(&status), "POLICY_DENIED");
    }
    let status = changes(&stack, "build-7", &[], "build-7").await.unwrap_err();
    assert!(
        detail(&status, "rule").contains("name one or more of these"),
        "{status:?}"
    );
    // Another operator of the same account.
    is_refused(get(&stack, "build-1", ACCOUNT, &own).await, "build-1");
    is_refused(get(&stack, "build-1", OTHER_ACCOUNT, &own).await, "build-1");
    stack.end().await;
}

#[tokio::test]
async fn a_caller_whose_request_joined_a_change_asked_for_it_too() {
    let stack = Stack::start_with(ROLES).await;
    stack.fault(UPDATE, 1, late(1500));
    let mut client = stack.client().await;
    let first = tokio::spawn(async move { client.grant_share_permission(from("operator", grant())).await });
    stack.wait_for_calls(UPDATE, 1).await;
    let joined = stack
        .client()
        .await
        .grant_share_permission(from("build-1", grant()))
        .await
        .unwrap()
        .into_inner();
    first.await.unwrap().unwrap();
    assert!(joined.joined);
    let change = joined.change.unwrap().change_id;
    for name in ["operator", "build-1"] {
        get(&stack, name, ACCOUNT, &change).await.unwrap();
        let expected = ["change.requested", "change.joined", "change.succeeded"];
        assert_eq!(kinds(&stack, name, &[ACCOUNT], &change).await.unwrap(), expected);
    }
    is_refused(get(&stack, "build-2", ACCOUNT, &change).await, "build-2");
    stack.end().await;
}
