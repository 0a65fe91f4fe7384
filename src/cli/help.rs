//! The help of the program: which options a command shows, its examples, and the words that are explained.

use clap::{ArgMatches, Args, Command, error::ErrorKind, parser::ValueSource};

use super::options::ClientOptions;

/// The words of this program, for `help concepts`.
pub const CONCEPTS: &str = include_str!("concepts.txt");

/// Commands that call no service, a command before the group that it is in, with the client options that have a meaning for them.
const WITHOUT_SERVICE: &[(&[&str], &[&str])] = &[
    (&["serve"], &["output"]),
    (&["dev"], &[]),
    (&["simulate"], &[]),
    (&["migrate"], &["output"]),
    (&["config", "check"], &["output"]),
    (&["config"], &[]),
    (&["policy", "schema"], &["output"]),
    (&["policy", "check"], &["output"]),
    (&["policy", "verify"], &["output"]),
    (&["completions"], &[]),
    (&["man"], &[]),
    (&["concepts"], &[]),
    (&["context", "list"], &["context", "output", "color"]),
    (&["context", "use"], &["context"]),
    (&["key", "generate"], &["output"]),
    (&["key", "show"], &["output"]),
    (&["key"], &[]),
    (&["audit", "archive"], &["output"]),
    (&["audit", "confirm"], &["output"]),
];

/// The help of --output for the commands that call no service.
const OUTPUT_WITHOUT_SERVICE: &str =
    "table prints text for people, json prints JSON lines for programs, and an error as JSON [default: table]";

/// The longest line of an example, with its indentation.
const LINE: usize = 78;

/// The end of a long help: examples, in lines that are not wrapped within an option.
pub fn with_examples(examples: &[&str]) -> String {
    let examples = examples.iter().map(|example| format!("  {}", folded(example)));
    format!("Examples:\n{}", examples.collect::<Vec<_>>().join("\n"))
}

/// A command on several lines, which a shell joins. Breaks before options and redirections only.
fn folded(command: &str) -> String {
    let mut lines = vec![String::new()];
    for part in parts(command) {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || line.len() + part.len() + 5 <= LINE);
        match line {
            Some(line) if line.is_empty() => line.push_str(part),
            Some(line) => *line = format!("{line} {part}"),
            None => lines.push(format!("    {part}")),
        }
    }
    lines.join(" \\\n  ")
}

/// The command and its options, each with its value.
fn parts(command: &str) -> Vec<&str> {
    let mut starts: Vec<_> = [" -", " >", " |"]
        .iter()
        .flat_map(|mark| command.match_indices(mark).map(|(at, _)| at))
        .collect();
    starts.sort_unstable();
    let mut parts = Vec::new();
    let mut rest = command;
    for start in starts.into_iter().rev() {
        let (before, part) = rest.split_at(start);
        parts.push(part.trim());
        rest = before;
    }
    parts.push(rest);
    parts.reverse();
    parts
}

/// The program with its help arranged: the options of all client commands are in the long help only, and commands that call no
/// service do not show them.
pub fn arrange_help(mut command: Command) -> Command {
    command = command.mut_args(|arg| {
        let shared = arg.is_global_set();
        arg.hide_short_help(shared)
    });
    let shared: Vec<_> = command
        .get_arguments()
        .filter(|arg| arg.is_global_set())
        .cloned()
        .collect();
    for (path, kept) in WITHOUT_SERVICE {
        // A command with a hidden option of this id does not get the visible one.
        let hidden = shared.iter().filter(|arg| !kept.contains(&arg.get_id().as_str()));
        let hidden = hidden.map(|arg| arg.clone().hide(true));
        let shown = shared.iter().filter(|arg| kept.contains(&arg.get_id().as_str()));
        let shown = shown.map(|arg| {
            if path.starts_with(&["context"]) {
                return arg.clone();
            }
            let arg = arg.clone().help(OUTPUT_WITHOUT_SERVICE).help_heading(None);
            arg.hide_short_help(false)
                .hide_possible_values(true)
                .hide_default_value(true)
        });
        let args: Vec<_> = hidden.chain(shown).collect();
        command = at(command, path, &|command| command.args(args.clone()));
    }
    let mut built = command.clone();
    built.build();
    with_fixed_usage(command, &built)
}

/// The program with a long help that has no empty line between two options, and each option beside its text. The parser's own
/// layout of the long help is twice as long. The short help stays as it is.
pub fn with_compact_help(command: Command) -> Command {
    let mut built = command.clone();
    built.build();
    compact(command, &built)
}

fn compact(command: Command, built: &Command) -> Command {
    let short = built.clone().render_help();
    let mut long = built.clone().mut_args(|arg| match arg.get_long_help().cloned() {
        Some(help) => arg.hide_short_help(false).help(help),
        None => arg.hide_short_help(false),
    });
    if let Some(about) = built.get_long_about().cloned() {
        long = long.about(about);
    }
    if let Some(end) = built.get_after_long_help().cloned() {
        long = long.after_help(end);
    }
    let long = long.render_help();
    // The template has no other part, so these texts are the whole help.
    let command = command
        .help_template("{before-help}")
        .before_help(short)
        .before_long_help(long);
    command.mut_subcommands(|command| match built.find_subcommand(command.get_name()) {
        Some(built) if command.get_name() != "concepts" => compact(command, built),
        _ => command,
    })
}

/// The commands with the usage of their help also in errors. The parser would add the options that a variable gives to the usage
/// in an error, as if they were required.
fn with_fixed_usage(command: Command, built: &Command) -> Command {
    command.mut_subcommands(|command| {
        let Some(built) = built.find_subcommand(command.get_name()) else {
            return command;
        };
        let usage = built.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").to_owned();
        with_fixed_usage(command, built).override_usage(usage)
    })
}

/// The command with the subcommand at this path changed. A build may leave out the subcommand.
fn at(command: Command, path: &[&str], change: &dyn Fn(Command) -> Command) -> Command {
    let Some((name, rest)) = path.split_first() else {
        return change(command);
    };
    if command.find_subcommand(name).is_none() {
        return command;
    }
    command.mut_subcommand(name, |subcommand| at(subcommand, rest, change))
}

/// Fails if an option for client commands was given to a command that calls no service.
pub fn refuse_client_options(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let mut path = Vec::new();
    let mut last = matches;
    while let Some((name, matches)) = last.subcommand() {
        path.push(name);
        last = matches;
    }
    let Some((_, kept)) = WITHOUT_SERVICE.iter().find(|(without, _)| path.starts_with(without)) else {
        return Ok(());
    };
    let options = ClientOptions::augment_args(Command::new(""));
    let given = options.get_arguments().find(|arg| {
        let id = arg.get_id().as_str();
        !kept.contains(&id) && matches.value_source(id) == Some(ValueSource::CommandLine)
    });
    given.map_or(Ok(()), |arg| {
        let name = arg.get_long().unwrap_or_default();
        let what = format!(
            "--{name} has no meaning for `{}`, which calls no service\n",
            path.join(" ")
        );
        Err(command.error(ErrorKind::UnknownArgument, what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_breaks_before_options_only_and_fits_80_columns() {
        let command = "sharewarden audit history 111122223333/eu-central-1/wsi-basewin11 --with 000011112222 --oldest-first \
                       --columns kind,recorded > file";
        let folded = folded(command);
        assert_eq!(folded.replace(" \\\n      ", " "), command);
        assert!(folded.lines().all(|line| line.len() <= LINE), "{folded}");
        assert_eq!(parts("a b --c 'd e' | f"), ["a b", "--c 'd e'", "| f"]);
    }
}
