//! Contexts: the file, what a context adds to a command, and the commands under `context`.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use sharewarden::proto::v1::*;
use tempfile::TempDir;
use tonic::Code;

use crate::{
    answers::{CHANGE_ID, error, permission},
    closed_outputs::program,
    harness::{Ran, run_bare},
    service::{Answer, Asked, Service},
};

/// A user's folder with a file of contexts.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn with(text: &str) -> Self {
        let home = Self::new();
        fs::write(home.file(), text).unwrap();
        home
    }

    fn file(&self) -> String {
        self.folder.path().join("config.toml").to_str().unwrap().to_owned()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    async fn run(&self, line: &str) -> Ran {
        self.run_with(&[], line).await
    }

    async fn run_with(&self, variables: &[(&str, &str)], line: &str) -> Ran {
        let file = self.file();
        let variables: Vec<_> = [("SHAREWARDEN_CONFIG_FILE", &*file)]
            .iter()
            .chain(variables)
            .copied()
            .collect();
        run_bare(&variables, line).await
    }
}

fn got() -> Answer {
    Answer::Get(GetSharePermissionResponse {
        permission: Some(permission(share_permission::State::Shared)),
        last_look: None,
    })
}

async fn lists(count: usize) -> Service {
    Service::answering((0..count).map(|_| Answer::List(ListSharePermissionsResponse::default()))).await
}

const GET: &str = "get wsi-0123456789 -w 999999999999";

#[tokio::test]
async fn a_context_has_the_connection_and_the_defaults() {
    let service = Service::answering([got(), got(), got()]).await;
    let home = Home::with(&format!(
        "current_context = 'test'\n[contexts.test]\nserver = '{}'\nprincipal = 'carol'\naccount = '012345678901'\n\
         region = 'eu-central-1'\ntoken_file = 'token'\n",
        service.url()
    ));
    // A relative path starts at the folder of the file.
    fs::write(home.folder.path().join("token"), "abc.def\n").unwrap();
    home.run(GET).await.ok();
    home.run_with(&[("AWS_REGION", "us-east-1")], &format!("--principal dave {GET}"))
        .await
        .ok();
    home.run_with(&[("AWS_REGION", "us-east-1")], &format!("{GET} -r ca-central-1"))
        .await
        .ok();
    for (number, principal, region) in [
        (0, "carol", "eu-central-1"),
        (1, "dave", "us-east-1"),
        (2, "carol", "ca-central-1"),
    ] {
        assert_eq!(service.metadata(number, "x-sharewarden-principal"), principal);
        assert_eq!(service.metadata(number, "authorization"), "Bearer abc.def");
        let Asked::Get(get) = &service.asked()[number] else {
            panic!("not a get")
        };
        assert_eq!([&*get.account_id, &*get.region], ["012345678901", region]);
    }
}

#[tokio::test]
async fn a_context_does_not_filter_lists() {
    let service = lists(1).await;
    let home = Home::with(&format!(
        "current_context = 'test'\ncontexts.test = {{ server = '{}', principal = 'x', account = '012345678901', region = 'eu-west-1' }}\n",
        service.url()
    ));
    home.run("list").await.ok();
    let Asked::List(list) = &service.asked()[0] else {
        panic!("not a list")
    };
    assert_eq!([&*list.account_id, &*list.region], ["", ""]);
}

#[tokio::test]
async fn the_token_the_certificates_and_the_principal_of_a_context_go_only_to_its_server() {
    let service = lists(2).await;
    let home = Home::with(
        "current_context = 'far'\n[contexts.far]\nserver = 'https://sharewarden.example.com'\nprincipal = 'carol'\n\
         token_file = 'token'\ntls_ca = 'ca.pem'\n",
    );
    fs::write(home.folder.path().join("token"), "abc.def\n").unwrap();
    home.run(&format!("--server {} --principal dave list", service.url()))
        .await
        .ok();
    assert!(!service.has_metadata(0, "authorization"));
    assert_eq!(service.metadata(0, "x-sharewarden-principal"), "dave");
    let shown = home.run(&format!("--server {} context show", service.url())).await.ok();
    assert!(shown.notes.contains("not that of the context"), "{}", shown.notes);
    assert!(
        !shown.out.contains("carol") && !shown.out.contains("token_file  /"),
        "{}",
        shown.out
    );
}

