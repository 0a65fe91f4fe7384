//! The claims of a caller decide, and go on record. The check before the call and an auditor have only what is on record.

use std::fs;

use serde_json::{Value, json};
use sharewarden::{
    config::GroupConfig,
    policy::{PolicyFile, PolicySet, PolicySource},
};
use sharewarden_client::proto::v1::*;
use sharewarden_testkit::{
    credentials::{AUDIENCE, ISSUER, ServerFiles, TokenKey, claims, jwks},
    stack::*,
};
use tonic::{Request, Status};

use crate::processes::{output, program, stderr, stdout};

const POLICIES: &str = "@id(\"image-team\")
permit (principal, action == Sharewarden::Action::\"grant\", resource)
when { principal.hasTag(\"team\") && principal.getTag(\"team\").contains(\"images\") };
@id(\"no-guests\") @says(\"Guests share nothing.\")
forbid (principal in Sharewarden::PrincipalGroup::\"guests\", action, resource);
@id(\"revokes\") permit (principal, action == Sharewarden::Action::\"revoke\", resource);
";

/// A service that knows its callers by tokens, with a group by a claim that may read.
struct ByTokens {
    stack: Stack,
    key: TokenKey,
    files: ServerFiles,
}

impl ByTokens {
    async fn start() -> Self {
        let (files, key) = (ServerFiles::new(), TokenKey::es256("one"));
        let keys = files.write("jwks.json", &jwks(&[&key]));
        files.write("team.cedar", POLICIES);
        let more = format!(
            "auth.modes = [\"jwt\", \"trusted-header\"]\nauth.jwt.issuer = \"{ISSUER}\"\nauth.jwt.audience = \"{AUDIENCE}\"\nauth.jwt.jwks = \"{}\"\n\
             policy.directory = \"{}\"\n\
             groups = [\n\
             {{ name = \"guests\", claim = \"groups\", values = [\"external\"] }},\n\
             {{ name = \"everybody\", principals = [\"*\"] }},\n\
             {{ name = \"readers\", claim = \"groups\", values = [\"audit\"] }}]\n\
             roles = [{{ group = \"readers\", roles = [\"auditor\", \"viewer\"] }}, \
             {{ principal = \"tester@*\", roles = [\"auditor\"] }}]\n",
            keys.display(),
            keys.parent().unwrap().display(),
        );
        Self {
            stack: Stack::start_with(&more).await,
            key,
            files,
        }
    }

    fn token(&self, others: Value) -> String {
        self.key.sign(&claims(others))
    }

    fn request<T>(&self, message: T, others: Value) -> Request<T> {
        let mut request = Request::new(message);
        let token = format!("Bearer {}", self.token(others));
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        request
    }

    async fn grant(&self, image: &str, others: Value) -> Result<Change, Status> {
        let mut message = grant();
        message.image_id = image.into();
        let mut client = self.stack.client().await;
        let granted = client.grant_share_permission(self.request(message, others)).await?;
        Ok(granted.into_inner().change.unwrap())
    }

    async fn client_program(&self, line: &str, others: Value) -> (Option<i32>, String, String) {
        let server = format!("http://{}", self.stack.address);
        let token = self.files.write("token", &self.token(others));
        let mut program = program();
        program.args(["--server", &server, "--token-file"]).arg(token);
        let ran = output(program.args(line.split_whitespace())).await;
        (ran.status.code(), stdout(&ran), stderr(&ran))
    }

    async fn end(self) {
        self.stack.end().await;
    }
}

fn claim(name: &str, values: &[&str]) -> Claim {
    Claim {
        name: name.into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        unusable: String::new(),
    }
}

#[tokio::test]
async fn claims_decide_and_are_on_record_so_that_an_auditor_repeats_the_decision_from_an_export() {
    let service = ByTokens::start().await;
    let granted = service
        .grant(
            IMAGE,
            json!({"team": ["images", "base"], "groups": "staff", "email": "a@example.com"}),
        )
        .await
        .unwrap();
    let recorded = &granted.authentication.as_ref().unwrap().claims;
    assert_eq!(
        *recorded,
        [claim("groups", &["staff"]), claim("team", &["base", "images"])],
        "only those that the policy speaks of"
    );
    for (others, why) in [
        (json!({}), "which needs `principal.hasTag(\"team\")`"),
        (
            json!({"team": "images", "groups": ["external"]}),
            "Guests share nothing.",
        ),
        (
            json!({"team": {"name": "images"}}),
            "the claim \"team\" of the caller, which is not known: it is neither a text nor a list of texts",
        ),
    ] {
        let refused = service.grant("wsi-000000002", others).await.unwrap_err();
        assert!(refused.message().contains(why), "{refused:?}");
    }

    // Who reads is decided by a group by claim, too.
    let reader = json!({"sub": "auditor", "groups": ["audit"]});
    let show = format!("change show --account {ACCOUNT} {}", granted.change_id);
    let (code, shown, notes) = service.client_program(&show, reader.clone()).await;
    assert_eq!(code, Some(0), "{notes}");
    assert!(shown.contains("groups staff; team base, images"), "{shown}");
    let (_, whoami, _) = service.client_program("whoami", reader.clone()).await;
    assert!(
        whoami.contains("the group readers") && whoami.contains("everybody readers"),
        "{whoami}"
    );
    let (code, _, _) = service.client_program(&show, json!({"sub": "other"})).await;
    assert_ne!(code, Some(0), "a caller without the claim reads nothing of others");

    service.stack.checkpoint_of(ACCOUNT, 5).await;
    let file = service.files.path("ledger.jsonl");
    let export = format!("audit export --account {ACCOUNT} --to {}", file.display());
    let (code, _, notes) = service.client_program(&export, reader).await;
    assert_eq!(code, Some(0), "{notes}");
    let verify = async || {
        let ran = output(program().args(["policy", "verify"]).arg(&file)).await;
        (ran.status.code(), stderr(&ran))
    };
    let (code, notes) = verify().await;
    assert_eq!(code, Some(0), "{notes}");
    assert!(notes.contains("5 decisions are as recorded"), "{notes}");
    let text = fs::read_to_string(&file).unwrap();
    let lie = text.replace(
        "{\"name\":\"groups\",\"values\":[\"staff\"]}",
        "{\"name\":\"groups\",\"values\":[\"external\"]}",
    );
    assert_ne!(lie, text);
    fs::write(&file, lie).unwrap();
    assert_eq!(verify().await.0, Some(1), "a lie about a claim is found");

    // Another set speaks of a claim that the entries do not have.
    fs::write(&file, text).unwrap();
    let policies = service.files.path("new");
    fs::create_dir(&policies).unwrap();
    let other = "@id(\"a\") permit (principal, action, resource) when { principal.hasTag(\"email\") };";
    fs::write(policies.join("a.cedar"), other).unwrap();
    let ran = output(
        program()
            .args(["policy", "replay"])
            .arg(&file)
            .arg("--policy")
            .arg(policies),
    )
    .await;
    let shown = stdout(&ran);
    assert!(
        ran.status.success() && stderr(&ran).contains("4 cannot be decided"),
        "{shown} {}",
        stderr(&ran)
    );
    service.end().await;
}

/// A replica that calls AWS has no token. It decides by the claims on record, under its own set.
#[tokio::test]
async fn the_check_before_the_call_uses_the_recorded_claims() {
    let service = ByTokens::start().await;
    let with = |condition: &str| {
        let mut source = PolicySource::of(&service.stack.config("")).unwrap();
        source.roles.clear();
        source.groups = vec![GroupConfig {
            name: "everybody".into(),
            principals: vec!["*".parse().unwrap()],
            ..GroupConfig::default()
        }];
        source.files = vec![PolicyFile {
            name: "a.cedar".into(),
            text: format!("@id(\"a\") permit (principal, action, resource) when {{ {condition} }};"),
        }];
        PolicySet::compile(source).unwrap()
    };
    let team = |value: &str| format!("principal.hasTag(\"team\") && principal.getTag(\"team\").contains(\"{value}\")");
    for (later, why) in [
        (team("base"), None),
        (team("others"), Some("this needs the role operator")),
        (
            "principal.hasTag(\"email\") || true".to_owned(),
            Some(
                "the claim \"email\" of the caller, which is not known: it was not recorded when the change was accepted",
            ),
        ),
    ] {
        service.stack.policy().replace(with(&team("images")));
        service.stack.hold();
        let calls = service.stack.simulator.calls();
        let calls = calls.iter().filter(|call| call.operation == UPDATE).count();
        let others = json!({"team": ["images", "base"], "email": "a@example.com"});
        let granted = service.grant(IMAGE, others);
        let replaced = async {
            service.stack.wait_for_calls(UPDATE, calls + 1).await;
            service.stack.policy().replace(with(&later));
            service.stack.release();
        };
        let (granted, ()) = tokio::join!(granted, replaced);
        match why {
            None => assert!(granted.is_ok(), "{granted:?}"),
            Some(why) => assert!(detail(&granted.unwrap_err(), "rule").contains(why)),
        }
    }
    service.end().await;
}
