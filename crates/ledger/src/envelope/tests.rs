use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json, value::to_raw_value};

use super::*;

fn body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53) + 1..1 << 53).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        let object = prop::collection::btree_map("[a-z_]{1,8}", inner.clone(), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|members| members.into_iter().collect()),
        ]
    });
    // The names of a BTreeMap are in order, and serde_json keeps it.
    prop::collection::btree_map("[a-z_]{1,8}", value, 0..5).prop_map(|members| members.into_iter().collect())
}

fn time() -> impl Strategy<Value = Timestamp> {
    let start = Timestamp::parse("1970-01-01T00:00:00Z").unwrap();
    (0..4_000_000_000_000_000_u64).prop_map(move |micros| start + std::time::Duration::from_micros(micros))
}

proptest! {
    #[test]
    fn any_body_is_encoded_canonically_and_decoded_unchanged(
        account in "[0-9]{12}", body in body(), kind in "[a-z]{1,9}\\.[a-z_]{0,9}x", log_index in 0..1_u64 << 53,
        recorded_at in time(), schema in 1..1_000_000_000_u32, version in "\\PC{1,20}",
    ) {
        let raw = to_raw_value(&body).unwrap();
        prop_assume!(kind.parse::<KindName>().is_ok());
        let envelope = Envelope {
            account: account.parse().unwrap(),
            body: &*raw,
            kind: &kind,
            log_index,
            recorded_at,
            schema,
            server_version: version.as_str().into(),
        };
        let text = envelope.encode().unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&serde_json_canonicalizer::to_string(&value).unwrap(), &text);
        let read = Envelope::decode(&text).unwrap();
        prop_assert_eq!(read.body.get(), raw.get());
        prop_assert_eq!(read.encode().unwrap(), text);
    }
}

const GOOD: &str = concat!(
    r#"{"account_id":"000011112222","body":{"action":"GRANT"},"kind":"change.requested","log_index":7,"#,
    r#""recorded_at":"2026-11-22T07:05:00.500000Z","schema":1,"server_version":"0.1.0"}"#
);

#[test]
fn the_seven_members_are_in_the_order_of_their_names() {
    let envelope = Envelope {
        account: "000011112222".parse().unwrap(),
        body: json!({"action": "GRANT"}),
        kind: "change.requested",
        log_index: 7,
        recorded_at: Timestamp::parse("2026-11-22T07:05:00.5Z").unwrap(),
        schema: 1,
        server_version: "0.1.0".into(),
    };
    assert_eq!(envelope.encode().unwrap(), GOOD);
}

#[test]
fn a_member_with_an_invalid_value_is_refused() {
    assert!(Envelope::decode(GOOD).is_ok());
    for (old, new) in [
        (".500000Z", ".5Z"),
        ("000011112222", "11112222"),
        ("\"change.requested\"", "\"requested\""),
        ("\"schema\":1", "\"schema\":0"),
        ("\"log_index\":7", "\"log_index\":-7"),
        (r#"{"action":"GRANT"}"#, r#"["action"]"#),
        (r#"{"action":"GRANT"}"#, "null"),
        ("\"schema\":1", "\"schema\":1,\"a\":1"),
        ("\"schema\":1,", ""),
        ("\"schema\":1", "\"schema\":1,\"schema\":1"),
    ] {
        assert!(Envelope::decode(&GOOD.replace(old, new)).is_err(), "{new}");
    }
}
