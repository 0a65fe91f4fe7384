//! `sharewarden simulate`: the simulator alone.

use std::{io, net::SocketAddr, path::PathBuf};

use sharewarden_simulator::{Simulator, SimulatorSettings, sample};

use super::{DevError, listen};

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
pub struct SimulateOptions {
    /// The address to listen on; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7480")]
    listen: SocketAddr,
    /// The accounts, images and behaviour, a JSON file [default: a built-in sample]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Keep the accounts and images in this file across restarts [default: in memory only]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// Runs the simulator until `shutdown`, and prints its address to `notes`.
pub(super) async fn run(
    options: SimulateOptions,
    notes: &mut (dyn io::Write + Send),
    shutdown: impl Future<Output = ()>,
) -> Result<(), DevError> {
    let settings = options
        .settings
        .map_or_else(|| Ok(sample()), |file| SimulatorSettings::read(&file));
    let mut settings = settings.map_err(DevError::Simulator)?;
    settings.state_file = options.state.or(settings.state_file);
    let listener = listen(options.listen, "--listen").await?;
    let simulator = Simulator::start(listener, settings)
        .await
        .map_err(DevError::Simulator)?;
    // A closed standard error is no reason to stop.
    let _ = writeln!(notes, "simulating Amazon WorkSpaces and STS on {}", simulator.url());
    shutdown.await;
    simulator.shutdown().await;
    Ok(())
}
