//! Secrets of the configuration, of the environment and of callers stay secret. They are not in the output of `config check`,
//! not in a status, and not in a log at level TRACE.

use serde_json::json;
use sharewarden_client::proto::v1::{ListImagesRequest, share_permission_service_client::SharePermissionServiceClient};
use sharewarden_testkit::{
    credentials::{
        AUDIENCE, CertificateAuthority, ISSUER, LeafCertificate, ServerFiles, TokenKey, claims, jwks, now, uri,
    },
    postgres::database,
    stack::*,
};
use tonic::{
    Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};

use crate::processes::{ServerProcess, output, program};

const PASSWORD: &str = "hunter2-of-the-database";
const EXTERNAL_ID: &str = "hunter2-of-the-role";
const ACCESS_KEY: &str = "hunter2-of-aws";

/// The base64 lines of a PEM block, which are its secret part.
fn base64_lines(pem: &str) -> Vec<String> {
    pem.lines()
        .filter(|line| line.len() > 20 && !line.starts_with("-----"))
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn assert_no_secret(what: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "{what} contains {secret:?}");
    }
}

/// A call with a token, on a connection with a certificate.
async fn list_images(address: &str, tls: ClientTlsConfig, token: &str) -> Result<(), Status> {
    let channel = Channel::from_shared(address.replace("http://127.0.0.1", "https://localhost")).unwrap();
    let channel = channel.tls_config(tls).unwrap().connect_lazy();
    let mut request = Request::new(ListImagesRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        ..Default::default()
    });
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    let mut client = SharePermissionServiceClient::new(channel);
    client.list_images(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_printed_logged_or_returned() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let (files, authority, key) = (
        ServerFiles::new(),
        CertificateAuthority::new("one"),
        TokenKey::es256("one"),
    );
    let (server, client) = (
        authority.server(),
        authority.client(LeafCertificate {
            names: vec![uri("spiffe://a/b")],
            ..LeafCertificate::default()
        }),
    );
    files.write_certified_key(&server);
    files.write("client-ca.pem", &authority.pem);
    files.write("jwks.json", &jwks(&[&key]));
    let path = |name: &str| files.path(name).display().to_string();
    // The test's Postgres asks for no password, so any password in the URL works.
    let url = with_password(database.url());
    let text = config_text(
        &url,
        &simulator.url(),
        &format!(
            "log.filter = \"trace\"
auth.modes = [\"mtls\", \"jwt\"]
auth.jwt.issuer = \"{ISSUER}\"
auth.jwt.audience = \"{AUDIENCE}\"
auth.jwt.jwks = \"{}\"
server.tls.certificate = \"{}\"
server.tls.key = \"{}\"
server.tls.client_ca = \"{}\"
server.tls.client_auth = \"optional\"
",
            path("jwks.json"),
            path("certificate.pem"),
            path("key.pem"),
            path("client-ca.pem"),
        ),
    )
    .replacen(
        "share_with = \"anyone\"\n",
        &format!("share_with = \"anyone\"\nexternal_id = \"{EXTERNAL_ID}\"\n"),
        1,
    );

    let good = key.sign(&claims(json!({"sub": "spiffe://a/b"})));
    let expired = key.sign(&claims(
        json!({"sub": "spiffe://a/b", "exp": now().unix_timestamp() - 3600}),
    ));
    let forged = TokenKey::es256("one").sign(&claims(json!({"sub": "spiffe://a/b"})));
    let mut secrets = vec![PASSWORD.to_owned(), EXTERNAL_ID.to_owned(), ACCESS_KEY.to_owned()];
    secrets.extend(
        [CHECKPOINT_KEY, &server.key, &client.key]
            .into_iter()
            .flat_map(base64_lines),
    );
    secrets.extend([&good, &expired, &forged].map(|token| token.rsplit('.').next().unwrap().to_owned()));

    let file = files.write("sharewarden.toml", &text);
    let checked = output(program().arg("config").arg("check").arg("--config").arg(&file)).await;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let shown = String::from_utf8(checked.stdout).unwrap();
    assert!(shown.contains("[hidden]") && shown.contains("jwks.json"), "{shown}");
    assert_no_secret("config check", &shown, &secrets);

    let mut served = ServerProcess::start_with(&text, &[("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)]).await;
    let address = served.address.clone();
    let tls = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem));
    let identified = || tls().identity(Identity::from_pem(&client.certificate, &client.key));
    let calls = async {
        let mut statuses = String::new();
        list_images(&address, tls(), &good).await.unwrap();
        list_images(&address, identified(), &good).await.unwrap();
        for (tls, token) in [
            (tls(), &expired),
            (identified(), &forged),
            (tls(), &"hunter2".to_owned()),
        ] {
            statuses.push_str(&format!("{:?}\n", list_images(&address, tls, token).await.unwrap_err()));
        }
        statuses
    };
    let mut log = String::new();
    let statuses = tokio::select! {
        statuses = calls => statuses,
        () = async { while let Ok(Some(line)) = served.log.next_line().await { log.push_str(&line); log.push('\n'); } } => {
            panic!("the log ended")
        }
    };
    assert_no_secret("a status", &statuses, &secrets);
    // The server writes the rest of the log while it stops.
    served.terminate();
    while let Ok(Some(line)) = served.log.next_line().await {
        log.push_str(&line);
        log.push('\n');
    }
    assert!(served.child.wait().await.unwrap().success());
    assert!(
        log.contains("token_expired") && log.contains("TRACE"),
        "the log was read"
    );
    assert_no_secret("the log", &log, &secrets);
    simulator.shutdown().await;
}

/// The URL with the password in it.
fn with_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    match rest.split_once('@') {
        Some((user, rest)) => {
            let user = user.split(':').next().unwrap();
            format!("{scheme}://{user}:{PASSWORD}@{rest}")
        }
        None => format!("{scheme}://postgres:{PASSWORD}@{rest}"),
    }
}
