//! The sample configurations in `docker/`, `deploy/` and `docs/operations.md` are valid, and every key is documented. `types`
//! reads the keys from the types in `src/config`, `reference` writes docs/configuration.md from them, and `full` compares them
//! with the file that sets every key.

#![allow(clippy::panic, reason = "a test may fail")]

mod exhaustion;
mod full;
mod reference;
mod types;

use std::{fs, path::Path};

use sharewarden::config::{Config, ShareWith};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The contents of the code blocks of a language.
fn blocks<'a>(markdown: &'a str, language: &str) -> Vec<&'a str> {
    let fences = markdown.split("```").skip(1).step_by(2);
    fences
        .filter_map(|block| block.split_once('\n'))
        .filter(|(name, _)| name.trim() == language)
        .map(|(_, text)| text)
        .collect()
}

#[test]
fn the_configuration_of_the_containers_is_valid() {
    let config = Config::from_toml(&read("docker/sharewarden.toml")).expect("docker/sharewarden.toml is valid");
    let accounts: Vec<_> = config.accounts.iter().map(|account| account.id.to_string()).collect();
    assert_eq!(
        accounts,
        ["111122223333", "444455556666"],
        "those of the simulator's sample"
    );
}

#[test]
fn the_configuration_of_the_kubernetes_example_is_valid() {
    let file = "deploy/kubernetes/example/settings/sharewarden.toml";
    if let Err(error) = Config::from_toml(&read(file)) {
        panic!("{file}: {error}");
    }
}

#[test]
fn every_configuration_in_the_operations_guide_is_valid() {
    let document = read("docs/operations.md");
    let blocks = blocks(&document, "toml");
    assert!(blocks.len() >= 2, "the blocks were found");
    for block in blocks {
        if let Err(error) = Config::from_toml(block) {
            panic!("{error}\nin this block of docs/operations.md:\n{block}");
        }
    }
}

#[test]
fn code_blocks_are_selected_by_language() {
    let markdown = "text\n```sh\nls\n```\nmore\n```toml\na = 1\n```\n```\nplain\n```\n";
    assert_eq!(blocks(markdown, "toml"), ["a = 1\n"]);
}

/// A minimal configuration with these lines about checkpoints.
fn with_checkpoint(lines: &str) -> Result<Config, sharewarden::config::ConfigError> {
    Config::from_toml(&format!(
        "{lines}\ndatabase.url = \"postgres://x\"\nauth.modes = [\"trusted-header\"]\n\
         [[accounts]]\nid = \"111122223333\"\nregions = [\"eu-central-1\"]\nshare_with = \"anyone\"\n"
    ))
}

#[test]
fn a_signing_key_is_required_once_and_never_shown() {
    let name = "checkpoint.name = \"sharewarden.example.com\"";
    let key = "checkpoint.key = \"hunter2\"";
    let file = "checkpoint.key_file = \"key.pem\"";
    let shown = match with_checkpoint(&format!("{name}\n{key}")) {
        Ok(config) => config.to_toml().unwrap_or_default(),
        Err(error) => panic!("{error}"),
    };
    assert!(shown.contains("[checkpoint]") && !shown.contains("hunter2"), "{shown}");
    for (lines, problem) in [
        (name.to_owned(), "checkpoint.key or checkpoint.key_file must be there"),
        (format!("{name}\n{key}\n{file}"), "and not both"),
        (format!("checkpoint.name = \"a b\"\n{key}"), "checkpoint.name"),
        (format!("checkpoint.name = \"a+b\"\n{key}"), "checkpoint.name"),
        (
            format!("{name}\n{key}\ncheckpoint.every = \"10ms\""),
            "checkpoint.every",
        ),
        (String::new(), "checkpoint"),
    ] {
        match with_checkpoint(&lines) {
            Ok(_) => panic!("was taken: {lines}"),
            Err(error) => assert!(error.to_string().contains(problem), "{error}"),
        }
    }
}

/// A minimal configuration with these lines about authentication and roles.
fn with_access(lines: &str) -> Result<Config, sharewarden::config::ConfigError> {
    let modes = if lines.contains("auth.mode") {
        ""
    } else {
        "auth.modes = [\"trusted-header\"]\n"
    };
    Config::from_toml(&format!(
        "{modes}{lines}\ndatabase.url = \"postgres://x\"\ncheckpoint.name = \"a\"\ncheckpoint.key = \"b\"\n\
         [[accounts]]\nid = \"111122223333\"\nregions = [\"eu-central-1\"]\nshare_with = \"anyone\"\n"
    ))
}