#[tokio::test]
async fn a_context_and_a_server_that_contradict_it_are_refused() {
    let home = Home::with("[contexts.far]\nserver = 'https://sharewarden.example.com'\n");
    let (code, text) = home
        .run("--context far --server http://127.0.0.1:1 list")
        .await
        .failure();
    let expected = "context far has the server https://sharewarden.example.com, and --server names another one; ";
    assert!(code == 2 && text.starts_with(expected), "{text}");
    // The same server is no contradiction; nothing listens there.
    let home = Home::with("[contexts.near]\nserver = 'http://127.0.0.1:1'\n");
    let (code, text) = home
        .run("--context near --server http://127.0.0.1:1/ --timeout 1s list")
        .await
        .failure();
    assert!(
        code == 6 && text.starts_with("cannot connect to http://127.0.0.1:1"),
        "{text}"
    );
}

#[test]
fn a_variable_that_contradicts_the_named_context_is_refused_and_an_option_wins_over_a_variable() {
    let home = Home::with("[contexts.far]\nserver = 'https://sharewarden.example.com'\n");
    let run = |line: &str, variables: &[(&str, &str)]| {
        let output = program(&format!("--timeout 1s --principal x {line}"))
            .env("SHAREWARDEN_CONFIG_FILE", home.file())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let server = ("SHAREWARDEN_SERVER", "http://127.0.0.1:1");
    let context = ("SHAREWARDEN_CONTEXT", "far");
    for said in [run("--context far list", &[server]), run("list", &[server, context])] {
        assert!(said.contains("and SHAREWARDEN_SERVER names another one"), "{said}");
    }
    // What the context would add can still be seen.
    let output = program("context show far")
        .env("SHAREWARDEN_CONFIG_FILE", home.file())
        .envs([server])
        .output()
        .unwrap();
    let (shown, said) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{said}");
    let has_server = |line: &str| line.starts_with("server ") && line.contains("SHAREWARDEN_SERVER");
    assert!(shown.lines().any(has_server), "{shown}");
    let said = run("--server http://127.0.0.1:1 list", &[context]);
    assert!(said.contains("cannot connect to http://127.0.0.1:1"), "{said}");
}

#[tokio::test]
async fn contexts_are_made_used_listed_and_shown() {
    let home = Home::new();
    let line = "context set test --server http://127.0.0.1:1 --principal carol -a 012345678901";
    let made = home.run(line).await.ok();
    assert!(
        made.notes.contains("use it with `sharewarden context use test`"),
        "{}",
        made.notes
    );
    home.run("context set other --server https://sharewarden.example.com --token-file token -r eu-west-1")
        .await
        .ok();
    home.run("context use test").await.ok();
    let listed = home.run("context list").await.ok().out;
    let rows: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["*", "test", "http://127.0.0.1:1/", "012345678901"]);
    assert_eq!(rows[2], ["other", "https://sharewarden.example.com/", "eu-west-1"]);
    let listed = home.run("context list -o json").await.ok().json();
    assert_eq!(
        (&listed["current"], &listed["contexts"][1]["name"]),
        (&"test".into(), &"other".into())
    );

    let variables = [("SHAREWARDEN_ACCOUNT", "111111111111"), ("AWS_REGION", "eu-west-3")];
    let shown = home
        .run_with(&variables, "context show --principal dave -o json")
        .await
        .ok()
        .json();
    assert_eq!(shown["context"], "test");
    for (key, value, from) in [
        ("server", "http://127.0.0.1:1", "context test"),
        ("principal", "dave", "--principal"),
        ("account", "111111111111", "SHAREWARDEN_ACCOUNT"),
        ("region", "eu-west-3", "AWS_REGION"),
    ] {
        assert_eq!(
            shown["settings"][key],
            serde_json::json!({ "value": value, "from": from }),
            "{shown}"
        );
    }
    let shown = home.run("context show other -o json").await.ok().json();
    let token = std::path::absolute("token").unwrap();
    assert_eq!(shown["settings"]["token_file"]["value"], token.to_str().unwrap());
    assert_eq!(shown["settings"]["region"]["from"], "context other");
    assert_eq!(shown["settings"]["account"]["value"], serde_json::Value::Null);
    // A setting is changed alone.
    home.run("context set test -a 222222222222").await.ok();
    let shown = home.run("context show -o json").await.ok().json();
    assert_eq!(shown["settings"]["account"]["value"], "222222222222");
    assert_eq!(shown["settings"]["principal"]["value"], "carol");
}

