//! `sharewarden simulate`: the simulator alone.

use std::{io, net::SocketAddr, path::PathBuf};

use sharewarden_simulator::{Simulator, SimulatorSettings, sample};

use super::{DevError, listen};

/// How to run the simulator.
#[derive(Debug, clap::Args)]
pub struct SimulateOptions {
    /// Where to listen; port 0 takes any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7480")]
    listen: SocketAddr,
    /// Accounts, images and behaviour, a JSON file. Default: a sample.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Keep accounts and images in this file over a restart.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// Runs the simulator until `shutdown`, and says in `notes` where it listens.
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
    writeln!(notes, "simulating Amazon WorkSpaces and STS on {}", simulator.url()).map_err(DevError::Output)?;
    shutdown.await;
    simulator.shutdown().await;
    Ok(())
}