const TLS: &str = "server.tls.certificate = \"c.pem\"\nserver.tls.key = \"k.pem\"\n";
const CLIENTS: &str = "server.tls.client_ca = \"ca.pem\"\nserver.tls.client_auth = \"required\"\n";
const JWT: &str = "auth.jwt.issuer = \"i\"\nauth.jwt.audience = \"a\"\nauth.jwt.jwks = \"https://i/jwks.json\"\n";
const ANYWHERE: &str = "server.listen = \"0.0.0.0:7443\"\n";

#[test]
fn recipients_can_be_groups_of_accounts_and_a_group_that_does_not_exist_is_told() {
    let with = |groups: &str, share_with: &str| {
        Config::from_toml(&format!(
            "auth.modes = [\"trusted-header\"]\ndatabase.url = \"postgres://x\"\ncheckpoint.name = \"a\"\n\
             checkpoint.key = \"b\"\ngroups = [{groups}]\n\
             [[accounts]]\nid = \"111122223333\"\nregions = [\"eu-central-1\"]\nshare_with = {share_with}\n"
        ))
    };
    let partners = "{ name = \"partners\", accounts = [\"444455556666\", \"222233334444\"] }";
    let config = with(partners, "[\"partners\", \"777788889999\", \"444455556666\"]").unwrap();
    let accounts = ["222233334444", "444455556666", "777788889999"].map(|id| id.parse().unwrap());
    assert_eq!(config.recipients(&config.accounts[0]), ShareWith::Only(accounts.into()));
    assert!(
        config.to_toml().unwrap().contains("\"partners\""),
        "it is printed as it was written"
    );
    for (groups, share_with, problem) in [
        (partners, "[\"others\"]", "for account 111122223333 it names \"others\""),
        (
            "{ name = \"people\", principals = [\"a\"] }",
            "[\"people\"]",
            "for account 111122223333 it names \"people\"",
        ),
        (partners, "[\"1234\"]", "twelve digits"),
        (partners, "\"partners\"", "must be \"anyone\" or a list of accounts"),
    ] {
        let error = with(groups, share_with).unwrap_err().to_string();
        assert!(error.contains("share_with") && error.contains(problem), "{error}");
    }
}

#[test]
fn callers_can_be_authenticated_in_each_way_and_in_several() {
    for lines in [
        String::new(),
        "auth.modes = [\"trusted-header\"]\n".into(),
        format!("auth.modes = [\"mtls\"]\n{TLS}{CLIENTS}{ANYWHERE}"),
        format!("auth.modes = [\"jwt\"]\n{TLS}{JWT}{ANYWHERE}"),
        format!("auth.modes = [\"jwt\"]\n{JWT}"),
        format!("auth.modes = [\"mtls\", \"jwt\", \"trusted-header\"]\n{TLS}{CLIENTS}{JWT}"),
        "roles = [{ principal = \"a*\", roles = [\"viewer\"], accounts = [\"111122223333\"] }]\n".into(),
    ] {
        if let Err(error) = with_access(&lines) {
            panic!("{error}\n{lines}");
        }
    }
    let config = with_access("").unwrap_or_else(|error| panic!("{error}"));
    assert!(config.roles.is_empty(), "nothing is allowed by default");
}

