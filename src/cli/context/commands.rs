//! `context list`, `use`, `show` and `set`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, EffectiveSetting, file};
use crate::cli::{
    cell::{Cell, TableRow},
    console::Console,
    failure::{Exit, Failure, Stop},
    help::with_examples,
    options::{ClientOptions, Output},
    table::{self, Fit},
};

/// The commands under `context`.
#[derive(Debug, Clone, Subcommand)]
pub enum ContextCommand {
    /// List the contexts; a * marks the one in use
    #[command(after_long_help = with_examples(&["sharewarden context list", "sharewarden context list -o json"]))]
    List,
    /// Use a context from now on
    #[command(after_long_help = with_examples(&["sharewarden context use production", "sharewarden context use test"]))]
    Use {
        /// The name of the context
        #[arg(value_name = "NAME", value_parser = file::name)]
        context_name: String,
    },
    /// Show the effective options of the connection and the defaults, and where each comes from
    #[command(after_long_help = with_examples(&["sharewarden context show", "sharewarden context show production -o json"]))]
    Show {
        /// The name of the context [default: the one in use]
        #[arg(value_name = "NAME", value_parser = file::name)]
        context_name: Option<String>,
    },
    /// Make a context, or change the given settings of one
    ///
    /// Stores the client options of this command line (--server, --principal, --tls-ca, --tls-certificate, --tls-key and
    /// --token-file). The file names certificates, keys and tokens and never holds them.
    #[command(after_long_help = with_examples(&[
        "sharewarden context set production --server https://sharewarden.example.com --token-file token",
        "sharewarden context set production -a 111122223333 -r eu-central-1",
    ]))]
    Set(SetContextArgs),
}

/// Arguments of `context set`.
#[derive(Debug, Clone, Args)]
pub struct SetContextArgs {
    /// The name of the context: 1 to 64 ASCII letters, digits, dots, hyphens and underscores
    #[arg(value_name = "NAME", value_parser = file::name)]
    name: String,
    /// The default account: 12 digits, with leading zeros
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<crate::domain::AccountId>,
    /// The default Region, such as eu-central-1
    #[arg(short, long, value_name = "REGION")]
    region: Option<crate::domain::Region>,
}

pub(in crate::cli) fn run(
    options: &ClientOptions,
    command: ContextCommand,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    match command {
        ContextCommand::List => list(options, console),
        ContextCommand::Use { context_name } => use_context(options, &context_name, console),
        ContextCommand::Show { context_name } => show(options, context_name, console),
        ContextCommand::Set(args) => set(options, &args, console),
    }
}

fn list(options: &ClientOptions, console: &mut Console<'_>) -> Result<(), Stop> {
    let file = options.context_file()?;
    let used = options.context.as_ref().or(file.current.as_ref());
    if options.output == Output::Json {
        let contexts: Vec<_> = file.contexts.iter().map(json_of).collect();
        return console.print_json(&json!({ "contexts": contexts, "current": used }));
    }
    if file.contexts.is_empty() {
        console.note("note: there are no contexts; `sharewarden context set` makes one");
    }
    let row = |context: &Context| -> TableRow {
        let mark = if used == Some(&context.name) { "*" } else { "" };
        vec![
            ("USED", mark.to_owned().into()),
            ("NAME", context.name.clone().into()),
            ("SERVER", text(context.server.as_ref()).into()),
            ("ACCOUNT", text(context.account.as_ref()).into()),
            ("REGION", text(context.region.as_ref()).into()),
        ]
    };
    print(file.contexts.iter().map(row).collect(), console)
}

fn print(rows: Vec<TableRow>, console: &mut Console<'_>) -> Result<(), Stop> {
    let drawn = table::list(&rows, Fit::Columns(&[]), console.view());
    console.print(drawn.text)
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn json_of(context: &Context) -> Value {
    json!({
        "name": context.name,
        "server": context.server.as_ref().map(ToString::to_string),
        "account": context.account.as_ref().map(ToString::to_string),
        "region": context.region.as_ref().map(ToString::to_string),
    })
}

fn use_context(options: &ClientOptions, name: &str, console: &mut Console<'_>) -> Result<(), Stop> {
    options.context_file()?.context(name).ok_or_else(|| no_such(name))?;
    file::set_current(options.context_path()?, name)?;
    console.note(format_args!("note: {name} is the context in use"));
    if let Some(chosen) = options.context.as_ref().filter(|chosen| *chosen != name) {
        let origin = options.given.origin("context").unwrap_or_default();
        console.note(format_args!(
            "note: {origin} wins over it, and names the context {chosen}"
        ));
    }
    for (key, origin) in options.overridden(name) {
        console.note(format_args!("note: {origin} wins over its {key}"));
    }
    Ok(())
}

/// The failure for a name that no context has.
pub(in crate::cli) fn no_such(name: &str) -> Failure {
    let what = format!("there is no context {name}");
    Failure::new(
        Exit::Invalid,
        what,
        "`sharewarden context list` lists the contexts, `sharewarden context set` makes one",
    )
}

fn show(options: &ClientOptions, name: Option<String>, console: &mut Console<'_>) -> Result<(), Stop> {
    let chosen_by = match (&name, options.given.origin("context")) {
        (Some(_), _) => "this command".to_owned(),
        (None, Some(origin)) => origin,
        (None, None) => "`sharewarden context use`".to_owned(),
    };
    let named = name.map_or_else(|| options.clone(), |name| options.using(name));
    let options = named.with_context()?;
    let settings = options.effective()?;
    if options.output == Output::Json {
        let settings: serde_json::Map<_, _> = settings
            .into_iter()
            .map(|setting| {
                (
                    setting.key.to_owned(),
                    json!({ "value": setting.value, "from": setting.from }),
                )
            })
            .collect();
        let name = options.context_in_use().map(|context| &context.name);
        let from = name.map(|_| &chosen_by);
        return console.print_json(&json!({ "context": name, "contextFrom": from, "settings": settings }));
    }
    let row = |setting: EffectiveSetting| -> TableRow {
        vec![
            ("SETTING", setting.key.to_owned().into()),
            ("VALUE", Cell::Text(setting.value.unwrap_or_default())),
            ("FROM", setting.from.into()),
        ]
    };
    let context = options.context_in_use().map(|context| EffectiveSetting {
        key: "context",
        value: Some(context.name.clone()),
        from: chosen_by,
    });
    print(context.into_iter().chain(settings).map(row).collect(), console)?;
    if options.has_unused_connection_options() {
        console
            .note("note: the server is not that of the context, so its principal, certificates and token are not used");
    }
    Ok(())
}

fn set(options: &ClientOptions, args: &SetContextArgs, console: &mut Console<'_>) -> Result<(), Stop> {
    let mut settings = options.settings_of_command_line();
    for (key, value) in [
        ("account", text(args.account.as_ref())),
        ("region", text(args.region.as_ref())),
    ] {
        if !value.is_empty() {
            settings.push((key, value));
        }
    }
    if settings.is_empty() {
        let hint =
            "give --server, --principal, --tls-ca, --tls-certificate, --tls-key, --token-file, --account or --region";
        return Err(Failure::new(Exit::Invalid, "there is nothing to set", hint).into());
    }
    let path = options.context_path()?;
    file::set_settings(path, &args.name, &settings)?;
    console.note(format_args!("note: context {} is in {}", args.name, path.display()));
    if options.context_file()?.current.as_deref() != Some(&args.name) {
        console.note(format_args!(
            "note: use it with `sharewarden context use {}`",
            args.name
        ));
    }
    Ok(())
}