#[tokio::test]
async fn without_contexts_the_defaults_are_shown_with_their_origin() {
    let shown = run_bare(&[("HOME", "/no/such/folder")], "context show -o json")
        .await
        .ok()
        .json();
    assert_eq!(shown["context"], serde_json::Value::Null);
    assert_eq!(
        shown["settings"]["server"],
        serde_json::json!({ "value": "http://127.0.0.1:7443", "from": "default" })
    );
    let listed = run_bare(&[("HOME", "/no/such/folder")], "context list").await.ok();
    assert!(
        listed.out.is_empty() && listed.notes.contains("there are no contexts"),
        "{}",
        listed.notes
    );
}

#[tokio::test]
async fn changing_the_file_keeps_its_comments_and_its_link_and_a_new_file_is_private() {
    let home = Home::with("# mine\n[contexts.test] # a\n# the server\nserver = 'http://127.0.0.1:1' # b\n");
    let link = home.folder.path().join("link.toml");
    symlink(home.file(), &link).unwrap();
    let variables = [("SHAREWARDEN_CONFIG_FILE", link.to_str().unwrap())];
    run_bare(&variables, "context set test --server http://127.0.0.1:2")
        .await
        .ok();
    run_bare(&variables, "context use test").await.ok();
    assert_eq!(
        home.text(),
        "current_context = \"test\"\n# mine\n[contexts.test] # a\n# the server\nserver = \"http://127.0.0.1:2\" # b\n"
    );
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

    let variables = [
        ("XDG_CONFIG_HOME", home.folder.path().to_str().unwrap()),
        ("HOME", "/no/such/folder"),
    ];
    run_bare(&variables, "context set new -r eu-west-1").await.ok();
    let made = home.folder.path().join("sharewarden/config.toml");
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_to_string(&made).unwrap(),
        "[contexts.new]\nregion = \"eu-west-1\"\n"
    );
}

#[tokio::test]
async fn a_mistake_in_the_file_is_named_with_file_line_key_and_rule() {
    for (text, expected) in [
        (
            "current_context = 7",
            ", line 1: current_context: must be a text in quotes; it is an integer",
        ),
        (
            "\ncurrent_context = '-x'",
            ", line 2: current_context: the name of a context must be",
        ),
        (
            "[contexts]\n[contexts.a]\n\nserver = '127.0.0.1'",
            ", line 4: contexts.a.server: begin it with http:// or https://",
        ),
        (
            "[contexts.a]\nservr = 'x'",
            ", line 2: contexts.a.servr: this key does not exist; the keys here are server, ",
        ),
        (
            "context = 'a'",
            ", line 1: context: this key does not exist; the keys here are current_context, contexts",
        ),
        ("contexts = 1", ", line 1: contexts: must be a table; it is an integer"),
        (
            "[contexts.a]\naccount = '1'",
            ", line 2: contexts.a.account: must be an AWS account",
        ),
        (
            "[contexts.a]\naccount = 12345678901",
            ", line 2: contexts.a.account: must be a text in quotes",
        ),
        (
            "[contexts.a]\nregion = 'EU'",
            ", line 2: contexts.a.region: must be an AWS Region",
        ),
        (
            "[contexts.a]\nprincipal = ''",
            ", line 2: contexts.a.principal: it is empty",
        ),
        (
            "[contexts.a]\ntoken_file = ''",
            ", line 2: contexts.a.token_file: must name a file",
        ),
        (
            "[contexts.'a b']\n",
            ", line 1: contexts.a b: the name of a context must be",
        ),
        ("[contexts.a]\nserver = 'http://h'\nserver = 'http://i'", ", line 3: "),
        ("[contexts.a\n", ", line 1: "),
    ] {
        let home = Home::with(text);
        for line in ["list", "context list", "context set a -r eu-west-1", "health"] {
            let (code, said) = home.run(line).await.failure();
            let expected = format!("{}{expected}", home.file());
            assert!(code == 2 && said.starts_with(&expected), "{text:?}: {said}");
        }
        assert_eq!(home.text(), text, "the file is as before");
    }
    let home = Home::new();
    fs::write(home.file(), b"# one\n[contexts.\xe9]\n").unwrap();
    let (_, said) = home.run("list").await.failure();
    assert!(
        said.starts_with(&format!("{}, line 2: is not UTF-8", home.file())),
        "{said}"
    );
}