#[test]
fn urls_and_addresses_are_parsed_by_the_check_and_no_message_repeats_them() {
    let account = "[[accounts]]\nid = \"444455556666\"\nregions = [\"eu-central-1\"]\nshare_with = \"anyone\"\n";
    let jwt = |jwks: &str| format!("auth.modes = [\"jwt\"]\n{}", JWT.replace("https://i/jwks.json", jwks));
    for (lines, problem) in [
        (
            "database.url = \"mysql://u:hunter2@h/db\"".to_owned(),
            "database.url must begin with postgres://",
        ),
        (
            "database.url = \"postgres://u:hunter2@h:notaport/db\"".into(),
            "database.url has an invalid port",
        ),
        (
            "database.url = \"postgres://u@h/db?sslpassword=hunter2\"".into(),
            "has the parameter \"sslpassword\"",
        ),
        ("aws.endpoint_url = \"\"".into(), "aws.endpoint_url must be http://"),
        (
            "aws.endpoint_url = \"127.0.0.1:7480\"".into(),
            "aws.endpoint_url must be http://",
        ),
        (
            "aws.endpoint_url = \"http://host:notaport\"".into(),
            "aws.endpoint_url must be http://",
        ),
        (
            "aws.sts_endpoint_url = \"http://me:hunter2@host\"".into(),
            "aws.sts_endpoint_url must be http://",
        ),
        (
            "aws.sts_endpoint_url = \"http:/host\"".into(),
            "aws.sts_endpoint_url must be http://",
        ),
        (
            format!("{account}endpoint_url = \"https://host?hunter2\""),
            "accounts.endpoint_url must be http://",
        ),
        (
            "telemetry.otlp_endpoint = \"http://host:notaport\"".into(),
            "telemetry.otlp_endpoint must be http://",
        ),
        (
            "telemetry.otlp_endpoint = \"http://host:65536\"".into(),
            "telemetry.otlp_endpoint must be http://",
        ),
        (
            jwt("https://host:notaport/hunter2"),
            "auth.jwt.jwks must be a file or an https:// URL",
        ),
        (
            jwt("https:/host/hunter2"),
            "auth.jwt.jwks must be a file or an https:// URL",
        ),
        (jwt("https://"), "auth.jwt.jwks must be a file or an https:// URL"),
        (
            format!(
                "auth.modes = [\"jwt\"]\n{}",
                JWT.replace("\"i\"", "\"https://host:hunter2\"")
            ),
            "auth.jwt.issuer must be",
        ),
        ("server.listen = \"hunter2:7443\"".into(), "server.listen"),
        ("server.listen = \"127.0.0.1:notaport\"".into(), "server.listen"),
        (
            "admin.listen = \"127.0.0.1:notaport\"".into(),
            "must be an address and a port",
        ),
        (
            "server.allowed_origins = [\"https://host:notaport\"]".into(),
            "server.allowed_origins must be",
        ),
        (
            "roles = [{ principal = \"spiffe://example.org/hunter2/../a\", roles = [\"viewer\"] }]".into(),
            "must be a pattern that a valid SPIFFE ID can match",
        ),
    ] {
        let url = if lines.starts_with("database.url") {
            ""
        } else {
            "database.url = \"postgres://x\"\n"
        };
        let modes = if lines.contains("auth.mode") {
            ""
        } else {
            "auth.modes = [\"trusted-header\"]\n"
        };
        // A section of the lines stands last.
        let text = format!(
            "{url}{modes}checkpoint.name = \"a\"\ncheckpoint.key = \"b\"\n{}{lines}\n{}",
            if lines.starts_with('[') {
                account.replace("444455556666", "111122223333")
            } else {
                String::new()
            },
            if lines.starts_with('[') { "" } else { account },
        );
        match Config::from_toml(&text) {
            Ok(_) => panic!("was taken: {lines}"),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    error.contains(problem) && !error.contains("hunter2"),
                    "{error}\n{lines}"
                );
            }
        }
    }
}

