//! What all connections share: the world, the faults in force, the call log, and the file that the world is kept in.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::account::Account;
use super::calls::{Call, CallLog};
use super::fault::Behind;
use super::faults::Faults;
use super::image::{Image, ImageState};
use super::incoming::{Input, Order};
use super::members::Members;
use super::now::now;
use super::operations::Scene;
use super::refusal::Refusal;
use super::settings::{Settings, check_account, check_image};
use super::state_file::StateFile;
use super::sts;
use super::world::{State, World};

/// The simulator, without its sockets.
pub(super) struct Engine {
    pub(super) settings: Settings,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    pub(super) log: CallLog,
    pub(super) state_file: Option<StateFile>,
    /// Everything that runs: connections, calls in progress, the writer of the state file.
    pub(super) tasks: TaskTracker,
    /// Cancelled when the simulator ends.
    pub(super) stop: CancellationToken,
}

impl Engine {
    pub(super) fn new(settings: Settings) -> io::Result<Self> {
        settings.check()?;
        let state_file = settings.state_file.clone().map(StateFile::new);
        let kept = state_file.as_ref().map(StateFile::load).transpose()?.flatten();
        let world = World::new(kept.unwrap_or_else(|| initial(&settings)));
        Ok(Self {
            log: CallLog::new(settings.call_log_limit),
            settings,
            world: Mutex::new(world),
            faults: Mutex::default(),
            state_file,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put_account(&self, account: Account) -> io::Result<()> {
        check_account(&account)?;
        self.world().put_account(account);
        Ok(())
    }

    pub(super) fn put_image(&self, image: Image) -> io::Result<()> {
        let mut world = self.world();
        check_image(&image, world.accounts.values())?;
        world.put_image(image);
        Ok(())
    }

    /// Sets an image's state for good; false if there is no such image.
    pub(super) fn set_image_state(&self, region: &str, image_id: &str, state: ImageState) -> bool {
        self.world().change_image(region, image_id, |image| {
            image.state = state;
            image.available_at = None;
        })
    }

    /// Back to the settings: no fault, no call, nothing shared but what the settings say.
    pub(super) fn reset(&self) {
        self.faults().clear();
        self.world().reset(initial(&self.settings));
        self.log.clear();
    }

    /// Carries out an order, and makes sure of the state file before anyone hears of it.
    pub(super) async fn carry_out(
        &self,
        order: &Order,
        call: &Call,
        behind: Option<Behind>,
    ) -> Result<String, Refusal> {
        let (result, changed) = self.apply(order, call, behind);
        match changed {
            Some(version) => self.save(version).await.and(result),
            None => result,
        }
    }

    /// Waits until the state file has a version of the world, if there is such a file.
    pub(super) async fn save(&self, version: u64) -> Result<(), Refusal> {
        match &self.state_file {
            Some(file) => file.has(version, &self.stop).await,
            None => Ok(()),
        }
    }

    /// The second part is the version of the world that the order made, if it changed anything.
    fn apply(&self, order: &Order, call: &Call, behind: Option<Behind>) -> (Result<String, Refusal>, Option<u64>) {
        let mut world = self.world();
        let before = world.version;
        let result = self.run(&mut world, order, &call.request_id, behind);
        let tick = self.log.tick();
        let changed = (world.version != before).then_some(world.version);
        drop(world);
        if result.is_ok() {
            self.log.note(call.number, |call| call.applied = Some(tick));
        }
        (result, changed)
    }

    fn run(&self, world: &mut World, order: &Order, id: &str, behind: Option<Behind>) -> Result<String, Refusal> {
        let (caller, now) = (&order.caller, now());
        match &order.input {
            Input::Sts(form) => {
                sts::run(form, caller, world, now).map(|inner| sts::answer_xml(form.action(), &inner, id))
            }
            Input::WorkSpaces(operation, members) => {
                let scene = &mut Scene {
                    world,
                    settings: &self.settings,
                    caller,
                    now,
                    behind,
                };
                operation(scene, Members::new(members)).map(|answer| answer.to_string())
            }
        }
    }
}

fn initial(settings: &Settings) -> State {
    State {
        accounts: settings.accounts.clone(),
        images: settings.images.clone(),
    }
}
