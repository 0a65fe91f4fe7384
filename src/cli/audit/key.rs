//! `key`: generates and shows the keys that sign checkpoints. Needs no service.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use secrecy::ExposeSecret;

use super::verifier_keys::{unreadable, unwritable};
use crate::{
    cli::{
        console::Console,
        failure::{Exit, Failure, Stop},
        help::with_examples,
        options::{ClientOptions, Output},
    },
    ledger::{KeyName, SigningKey},
};

/// The commands under `key`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Generate a private key (Ed25519, PKCS#8 PEM), and print its verifier key
    #[command(after_long_help = with_examples(&[
        "sharewarden key generate --name sharewarden.example.com --out checkpoint-key.pem",
        "sharewarden key generate --name sharewarden.example.com > checkpoint-key.pem",
    ]))]
    Generate {
        /// The name of the service in its checkpoints, usually a URL without its scheme
        #[arg(long, value_name = "NAME")]
        name: KeyName,
        /// Write the private key to this new file, which only its owner can read. Without it, the private key goes to standard
        /// output and the verifier key to standard error. With -o json both are one line of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print the verifier key of a private key, with which auditors verify checkpoints
    #[command(after_long_help = with_examples(&[
        "sharewarden key show --name sharewarden.example.com --key-file checkpoint-key.pem",
        "sharewarden key show --name sharewarden.example.com --key-file checkpoint-key.pem -o json",
    ]))]
    Show {
        /// The name of the service in its checkpoints
        #[arg(long, value_name = "NAME")]
        name: KeyName,
        /// The private key, in PKCS#8 PEM
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
    },
}

/// Runs a command under `key`.
pub fn key(options: &ClientOptions, command: KeyCommand, console: &mut Console<'_>) -> Result<(), Failure> {
    match perform(options.output, command, console) {
        Ok(()) | Err(Stop::OutputClosed) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

fn perform(output: Output, command: KeyCommand, console: &mut Console<'_>) -> Result<(), Stop> {
    match command {
        KeyCommand::Generate { name, out } => generate(output, name, out, console)?,
        KeyCommand::Show { name, key_file } => {
            let pem = fs::read_to_string(&key_file).map_err(|error| unreadable(&key_file, &error))?;
            let key = SigningKey::from_pem(name, &pem).map_err(|error| unreadable(&key_file, &error))?;
            print(output, &key, console)?;
        }
    }
    console.flush()
}

fn generate(output: Output, name: KeyName, out: Option<PathBuf>, console: &mut Console<'_>) -> Result<(), Stop> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        let what = format!("the OS returned no random bytes: {error}");
        Failure::new(Exit::General, what, "check the random number generator of the OS")
    })?;
    let key = SigningKey::from_seed(name, &seed);
    let pem = key.to_pem().map_err(|error| {
        Failure::new(
            Exit::General,
            error.to_string(),
            "report this: it is a bug in this program",
        )
    })?;
    let Some(path) = out else {
        if output == Output::Json {
            let (public, private) = (key.verifier_key().to_string(), pem.expose_secret());
            return console.print_line(serde_json::json!({ "verifierKey": public, "privateKey": private }));
        }
        console.print(pem.expose_secret())?;
        console.note(key.verifier_key());
        return Ok(());
    };
    write_secret(&path, pem.expose_secret())?;
    print(output, &key, console)
}

fn print(output: Output, key: &SigningKey, console: &mut Console<'_>) -> Result<(), Stop> {
    let key = key.verifier_key();
    match output {
        Output::Json => console.print_line(serde_json::json!({ "verifierKey": key.to_string() })),
        Output::Table | Output::Csv => console.print_line(key),
    }
}

/// Writes a new file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let what = format!("{} exists already, and nothing was written", path.display());
            Failure::new(
                Exit::Invalid,
                what,
                "a key that is overwritten cannot be restored: give --out another name",
            )
        }
        _ => unwritable(path, &error),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| unwritable(path, &error))
}
