//! The program on a real terminal: its width, its pager and its colours.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    process::{ExitStatus, Stdio},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use sharewarden::proto::v1::*;
use unicode_width::UnicodeWidthStr;

use crate::{
    answers::permission,
    closed_outputs::program,
    service::{Answer, Service},
};

/// What the program printed on a terminal, and on standard error, which is a pipe.
struct Shown {
    screen: String,
    notes: String,
    status: ExitStatus,
}

/// Runs `arguments` on a terminal with this number of columns and with these variables.
async fn on_terminal(columns: u16, service: &Service, arguments: &str, variables: &[(&str, &str)]) -> Shown {
    let mut command = program(&format!("{arguments} --server {} --principal tester", service.url()));
    for name in [
        "PAGER",
        "SHAREWARDEN_PAGER",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "LESS",
        // With it, colours are shown on a dumb terminal too.
        "CI",
    ] {
        command.env_remove(name);
    }
    command
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .envs(variables.iter().copied());
    let (master, terminal) = open_terminal(columns);
    command.stdout(terminal).stderr(Stdio::piped());
    let run = move || {
        let child = command.spawn().unwrap();
        // The copy of the terminal's end in `command` would keep the terminal open.
        drop(command);
        let mut screen = Vec::new();
        // EIO is the end of the terminal.
        let _ = File::from(master).read_to_end(&mut screen);
        let output = child.wait_with_output().unwrap();
        Shown {
            screen: String::from_utf8(screen).unwrap().replace("\r\n", "\n"),
            notes: String::from_utf8(output.stderr).unwrap(),
            status: output.status,
        }
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn open_terminal(columns: u16) -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal.as_fd(), size).unwrap();
    (master, terminal.into())
}

fn page(count: usize) -> Answer {
    let one = |number: usize| SharePermission {
        image_id: format!("wsi-{number:0>30}"),
        shared_account_id: format!("{number:0>12}"),
        ..permission(if number == 0 {
            share_permission::State::Pending
        } else {
            share_permission::State::Shared
        })
    };
    Answer::List(ListSharePermissionsResponse {
        permissions: (0..count).map(one).collect(),
        next_page_token: String::new(),
    })
}

#[tokio::test]
async fn a_list_has_the_width_of_the_terminal() {
    for columns in [40, 80, 120] {
        let service = Service::answering([page(3)]).await;
        let shown = on_terminal(columns, &service, "list --no-pager --color never", &[]).await;
        assert!(shown.status.success(), "{}", shown.notes);
        let widest = shown.screen.lines().map(UnicodeWidthStr::width).max().unwrap();
        assert!(widest <= usize::from(columns), "{widest}:\n{}", shown.screen);
        let ids = if columns == 40 {
            "wsi-00000000…0001"
        } else {
            "wsi-000000000000000000000000000001"
        };
        assert!(shown.screen.contains(ids), "{}", shown.screen);
    }
}

#[tokio::test]
async fn states_have_colours_unless_the_user_wants_none() {
    let green = "\u{1b}[32mSHARED\u{1b}[0m";
    for (options, variables, colored) in [
        ("", &[][..], true),
        ("", &[("NO_COLOR", "1")][..], false),
        ("", &[("TERM", "dumb")][..], false),
        ("--color never", &[][..], false),
        ("--color always", &[("NO_COLOR", "1")][..], true),
    ] {
        let service = Service::answering([page(2)]).await;
        let shown = on_terminal(80, &service, &format!("list --no-pager {options}"), variables).await;
        assert_eq!(
            shown.screen.contains(green),
            colored,
            "{options} {variables:?}: {}",
            shown.screen
        );
        assert_eq!(shown.screen.contains('\u{1b}'), colored, "{}", shown.screen);
    }
}

#[tokio::test]
async fn a_list_goes_through_the_pager_of_the_environment() {
    for (options, variables, paged) in [
        ("", &[("PAGER", "sed s/^/paged:/")][..], true),
        (
            "",
            &[("SHAREWARDEN_PAGER", "sed s/^/paged:/"), ("PAGER", "false")][..],
            true,
        ),
        (
            "",
            &[("SHAREWARDEN_PAGER", ""), ("PAGER", "sed s/^/paged:/")][..],
            false,
        ),
        ("", &[("PAGER", "cat")][..], false),
        ("", &[("PAGER", "no-such-program-anywhere")][..], false),
        ("--no-pager", &[("PAGER", "sed s/^/paged:/")][..], false),
        ("-o json", &[("PAGER", "sed s/^/paged:/")][..], false),
    ] {
        let service = Service::answering([page(2)]).await;
        let shown = on_terminal(80, &service, &format!("list {options}"), variables).await;
        assert!(shown.status.success(), "{}", shown.notes);
        let lines = shown.screen.lines().filter(|line| line.contains("wsi-0")).count();
        assert_eq!(lines, 2, "{variables:?}: {}", shown.screen);
        assert_eq!(
            shown.screen.starts_with("paged:"),
            paged,
            "{variables:?}: {}",
            shown.screen
        );
    }
}

#[tokio::test]
async fn a_pager_that_is_closed_at_once_is_no_failure() {
    // More than a pipe holds, so that a write fails.
    let service = Service::answering([page(2000)]).await;
    let shown = on_terminal(120, &service, "list --all", &[("PAGER", "true")]).await;
    assert_eq!(
        (shown.status.code(), shown.screen.as_str(), shown.notes.as_str()),
        (Some(0), "", "")
    );
}

#[tokio::test]
async fn local_times_are_those_of_the_time_zone() {
    let service = Service::answering([page(1), page(1)]).await;
    let zone = &[("TZ", "XXX-5:30")][..];
    let shown = on_terminal(120, &service, "list --no-pager --local", zone).await;
    assert!(shown.screen.contains("2026-01-02 08:34:05"), "{}", shown.screen);
    let shown = on_terminal(120, &service, "list --no-pager --local --wide", zone).await;
    assert!(shown.screen.contains("2026-01-02T08:34:05+05:30"), "{}", shown.screen);
}

#[tokio::test]
async fn output_that_is_not_a_terminal_has_no_colour_and_no_pager() {
    let service = Service::answering([page(2)]).await;
    let mut command = program(&format!("list --server {} --principal tester", service.url()));
    command.env("PAGER", "sed s/^/paged:/").env("TERM", "xterm");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.starts_with("ACCOUNT  ") && !out.contains('\u{1b}'), "{out}");
}
