//! The texts of the policy sets that entries name.

use sharewarden::{domain::PolicyDigest, proto::v1::GetPolicySetRequest};
use sharewarden_testkit::stack::*;
use tonic::{Code, Status};

async fn get(stack: &Stack, digest: &str, start: u64) -> Result<(String, u64), Status> {
    let request = GetPolicySetRequest {
        digest: digest.into(),
        start,
    };
    let answer = stack.audit().await.get_policy_set(as_tester(request)).await?;
    let part = answer.into_inner();
    assert!(part.first_use_time.is_some());
    Ok((part.text, part.next_start))
}

#[tokio::test]
async fn the_text_of_the_set_in_force_is_kept_from_the_start_and_read_in_parts() {
    let stack = Stack::start().await;
    let set = stack.policy().in_force();
    let digest = set.digest().to_string();
    assert_eq!(get(&stack, &digest, 0).await.unwrap(), (set.text().to_owned(), 0));
    let rest = set.text().chars().skip(7).collect::<String>();
    assert_eq!(get(&stack, &digest, 7).await.unwrap(), (rest, 0));
    assert_eq!(get(&stack, &digest, 1 << 29).await.unwrap(), (String::new(), 0));

    // The set in force need not be named.
    let request = GetPolicySetRequest::default();
    let answer = stack.audit().await.get_policy_set(as_tester(request)).await.unwrap();
    let part = answer.into_inner();
    assert_eq!((part.text.as_str(), part.digest), (set.text(), digest));

    // A text of more than two parts, with characters of several bytes.
    let long = "äöü€".repeat(200_000);
    let digest = PolicyDigest::of(&long).to_string();
    sqlx::query("INSERT INTO policy_set (digest, text) VALUES ($1, $2)")
        .bind(&digest)
        .bind(&long)
        .execute(&stack.pool)
        .await
        .unwrap();
    let (mut text, mut start, mut parts) = (String::new(), 0, 0);
    loop {
        let (part, next) = get(&stack, &digest, start).await.unwrap();
        text.push_str(&part);
        parts += 1;
        match next {
            0 => break,
            next => start = next,
        }
    }
    assert!(text == long && parts > 2, "{parts} parts");
    stack.end().await;
}

#[tokio::test]
async fn an_unknown_set_and_invalid_fields_are_refused_and_a_false_text_cannot_be_stored() {
    let stack = Stack::start().await;
    let unknown = PolicyDigest::of("unknown").to_string();
    let status = get(&stack, &unknown, 0).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "POLICY_SET_NOT_FOUND")
    );
    assert_eq!(detail(&status, "digest"), unknown);
    for (digest, start) in [("A", 0), (&*unknown.to_uppercase(), 0), (&*unknown, u64::MAX)] {
        let status = get(&stack, digest, start).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_FIELDS")
        );
    }
    let false_text = sqlx::query("INSERT INTO policy_set (digest, text) VALUES ($1, 'another text')").bind(&unknown);
    assert!(false_text.execute(&stack.pool).await.is_err());
    stack.end().await;
}

#[tokio::test]
async fn a_principal_that_may_not_export_does_not_read_policy_sets() {
    let more = "roles = [{ principal = \"tester@example.com\", roles = [\"operator\", \"viewer\"] }]\n";
    let stack = Stack::start_with(more).await;
    let digest = stack.policy().in_force().digest().to_string();
    let status = get(&stack, &digest, 0).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "POLICY_DENIED")
    );
    stack.end().await;
}
