//! The files of `policy.directory` are read again while the server runs.

use std::fs;

use sharewarden_testkit::stack::{Stack, TIMEOUT, as_tester, grant, reason};

const PERMIT: &str = "@id(\"all\")\npermit (principal, action, resource);\n";
const FORBID: &str = "@id(\"nothing\")\nforbid (principal, action == Sharewarden::Action::\"grant\", resource);\n";

#[tokio::test]
async fn changed_files_decide_without_a_restart_and_their_text_is_kept_before() {
    let policies = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(policies.path().join("a.cedar"), text).unwrap();
    write(PERMIT);
    let stack = Stack::start_with(&format!(
        "policy.directory = \"{}\"\npolicy.reload_every = \"50ms\"\nroles = [{{ principal = \"*\", roles = [\"viewer\"] }}]\n",
        policies.path().display()
    ))
    .await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();

    write(&format!("{PERMIT}{FORBID}"));
    let refused = async {
        loop {
            if let Err(refused) = client.grant_share_permission(as_tester(grant())).await {
                return refused;
            }
        }
    };
    let refused = tokio::time::timeout(TIMEOUT, refused)
        .await
        .expect("the new files are used");
    assert_eq!(reason(&refused), "POLICY_DENIED", "{refused:?}");
    let digest = stack.policy().in_force().digest().to_string();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM policy_set WHERE digest = $1")
        .bind(digest)
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!(kept, 1, "the text is kept before it decides");
    stack.end().await;
}
