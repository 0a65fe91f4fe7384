//! No secret of the configuration, of the environment or of a caller gets out: not by `config check`, not in a status, and not in a
//! log that says all there is to say.

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

use crate::processes::{Served, output, program};

const PASSWORD: &str = "hunter2-of-the-database";
const EXTERNAL_ID: &str = "hunter2-of-the-role";
const ACCESS_KEY: &str = "hunter2-of-aws";

/// The lines of a PEM between its fences: what is secret about it.
fn inside(pem: &str) -> Vec<String> {
    pem.lines()
        .filter(|line| line.len() > 20 && !line.starts_with("-----"))
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn assert_silent(what: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "{what} tells {secret:?}");
    }
}

/// A call with a token, on a connection with a certificate.
async fn ask(address: &str, tls: ClientTlsConfig, token: &str) -> Result<(), Status> {
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
    // A password is sent only where it is asked for; here it is part of the URL alone.
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
    secrets.extend([CHECKPOINT_KEY, &server.key, &client.key].into_iter().flat_map(inside));
    secrets.extend([&good, &expired, &forged].map(|token| token.rsplit('.').next().unwrap().to_owned()));

    let file = files.write("sharewarden.toml", &text);
    let checked = output(program().arg("config").arg("check").arg("--config").arg(&file)).await;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let shown = String::from_utf8(checked.stdout).unwrap();
    assert!(shown.contains("[hidden]") && shown.contains("jwks.json"), "{shown}");
    assert_silent("config check", &shown, &secrets);

    let mut served = Served::start_with(&text, &[("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)]).await;
    let address = served.address.clone();
    let tls = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem));
    let identified = || tls().identity(Identity::from_pem(&client.certificate, &client.key));
    let asking = async {
        let mut told = String::new();
        ask(&address, tls(), &good).await.unwrap();
        ask(&address, identified(), &good).await.unwrap();
        for (tls, token) in [
            (tls(), &expired),
            (identified(), &forged),
            (tls(), &"hunter2".to_owned()),
        ] {
            told.push_str(&format!("{:?}\n", ask(&address, tls, token).await.unwrap_err()));
        }
        told
    };
    let mut log = String::new();
    let told = tokio::select! {
        told = asking => told,
        () = async { while let Ok(Some(line)) = served.log.next_line().await { log.push_str(&line); log.push('\n'); } } => {
            panic!("the log ended")
        }
    };
    assert_silent("a status", &told, &secrets);
    // The rest of the log comes while it stops.
    served.ask_to_stop();
    while let Ok(Some(line)) = served.log.next_line().await {
        log.push_str(&line);
        log.push('\n');
    }
    assert!(served.child.wait().await.unwrap().success());
    assert!(
        log.contains("token_expired") && log.contains("TRACE"),
        "the log was read"
    );
    assert_silent("the log", &log, &secrets);
    simulator.shutdown().await;
}

/// The URL with a password in it, which a server that trusts everybody does not ask for.
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