#[test]
fn an_unsafe_access_configuration_is_refused_and_the_error_names_the_key() {
    for (lines, problem) in [
        ("auth.mode = \"trusted-header\"\n".to_owned(), "modes"),
        ("auth.modes = []\n".into(), "auth.modes"),
        ("auth.modes = [\"mtls\", \"mtls\"]\n".into(), "auth.modes"),
        ("auth.modes = [\"basic\"]\n".into(), "basic"),
        (ANYWHERE.into(), "server.listen"),
        (format!("{TLS}{ANYWHERE}"), "server.listen"),
        (format!("auth.modes = [\"jwt\"]\n{JWT}{ANYWHERE}"), "server.listen"),
        ("auth.modes = [\"mtls\"]\n".into(), "server.tls.client_auth"),
        (format!("auth.modes = [\"mtls\"]\n{TLS}"), "server.tls.client_auth"),
        (
            format!("{TLS}server.tls.client_auth = \"optional\"\n"),
            "server.tls.client_ca",
        ),
        (
            format!("{TLS}server.tls.client_ca = \"ca.pem\"\n"),
            "server.tls.client_ca",
        ),
        ("auth.modes = [\"jwt\"]\n".into(), "auth.jwt"),
        (format!("auth.modes = [\"trusted-header\"]\n{JWT}"), "auth.jwt"),
        (
            format!("auth.modes = [\"jwt\"]\n{}", JWT.replace("https://", "http://")),
            "auth.jwt.jwks",
        ),
        (
            format!(
                "auth.modes = [\"jwt\"]\n{}",
                JWT.replace("https://", "https://user:hunter2@")
            ),
            "auth.jwt.jwks",
        ),
        (
            format!("auth.modes = [\"jwt\"]\n{JWT}auth.jwt.leeway = \"1h\"\n"),
            "auth.jwt.leeway",
        ),
        (
            format!("auth.modes = [\"jwt\"]\n{}", JWT.replace("\"a\"", "\"\"")),
            "auth.jwt.audience",
        ),
        (
            "roles = [{ principal = \"a b\", roles = [\"viewer\"] }]\n".into(),
            "principal",
        ),
        ("roles = [{ principal = \"a\", roles = [] }]\n".into(), "roles.roles"),
        (
            "roles = [{ principal = \"sharewarden\", roles = [\"viewer\"] }]\n".into(),
            "roles.principal must not be sharewarden",
        ),
        (
            "groups = [{ name = \"A B\", accounts = [\"111122223333\"] }]\n".into(),
            "groups.name must be 1 to 64 lower-case letters",
        ),
        (
            "groups = [{ name = \"a\", principals = [\"b\"] }, { name = \"a\", principals = [\"c\"] }]\n".into(),
            "groups.name must be unique",
        ),
        (
            "groups = [{ name = \"a\" }]\n".into(),
            "groups.principals or groups.claim, or groups.accounts must be there",
        ),
        (
            "groups = [{ name = \"a\", claim = \"b\", values = [\"c\"], accounts = [\"111122223333\"] }]\n".into(),
            "groups.principals or groups.claim, or groups.accounts must be there",
        ),
        (
            "groups = [{ name = \"a\", claim = \"groups\" }]\n".into(),
            "groups.values must name at least one value of groups.claim",
        ),
        (
            "groups = [{ name = \"a\", principals = [\"b\"], values = [\"c\"] }]\n".into(),
            "groups.values must name at least one value of groups.claim, and needs that key",
        ),
        (
            "groups = [{ name = \"a\", claim = \"groups\", values = [\"plat*\"] }]\n".into(),
            "values are compared exactly",
        ),
        (
            "groups = [{ name = \"a\", claim = \"exp\", values = [\"1\"] }]\n".into(),
            "must be the name of a claim",
        ),
        (
            "groups = [{ name = \"a\", claim = [\"groups\"], values = [\"1\"] }]\n".into(),
            "claim",
        ),
        (
            "roles = [{ principal = \"a\", group = \"b\", roles = [\"viewer\"] }]\n".into(),
            "roles.principal or roles.group must be in each entry",
        ),
        (
            "roles = [{ roles = [\"viewer\"] }]\n".into(),
            "roles.principal or roles.group must be in each entry",
        ),
        (
            "roles = [{ group = \"nobody\", roles = [\"viewer\"] }]\n".into(),
            "roles.group must be the name of a group of principals ([[groups]]); it is \"nobody\"",
        ),
        (
            "groups = [{ name = \"a\", accounts = [\"111122223333\"] }]\nroles = [{ group = \"a\", roles = [\"viewer\"] }]\n".into(),
            "roles.group must be the name of a group of principals",
        ),
        ("roles = [{ principal = \"a\", roles = [\"admin\"] }]\n".into(), "admin"),
        (
            "roles = [{ principal = \"a\", roles = [\"viewer\"], accounts = [\"444455556666\"] }]\n".into(),
            "roles.accounts",
        ),
        ("server.max_message_size = 10\n".into(), "server.max_message_size"),
        ("server.max_header_size = 10\n".into(), "server.max_header_size"),
        (
            "server.calls_per_second_per_principal = 0\n".into(),
            "server.calls_per_second_per_principal",
        ),
        (
            "denials.burst = 0\n".into(),
            "denials.burst must be 1..1000000; it is 0",
        ),
        ("denials.refill_every = \"0s\"\n".into(), "denials.refill_every"),
        ("denials.summary_every = \"1day\"\n".into(), "denials.summary_every"),
        ("drift.interval = \"8days\"\n".into(), "drift.interval"),
        ("drift.confirm_after = \"1ms\"\n".into(), "drift.confirm_after"),
        (
            "server.keepalive_interval = \"1ms\"\n".into(),
            "server.keepalive_interval",
        ),
    ] {
        match with_access(&lines) {
            Ok(_) => panic!("was taken: {lines}"),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    error.contains(problem) && !error.contains("hunter2"),
                    "{error}\n{lines}"
                );
            }
        }
    }
}
