//! A strict stand-in for the image operations of Amazon WorkSpaces, and the two of STS that go with them, over real HTTP.
//!
//! It knows nothing of sharewarden, and does not use AWS's crates: it is an independent oracle. Any AWS SDK or
//! the AWS CLI can call it; set the endpoint URL.
//!
//! Who calls follows from the access key id, the Region from the signature's scope. A key can be made up: `AKIA` and the
//! twelve digits of an account that exists here (`AKIA111122223333`), with any secret. Keys can also be listed in
//! [`Account::access_keys`], and AssumeRole hands out `ASIA…` keys that act for the account of the role. Signatures must be
//! there and well-formed, but are not verified.
//!
//! Several accounts and Regions live in one simulator. Faults are scripted with [`Simulator::inject`] or over HTTP, where
//! `GET /_simulator` explains itself. Every call is in the call log, from which a test can tell what really happened.
//!
//! To read it: `settings`, `account`, `image` say what exists; `connection` → `service` → `incoming` (with `caller`, `keys`)
//! → `perform` (with `fault`, `faults`) → `engine` → `operations` or `sts` → `reply` is the way of a call; `calls` is the log;
//! `admin` and `state_file` stand beside.

mod account;
mod admin;
mod caller;
mod calls;
mod connection;
mod engine;
mod fault;
mod faults;
mod image;
mod incoming;
mod keys;
mod members;
mod now;
mod operations;
mod pattern;
mod perform;
mod refusal;
mod reply;
mod service;
mod settings;
mod state_file;
mod sts;
mod world;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use account::{Account, Partition};
pub use calls::{Call, Ending};
pub use fault::{Behind, Effect, Fault, Filter, Moment};
pub use faults::Scripted;
pub use image::{Image, ImageState};
pub use settings::{Settings, sample};
pub use world::State;

use engine::Engine;

/// A running simulator. Dropping it ends it; [`Simulator::shutdown`] also waits for the end.
pub struct Simulator {
    engine: Arc<Engine>,
    address: SocketAddr,
}

impl Simulator {
    /// Starts a simulator in the background. Fails on settings that AWS could not be in, or an unreadable state file.
    pub async fn start(listener: TcpListener, settings: Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let engine = Arc::new(Engine::new(settings)?);
        let router = admin::router().fallback(service::serve).with_state(Arc::clone(&engine));
        let (tasks, stop) = (engine.tasks.clone(), engine.stop.clone());
        engine.tasks.spawn(connection::accept(listener, router, tasks, stop));
        if engine.state_file.is_some() {
            engine.tasks.spawn(keep_state(Arc::clone(&engine)));
        }
        Ok(Self { engine, address })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint URL to give to an SDK.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts a fault in force, behind those that are there. Returns its number.
    ///
    /// # Errors
    /// If the fault could never be meant, such as a share of 2.
    pub fn inject(&self, fault: Fault) -> io::Result<u64> {
        fault
            .check()
            .map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        Ok(self.engine.faults().add(fault))
    }

    /// The faults in force. One that is over is no longer among them.
    pub fn faults(&self) -> Vec<Scripted> {
        self.engine.faults().list()
    }

    /// Removes one fault; false if it is not there.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.engine.faults().remove(id)
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.engine.faults().clear();
    }

    /// The call log.
    pub fn calls(&self) -> Vec<Call> {
        self.engine.log.after(0)
    }

    /// The calls after the one with this number.
    pub fn calls_after(&self, number: u64) -> Vec<Call> {
        self.engine.log.after(number)
    }

    /// Forgets the call log; numbers and ticks go on.
    pub fn clear_calls(&self) {
        self.engine.log.clear();
    }

    /// Waits until the call log satisfies a condition, and returns it as it was then. There is no time limit: set one around
    /// it. The condition must not call the simulator.
    pub async fn wait_for_calls(&self, condition: impl FnMut(&[Call]) -> bool) -> Vec<Call> {
        self.engine.log.wait(condition).await
    }

    /// The accounts an image is really shared with; empty if the owner has no such image.
    pub fn shared_accounts(&self, owner: &str, region: &str, image_id: &str) -> BTreeSet<String> {
        let world = self.engine.world();
        let image = world.image(region, image_id).filter(|image| image.owner == owner);
        image.map(|image| image.shared_with.clone()).unwrap_or_default()
    }

    /// All accounts and images.
    pub fn state(&self) -> State {
        self.engine.world().state()
    }

    /// Adds or replaces an account.
    ///
    /// # Errors
    /// If its id is not twelve digits.
    pub fn add_account(&self, account: Account) -> io::Result<()> {
        self.engine.put_account(account)
    }

    /// Adds or replaces an image.
    ///
    /// # Errors
    /// If an id of it is malformed, or its owner is not an account here.
    pub fn add_image(&self, image: Image) -> io::Result<()> {
        self.engine.put_image(image)
    }

    /// Sets the state of an image; false if there is no such image.
    pub fn set_image_state(&self, region: &str, image_id: &str, state: ImageState) -> bool {
        self.engine.set_image_state(region, image_id, state)
    }

    /// Goes back to the start: state, faults, call log.
    pub fn reset(&self) {
        self.engine.reset();
    }

    /// Ends the simulator and waits until all of it has ended. Calls in progress have their connections reset.
    pub async fn shutdown(self) {
        self.engine.stop.cancel();
        self.engine.tasks.close();
        self.engine.tasks.wait().await;
        if let Some(file) = &self.engine.state_file {
            file.write(&self.engine).await;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.engine.stop.cancel();
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn keep_state(engine: Arc<Engine>) {
    if let Some(file) = &engine.state_file {
        file.keep(&engine).await;
    }
}
