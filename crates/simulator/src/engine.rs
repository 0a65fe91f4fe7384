//! What all connections share: the inventory, the active faults, the call log, CloudTrail's events and the state file.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    account::Account,
    active_faults::ActiveFaults,
    api_error::ApiError,
    calls::{ApiCall, CallLog},
    fault::Staleness,
    image::{Image, ImageState},
    inventory::{Inventory, InventorySnapshot},
    member_reader::MemberReader,
    now::now,
    operations::OperationContext,
    request::{AuthenticatedRequest, OperationInput},
    settings::{SimulatorSettings, check_account, check_image, check_tags},
    state_file::StateFile,
    sts,
    trail::EventTrail,
};

/// The simulator without its sockets.
pub(super) struct Engine {
    pub(super) settings: SimulatorSettings,
    inventory: Mutex<Inventory>,
    faults: Mutex<ActiveFaults>,
    pub(super) log: CallLog,
    pub(super) trail: EventTrail,
    pub(super) state_file: Option<StateFile>,
    /// All tasks: connections, calls in progress, the state file's writer.
    pub(super) tasks: TaskTracker,
    /// Cancelled when the simulator stops.
    pub(super) stop: CancellationToken,
}

impl Engine {
    pub(super) fn new(settings: SimulatorSettings) -> io::Result<Self> {
        settings.check()?;
        let state_file = settings.state_file.clone().map(StateFile::new);
        let kept = state_file.as_ref().map(StateFile::load).transpose()?.flatten();
        let inventory = Inventory::new(kept.unwrap_or_else(|| initial(&settings)));
        Ok(Self {
            log: CallLog::new(settings.call_log_limit),
            trail: EventTrail::new(&settings),
            settings,
            inventory: Mutex::new(inventory),
            faults: Mutex::default(),
            state_file,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    pub(super) fn inventory(&self) -> MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, ActiveFaults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put_account(&self, account: Account) -> io::Result<()> {
        check_account(&account)?;
        self.inventory().put_account(account);
        Ok(())
    }

    pub(super) fn put_image(&self, image: Image) -> io::Result<()> {
        let mut inventory = self.inventory();
        check_image(&image, inventory.accounts.values())?;
        inventory.put_image(image);
        Ok(())
    }

    /// Sets an image's state permanently. False if there is no such image.
    pub(super) fn set_image_state(&self, region: &str, image_id: &str, state: ImageState) -> bool {
        self.inventory().change_image(region, image_id, |image| {
            image.state = state;
            image.available_at = None;
        })
    }

    /// Replaces the tags of an image. False if there is no such image.
    pub(super) fn set_image_tags(
        &self,
        region: &str,
        image_id: &str,
        tags: BTreeMap<String, String>,
    ) -> io::Result<bool> {
        check_tags(&tags)?;
        Ok(self
            .inventory()
            .change_image(region, image_id, |image| image.tags = tags))
    }

    /// Restores the initial inventory, and removes all faults, calls and events.
    pub(super) fn reset(&self) {
        self.faults().clear();
        self.inventory().reset(initial(&self.settings));
        self.log.clear();
        self.trail.clear();
    }

    /// Carries out a request. A change is in the state file before this returns.
    pub(super) async fn carry_out(
        &self,
        request: &AuthenticatedRequest,
        call: &ApiCall,
        behind: Option<Staleness>,
    ) -> Result<String, ApiError> {
        let (result, changed) = self.apply(request, call, behind);
        match changed {
            Some(version) => self.save(version).await.and(result),
            None => result,
        }
    }

    /// Waits until the state file has this version of the inventory, if there is a state file.
    pub(super) async fn save(&self, version: u64) -> Result<(), ApiError> {
        match &self.state_file {
            Some(file) => file.has(version, &self.stop).await,
            None => Ok(()),
        }
    }

    /// Also returns the new version of the inventory if the request changed it.
    fn apply(
        &self,
        request: &AuthenticatedRequest,
        call: &ApiCall,
        behind: Option<Staleness>,
    ) -> (Result<String, ApiError>, Option<u64>) {
        let mut inventory = self.inventory();
        let before = inventory.version;
        let result = self.run(&mut inventory, request, &call.request_id, behind);
        let tick = self.log.tick();
        let changed = (inventory.version != before).then_some(inventory.version);
        drop(inventory);
        if result.is_ok() {
            self.log.note(call.number, |call| call.applied = Some(tick));
        }
        (result, changed)
    }

    fn run(
        &self,
        inventory: &mut Inventory,
        request: &AuthenticatedRequest,
        id: &str,
        behind: Option<Staleness>,
    ) -> Result<String, ApiError> {
        let (caller, now) = (&request.caller, now());
        match &request.input {
            OperationInput::Sts(form) => {
                sts::run(form, caller, inventory, now).map(|inner| sts::answer_xml(form.action(), &inner, id))
            }
            OperationInput::Json(operation, members) => {
                let context = &mut OperationContext {
                    inventory,
                    settings: &self.settings,
                    trail: &self.trail,
                    caller,
                    now,
                    behind,
                };
                operation(context, MemberReader::new(members)).map(|answer| answer.to_string())
            }
        }
    }
}

fn initial(settings: &SimulatorSettings) -> InventorySnapshot {
    InventorySnapshot {
        accounts: settings.accounts.clone(),
        images: settings.images.clone(),
    }
}
