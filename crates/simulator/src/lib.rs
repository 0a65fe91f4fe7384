//! A strict simulator of the WorkSpaces image operations, two STS operations, GetResources of tagging and LookupEvents of
//! CloudTrail, over real HTTP.
//!
//! It knows nothing of sharewarden and does not use AWS's crates: it is an independent oracle. Any AWS SDK or the AWS
//! CLI can call it: set the endpoint URL.
//!
//! The access key id decides the caller's account, and the signature's scope decides the Region. `AKIA` and the
//! twelve digits of an existing account (`AKIA111122223333`) is a valid key with any secret. More keys can be listed
//! in [`Account::access_keys`]. AssumeRole returns `ASIA…` keys of the role's account. A signature must be present
//! and well-formed, but is not verified.
//!
//! One simulator has several accounts and Regions. Faults are injected with [`Simulator::inject`] or over HTTP; see
//! `GET /_simulator`. The call log has every call, so that a test can tell what AWS really did.
//!
//! Read in this order: `settings`, `account`, `image` and `inventory` say what exists. A call passes through
//! `connection`, `service`, `request` (with `caller`, `access_keys`), `execution` (with `fault`, `active_faults`),
//! `engine`, `operations` or `sts`, and `response`. `calls` is the call log, and `trail` has CloudTrail's events. `admin`
//! is the simulator's own API (with `admin_body`), and `state_file` persists the inventory.
//!
//! [`Account`], [`Image`], [`Fault`] and [`Effect`] share their names with types of other packages: they are the
//! terms of AWS and of fault injection.

mod access_keys;
mod account;
mod active_faults;
mod admin;
mod admin_body;
mod api_error;
mod caller;
mod calls;
mod connection;
mod engine;
mod execution;
mod fault;
mod image;
mod inventory;
mod member_reader;
mod now;
mod operations;
mod request;
mod response;
mod service;
mod settings;
mod state_file;
mod sts;
mod text_rule;
mod trail;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpListener;

use engine::Engine;

pub use account::{Account, Partition};
pub use active_faults::ActiveFault;
pub use calls::{ApiCall, CallEnding};
pub use fault::{Effect, Fault, FaultTiming, Filter, Staleness};
pub use image::{Image, ImageState, OperatingSystem};
pub use inventory::InventorySnapshot;
pub use settings::{SimulatorSettings, sample};

/// A running simulator. It stops when dropped; [`Simulator::shutdown`] also waits until it has stopped.
pub struct Simulator {
    engine: Arc<Engine>,
    address: SocketAddr,
}

impl Simulator {
    /// Starts a simulator in the background.
    ///
    /// # Errors
    /// If the settings are invalid or the state file cannot be read.
    pub async fn start(listener: TcpListener, settings: SimulatorSettings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let engine = Arc::new(Engine::new(settings)?);
        let router = admin::router().fallback(service::serve).with_state(Arc::clone(&engine));
        let (tasks, stop) = (engine.tasks.clone(), engine.stop.clone());
        engine.tasks.spawn(connection::accept(listener, router, tasks, stop));
        engine.tasks.spawn(state_file::keep(Arc::clone(&engine)));
        Ok(Self { engine, address })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint URL for an SDK.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Injects a fault, after the active ones, and returns its id.
    ///
    /// # Errors
    /// If the fault is invalid, such as a share of 2.
    pub fn inject(&self, fault: Fault) -> io::Result<u64> {
        fault.check().map_err(settings::invalid)?;
        Ok(self.engine.faults().add(fault))
    }

    /// The active faults. A fault that has had all its hits is not active.
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.engine.faults().list()
    }

    /// Removes a fault. False if there is no such fault.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.engine.faults().remove(id)
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.engine.faults().clear();
    }

    /// The call log.
    pub fn calls(&self) -> Vec<ApiCall> {
        self.engine.log.after(0)
    }

    /// The calls with a higher number.
    pub fn calls_after(&self, number: u64) -> Vec<ApiCall> {
        self.engine.log.after(number)
    }

    /// Waits until the call log satisfies the condition, and returns it as it was at that moment. Has no timeout. The
    /// condition must not call the simulator.
    pub async fn wait_for_calls(&self, condition: impl FnMut(&[ApiCall]) -> bool) -> Vec<ApiCall> {
        self.engine.log.wait(condition).await
    }

    /// The accounts that the image is shared with. Empty if the owner has no such image.
    pub fn shared_accounts(&self, owner: &str, region: &str, image_id: &str) -> BTreeSet<String> {
        let inventory = self.engine.inventory();
        let image = inventory.image(region, image_id).filter(|image| image.owner == owner);
        image.map(|image| image.shared_with.clone()).unwrap_or_default()
    }

    /// All accounts and images.
    pub fn state(&self) -> InventorySnapshot {
        self.engine.inventory().state()
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
    /// If one of its ids is malformed, or its owner does not exist.
    pub fn add_image(&self, image: Image) -> io::Result<()> {
        self.engine.put_image(image)
    }

    /// Sets the state of an image. False if there is no such image.
    pub fn set_image_state(&self, region: &str, image_id: &str, state: ImageState) -> bool {
        self.engine.set_image_state(region, image_id, state)
    }

    /// Replaces the tags of an image. False if there is no such image.
    ///
    /// # Errors
    /// If a tag is not valid, or there are more than 50.
    pub fn set_image_tags(&self, region: &str, image_id: &str, tags: BTreeMap<String, String>) -> io::Result<bool> {
        self.engine.set_image_tags(region, image_id, tags)
    }

    /// Restores the initial inventory, and removes all faults, calls and events of CloudTrail.
    pub fn reset(&self) {
        self.engine.reset();
    }

    /// Removes CloudTrail's events about this recipient, as if it had lost them. Returns their number.
    pub fn lose_events(&self, shared_account: &str) -> usize {
        self.engine.trail.lose(shared_account)
    }

    /// Moves all events of CloudTrail into the past.
    pub fn age_events(&self, by: Duration) {
        self.engine.trail.age(by.try_into().unwrap_or(time::Duration::MAX));
    }

    /// Stops the simulator and waits until it has stopped. Connections with calls in progress are reset.
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
