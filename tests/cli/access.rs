//! `whoami` and `accounts`.

use sharewarden::proto::v1::*;

use crate::{
    harness::{records, run},
    service::{Answer, Service},
};

fn scope(accounts: &[&str]) -> Option<AccountScope> {
    Some(AccountScope {
        all_accounts: accounts.is_empty(),
        account_ids: accounts.iter().map(|id| (*id).to_owned()).collect(),
    })
}

fn identity() -> GetCallerIdentityResponse {
    GetCallerIdentityResponse {
        principal: "alice".into(),
        credentials: vec![CredentialKind::Certificate.into(), CredentialKind::Token.into()],
        expire_time: Some(pbjson_types::Timestamp {
            seconds: 1_767_323_045,
            nanos: 0,
        }),
        role_bindings: vec![
            RoleBinding {
                principal: "al*".into(),
                roles: vec!["operator".into(), "viewer".into()],
                scope: scope(&["012345678901"]),
                ..RoleBinding::default()
            },
            RoleBinding {
                group: "platform".into(),
                roles: vec!["auditor".into()],
                scope: scope(&["012345678901"]),
                ..RoleBinding::default()
            },
        ],
        groups: vec!["pipelines".into(), "platform".into()],
        privileges: vec![PrivilegeScope {
            privilege: Privilege::Grant.into(),
            scope: scope(&[]),
        }],
        policies: vec![CallerPolicy {
            id: "no-strangers".into(),
            effect: PolicyEffect::Forbid.into(),
            says: "Partners\nonly.".into(),
        }],
    }
}

fn account(id: &str, recipients: Recipients) -> Account {
    Account {
        account_id: id.into(),
        regions: vec!["eu-central-1".into(), "us-east-1".into()],
        recipients: Some(recipients),
        privileges: vec![Privilege::Grant.into(), Privilege::Read.into()],
    }
}

#[tokio::test]
async fn whoami_tells_the_name_the_credentials_the_roles_what_they_allow_where_and_the_policies() {
    let service = Service::answering([Answer::Identity(identity()), Answer::Identity(identity())]).await;
    let out = run(&service, "whoami").await.ok().out;
    let url = service.url();
    for cells in [
        vec!["Principal", "alice"],
        vec!["Known by", "a client certificate, a token"],
        vec!["Until", "2026-01-02T03:04:05Z"],
        vec!["Service", &url],
        vec!["Groups", "pipelines platform"],
        vec!["operator viewer", "al*", "012345678901"],
        vec!["auditor", "the group platform", "012345678901"],
        vec!["grant", "all"],
        vec!["no-strangers", "forbid", "Partners only."],
    ] {
        let has_all = |line: &str| cells.iter().all(|cell| line.contains(cell));
        assert!(out.lines().any(has_all), "{cells:?}: {out}");
    }
    let json = run(&service, "whoami -o json").await.ok().json();
    assert_eq!(json["roleBindings"][0]["scope"]["accountIds"][0], "012345678901");
    assert_eq!(json["credentials"][1], "CREDENTIAL_KIND_TOKEN");
    assert_eq!(json["policies"][0]["effect"], "POLICY_EFFECT_FORBID");
}

#[tokio::test]
async fn accounts_tells_regions_privileges_and_recipients_over_all_pages() {
    let pages = || {
        let some = Recipients {
            anyone: false,
            account_ids: vec!["999999999999".into(), "888888888888".into()],
        };
        let anyone = Recipients {
            anyone: true,
            account_ids: Vec::new(),
        };
        [
            Answer::Accounts(ListAccountsResponse {
                accounts: vec![account("012345678901", some)],
                next_page_token: "next".into(),
            }),
            Answer::Accounts(ListAccountsResponse {
                accounts: vec![
                    account("111111111111", anyone),
                    account("222222222222", Recipients::default()),
                ],
                next_page_token: String::new(),
            }),
        ]
    };
    let service = Service::answering(pages().into_iter().chain(pages())).await;
    let out = run(&service, "accounts").await.ok().out;
    for (account, shared_with) in [
        ("012345678901", "999999999999 888888888888"),
        ("111111111111", "anyone"),
        ("222222222222", "nobody"),
    ] {
        let line = out.lines().find(|line| line.contains(account)).unwrap();
        for text in ["eu-central-1 us-east-1", "grant read", shared_with] {
            assert!(line.contains(text), "{line}");
        }
    }
    let records = records(&run(&service, "accounts -o csv").await.ok().out);
    assert_eq!(records.len(), 3);
    assert_eq!(records[0]["recipients"], "999999999999 888888888888");
}
