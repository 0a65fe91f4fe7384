//! Completion for shells, with the real program, a real service, and bash; with zsh and fish where they are installed.

use sharewarden_testkit::stack::*;
use tokio::process::Command;

use crate::processes::{output, program};

const ROLES: &str = "roles = [
    { principal = \"reader\", roles = [\"viewer\"] },
    { principal = \"scoped\", roles = [\"operator\"], accounts = [\"444455556666\"] },
]
";

fn completing(stack: &Stack, principal: &str) -> Command {
    let mut program = program();
    program
        .env("SHAREWARDEN_SERVER", format!("http://{}", stack.address))
        .env("SHAREWARDEN_PRINCIPAL", principal);
    program
}

/// The candidates for the last word of a line; `_` stands for an empty word.
async fn candidates(mut program: Command, line: &str) -> Vec<String> {
    let words: Vec<_> = line
        .split(' ')
        .map(|word| if word == "_" { "" } else { word })
        .collect();
    program
        .env("SHAREWARDEN_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_IFS", "\n")
        .arg("--")
        .args(words);
    let output = output(&mut program).await;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn accounts_regions_images_and_recipients_come_from_the_service() {
    let stack = Stack::start_with(ROLES).await;
    for (line, expected) in [
        ("sharewarden list --account _", vec![ACCOUNT, OTHER_ACCOUNT]),
        ("sharewarden list -a 4", vec![OTHER_ACCOUNT]),
        ("sharewarden images --region _", vec![REGION, "us-east-1"]),
        ("sharewarden images -a 444455556666 -r _", vec![REGION]),
        ("sharewarden get -a 444455556666 --with _", vec![OTHER_RECIPIENT]),
        ("sharewarden get 11", vec!["111122223333/"]),
        (
            "sharewarden get 111122223333/",
            vec!["111122223333/eu-central-1/", "111122223333/us-east-1/"],
        ),
        (
            "sharewarden get 111122223333/eu-central-1/wsi-ba",
            vec!["111122223333/eu-central-1/wsi-basewin11"],
        ),
        (
            "sharewarden get -a 111122223333 -r eu-central-1 --image wsi-ba",
            vec![IMAGE],
        ),
        ("sharewarden get -a 111122223333 -r eu-central-1 wsi-ba", vec![IMAGE]),
    ] {
        assert_eq!(candidates(completing(&stack, "reader"), line).await, expected, "{line}");
    }
    let mut with_defaults = completing(&stack, "reader");
    with_defaults
        .env("SHAREWARDEN_ACCOUNT", ACCOUNT)
        .env("AWS_REGION", REGION);
    assert_eq!(candidates(with_defaults, "sharewarden get wsi-ba").await, [IMAGE]);
    // Each caller sees its own accounts, and what it may not ask is left out in silence.
    assert_eq!(
        candidates(completing(&stack, "scoped"), "sharewarden get -a _").await,
        [OTHER_ACCOUNT]
    );
    let images = "sharewarden get 444455556666/eu-central-1/wsi-";
    assert!(candidates(completing(&stack, "scoped"), images).await.is_empty());
    assert!(
        candidates(completing(&stack, "nobody"), "sharewarden get -a 1")
            .await
            .is_empty()
    );
    stack.end().await;
}

#[tokio::test]
async fn without_a_service_completion_is_silent_and_without_a_named_one_nothing_is_called() {
    let mut gone = program();
    gone.env("SHAREWARDEN_SERVER", "http://127.0.0.1:1");
    assert!(candidates(gone, "sharewarden get -a 1").await.is_empty());
    // A listener that accepts and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut slow = program();
    slow.env("SHAREWARDEN_SERVER", format!("http://{}", silent.local_addr().unwrap()));
    assert!(candidates(slow, "sharewarden get -a 1").await.is_empty());
    // Commands and options need no service.
    let home = tempfile::tempdir().unwrap();
    let mut unnamed = program();
    unnamed.env("HOME", home.path()).env_remove("XDG_CONFIG_HOME");
    assert_eq!(candidates(unnamed, "sharewarden gra").await, ["grant"]);
}

#[tokio::test]
async fn contexts_are_completed_from_their_file_and_the_typed_one_is_asked() {
    let stack = Stack::start_with(ROLES).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "[contexts.near]\nserver = 'http://{}'\nprincipal = 'scoped'\n[contexts.never]\nserver = 'http://127.0.0.1:1'\n",
        stack.address
    );
    std::fs::write(file.path(), text).unwrap();
    let with_file = || {
        let mut program = program();
        program.env("SHAREWARDEN_CONFIG_FILE", file.path());
        program
    };
    assert_eq!(
        candidates(with_file(), "sharewarden context use n").await,
        ["near", "never"]
    );
    assert_eq!(
        candidates(with_file(), "sharewarden --context ne").await,
        ["near", "never"]
    );
    assert_eq!(
        candidates(with_file(), "sharewarden --context near list -a _").await,
        [OTHER_ACCOUNT]
    );
    assert_eq!(
        candidates(with_file(), "sharewarden list --context near -a _").await,
        [OTHER_ACCOUNT]
    );
    stack.end().await;
}

#[tokio::test]
async fn bash_completes_a_share_with_the_script_that_the_program_prints() {
    let stack = Stack::start_with(ROLES).await;
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_sharewarden"))
        .parent()
        .unwrap();
    let script = "PATH=$PROGRAMS:$PATH
        source <(sharewarden completions bash)
        COMP_WORDS=(sharewarden get 111122223333/eu-central-1/wsi-ba); COMP_CWORD=2; COMP_TYPE=9
        _clap_complete_sharewarden sharewarden \"${COMP_WORDS[2]}\" get
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-c", script])
        .env("PROGRAMS", folder)
        .env("SHAREWARDEN_SERVER", format!("http://{}", stack.address))
        .env("SHAREWARDEN_PRINCIPAL", "reader");
    let output = output(&mut bash).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said,
        "111122223333/eu-central-1/wsi-basewin11\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stack.end().await;
}

/// What a shell prints; `None` if it is not installed.
async fn said_by(stack: &Stack, shell: &str, arguments: &[&str]) -> Option<String> {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_sharewarden"))
        .parent()
        .unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(shell);
    command
        .args(arguments)
        .env("PROGRAMS", folder)
        .env("HOME", home.path())
        .env("TERM", "xterm")
        .env("SHAREWARDEN_SERVER", format!("http://{}", stack.address))
        .env("SHAREWARDEN_PRINCIPAL", "reader")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    let child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        child => child.unwrap(),
    };
    let output = tokio::time::timeout(TIMEOUT, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Command lines that are completed, and the last word that they get.
const COMPLETED_LINES: [(&str, &str); 6] = [
    ("sharewarden gra", "grant"),
    ("sharewarden list --account 1", ACCOUNT),
    ("sharewarden images -r eu", REGION),
    ("sharewarden get -a 111122223333 -r eu-central-1 --image wsi-ba", IMAGE),
    ("sharewarden get -a 444455556666 --with 2", OTHER_RECIPIENT),
    (
        "sharewarden get 111122223333/eu-central-1/wsi-ba",
        "111122223333/eu-central-1/wsi-basewin11",
    ),
];

#[tokio::test]
async fn fish_completes_with_the_script_that_the_program_prints() {
    let stack = Stack::start_with(ROLES).await;
    for (line, expected) in COMPLETED_LINES {
        let script =
            format!("set -x PATH $PROGRAMS $PATH; sharewarden completions fish | source; complete -C '{line}'");
        let Some(said) = said_by(&stack, "fish", &["--no-config", "-c", &script]).await else {
            break;
        };
        let words: Vec<_> = said.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, [expected], "{line}");
    }
    stack.end().await;
}

/// zsh completes only in its line editor, so a second zsh on a pseudo-terminal gets the line, a tab,
/// and a key that prints the line.
const ZSH: &str = r#"
    zmodload zsh/zpty
    zpty shell 'zsh -f -i'
    zpty -w shell 'PS1=; PATH=$PROGRAMS:$PATH; autoload -Uz compinit; compinit -u -D; source <(sharewarden completions zsh)'
    zpty -w shell 'show() { print -r -- "LINE""=$BUFFER=" }; zle -N show; bindkey "^X" show; echo rea""dy'
    zpty -r -m shell seen '*ready*'
    zpty -n -w shell "$LINE"$'\t\x18'
    zpty -r -m shell seen '*LINE=*=*'
    print -r -- "${${seen#*LINE=}%%=*}"
    zpty -d shell
"#;

#[tokio::test]
async fn zsh_completes_with_the_script_that_the_program_prints() {
    let stack = Stack::start_with(ROLES).await;
    for (line, expected) in COMPLETED_LINES {
        let script = format!("LINE='{line}'; {ZSH}");
        let Some(said) = said_by(&stack, "zsh", &["-f", "-c", &script]).await else {
            break;
        };
        let completed = said.trim().rsplit(' ').next();
        assert_eq!(completed, Some(expected), "{line}: {said:?}");
    }
    stack.end().await;
}

#[tokio::test]
async fn the_scripts_of_the_other_shells_call_the_program() {
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let printed = crate::processes::output(program().args(["completions", shell])).await;
        assert!(
            String::from_utf8(printed.stdout)
                .unwrap()
                .contains("SHAREWARDEN_COMPLETE"),
            "{shell}"
        );
    }
}