#[tokio::test]
async fn a_file_or_a_context_that_does_not_exist_is_named() {
    let home = Home::new();
    let (code, said) = home.run("list").await.failure();
    let expected = format!("SHAREWARDEN_CONFIG_FILE names {}, which does not exist; ", home.file());
    assert!(code == 2 && said.starts_with(&expected), "{said}");
    let home = Home::with("current_context = 'gone'\n");
    for (line, name) in [
        ("list", "gone"),
        ("--context other list", "other"),
        ("context use other", "other"),
    ] {
        let (code, said) = home.run(line).await.failure();
        assert!(
            code == 2 && said.starts_with(&format!("there is no context {name}; ")),
            "{said}"
        );
    }
    let (code, said) = run_bare(&[], "context use x").await.failure();
    assert!(
        code == 2 && said.contains("SHAREWARDEN_CONFIG_FILE, XDG_CONFIG_HOME or HOME"),
        "{said}"
    );
    let (code, said) = home.run("context set x").await.failure();
    assert!(code == 2 && said.starts_with("there is nothing to set; "), "{said}");
}

#[tokio::test]
async fn the_command_that_continues_names_the_context_and_not_what_the_context_has() {
    let grant = "grant 012345678901/eu-central-1/wsi-0123456789 -w 999999999999 -m x";
    for (option, expected) in [("", ""), ("--context near ", "--context near ")] {
        let metadata = [("change_id", CHANGE_ID)];
        let pending = error(
            Code::DeadlineExceeded,
            ErrorReason::ChangePending,
            "still going",
            &metadata,
        );
        let service = Service::answering([Answer::Refuse(pending)]).await;
        let home = Home::with(&format!(
            "current_context = 'near'\ncontexts.near = {{ server = '{}', principal = 'x' }}\n",
            service.url()
        ));
        let (_, said) = home.run(&format!("{option}{grant}")).await.failure();
        let expected = format!(": sharewarden change show {expected}--account 012345678901 {CHANGE_ID} --wait");
        assert!(said.ends_with(&expected), "{said}");
    }
}

#[tokio::test]
async fn the_program_finds_the_file_of_contexts() {
    let service = lists(2).await;
    let home = tempfile::tempdir().unwrap();
    let text = format!(
        "current_context = 'near'\ncontexts.near = {{ server = '{}', principal = 'x' }}\n",
        service.url()
    );
    for (variable, folder) in [
        ("XDG_CONFIG_HOME", "xdg/sharewarden"),
        ("HOME", "home/.config/sharewarden"),
    ] {
        let folder = home.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), &text).unwrap();
        let mut program = program("list");
        for name in ["SHAREWARDEN_CONFIG_FILE", "XDG_CONFIG_HOME", "HOME"] {
            program.env_remove(name);
        }
        program.env(
            variable,
            home.path().join(if variable == "HOME" { "home" } else { "xdg" }),
        );
        let output = tokio::process::Command::from(program).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(service.asked().len(), 2);
}

#[tokio::test]
async fn use_says_what_wins_over_the_context_and_show_says_where_it_is_chosen() {
    let contexts = Home::with(
        "[contexts.one]\nserver = 'http://127.0.0.1:1'\naccount = '111122223333'\n[contexts.two]\nregion = 'eu-central-1'\n",
    );
    let plain = contexts.run("context use one").await.ok();
    assert_eq!(plain.notes, "note: one is the context in use\n");
    let variables = [("SHAREWARDEN_ACCOUNT", "444455556666"), ("AWS_REGION", "us-east-1")];
    let used = contexts
        .run_with(&variables, "--context two context use one")
        .await
        .ok();
    assert!(
        used.notes
            .contains("note: --context wins over it, and names the context two\n"),
        "{}",
        used.notes
    );
    assert!(
        used.notes.contains("note: SHAREWARDEN_ACCOUNT wins over its account\n"),
        "{}",
        used.notes
    );
    assert!(
        !used.notes.contains("AWS_REGION"),
        "the context has no Region: {}",
        used.notes
    );
    for (line, name, from) in [
        ("context show", "one", "`sharewarden context use`"),
        ("--context two context show", "two", "--context"),
        ("context show two", "two", "this command"),
    ] {
        let shown = contexts.run(line).await.ok().out;
        let row = shown
            .lines()
            .find(|line| line.starts_with("context "))
            .unwrap_or_default();
        assert!(row.contains(name) && row.ends_with(from), "{line}: {shown}");
        let json = contexts.run(&format!("{line} -o json")).await.ok().json();
        assert_eq!(
            (&json["context"], &json["contextFrom"]),
            (&name.into(), &from.into()),
            "{line}"
        );
    }
}
