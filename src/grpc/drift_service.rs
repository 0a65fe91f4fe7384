//! The handlers of `DriftService`. Each one parses the request, asks the use case, and presents the answer.

use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::{
    clock::Clock,
    domain::{AccountId, DriftBaselineBody, PermissionKey, Region},
    drift::{BaselineChange, DriftError, DriftQueries},
    proto::v1::{self, drift_service_server::DriftService},
    store::drift::{
        baselines::BaselineStatus,
        findings::{AttributedFinding, FindingFilter},
        images::DriftImage,
        requests::{RequestedScan, ScanProgress},
    },
    telemetry::DriftRevocation,
};

use super::{
    access::NamesAccounts,
    caller::{Caller, with_timeout},
    fields::{FieldReader, PageQuery},
    justification, page_token,
    present::{cloud_trail_event, difference, drift_resolution, timestamp},
    status,
};

/// The largest finding as a message, in bytes. The texts of CloudTrail take most of it.
const FINDING_BYTES: usize = 2560;

/// The largest answer about scans, in bytes.
const SCANS_BYTES: usize = 2 * 1024 * 1024;

/// `DriftService`.
#[derive(Debug, Clone)]
pub struct DriftApi {
    queries: DriftQueries,
    clock: Clock,
    max_timeout: Duration,
}

impl DriftApi {
    /// `max_timeout` is the maximum time for the work on a call, whatever its deadline.
    pub fn new(queries: DriftQueries, clock: Clock, max_timeout: Duration) -> Self {
        Self {
            queries,
            clock,
            max_timeout,
        }
    }

    fn caller<T: NamesAccounts>(&self, request: &Request<T>) -> Result<Caller, Status> {
        Caller::of(request, &self.clock, self.max_timeout)
    }
}

/// Reads a request of an operator about a baseline, of any type.
macro_rules! baseline_change {
    ($caller:ident, $request:expr, $is_confirmed:literal) => {{
        let request = $request;
        let mut fields = FieldReader::default();
        let account = fields.required("account_id", &request.account_id);
        let justification = justification::read(&mut fields, request);
        fields.finish(|| {
            Some(BaselineChange {
                account: account?,
                body: DriftBaselineBody {
                    is_confirmed: $is_confirmed,
                    principal: $caller.principal.clone(),
                    justification: justification?,
                },
            })
        })?
    }};
}

#[tonic::async_trait]
impl DriftService for DriftApi {
    async fn scan_now(&self, request: Request<v1::ScanNowRequest>) -> Result<Response<v1::ScanNowResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.get_ref();
        let asked = scope(&request.account_id, &request.region, &request.image_id)?;
        caller.reserve(SCANS_BYTES).await?;
        let scans = async {
            match &asked {
                ScanScope::Image(image) => Ok(vec![self.queries.look_now(image).await?]),
                ScanScope::Scans(account, region) => self.queries.scan_now(*account, region.as_ref()).await,
            }
        };
        let scans = answered(&caller, scans).await?;
        Ok(Response::new(v1::ScanNowResponse {
            scans: scans.into_iter().map(requested).collect(),
        }))
    }

    async fn list_drift_scans(
        &self,
        request: Request<v1::ListDriftScansRequest>,
    ) -> Result<Response<v1::ListDriftScansResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.get_ref();
        let asked = scope(&request.account_id, &request.region, &request.image_id)?;
        caller.reserve(SCANS_BYTES).await?;
        let (account, region, image) = match &asked {
            ScanScope::Image(key) => (Some(key.account), Some(&key.region), Some(&key.image)),
            ScanScope::Scans(account, region) => (*account, region.as_ref(), None),
        };
        let scans = answered(&caller, self.queries.scans(account, region, image)).await?;
        Ok(Response::new(v1::ListDriftScansResponse {
            scans: scans.into_iter().map(scan).collect(),
        }))
    }

    async fn list_drift_findings(
        &self,
        request: Request<v1::ListDriftFindingsRequest>,
    ) -> Result<Response<v1::ListDriftFindingsResponse>, Status> {
        let caller = self.caller(&request)?;
        let (filter, page) = findings_of(request.get_ref())?;
        caller.reserve_page(page.size, FINDING_BYTES).await?;
        let found = self.queries.findings(&filter, page.after.as_ref(), page.size);
        let found = answered(&caller, found).await?;
        let next = found.next.map(|last| page_token::encode(&filter, &last));
        Ok(Response::new(v1::ListDriftFindingsResponse {
            findings: found.findings.iter().map(finding).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn get_drift_finding(
        &self,
        request: Request<v1::GetDriftFindingRequest>,
    ) -> Result<Response<v1::GetDriftFindingResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.get_ref();
        let mut fields = FieldReader::default();
        let key = fields.key(
            &request.account_id,
            &request.region,
            &request.image_id,
            &request.shared_account_id,
        );
        let key = fields.finish(|| key)?;
        let found = answered(&caller, self.queries.finding(&key)).await?;
        Ok(Response::new(v1::GetDriftFindingResponse {
            finding: found.as_ref().map(finding),
        }))
    }

    async fn get_drift_baseline(
        &self,
        request: Request<v1::GetDriftBaselineRequest>,
    ) -> Result<Response<v1::GetDriftBaselineResponse>, Status> {
        let caller = self.caller(&request)?;
        let mut fields = FieldReader::default();
        let account = fields.required("account_id", &request.get_ref().account_id);
        let account = fields.finish(|| account)?;
        let (status, state) = answered(&caller, self.queries.baseline(account)).await?;
        Ok(Response::new(v1::GetDriftBaselineResponse {
            baseline: Some(baseline(&status, state)),
        }))
    }

    async fn confirm_drift_baseline(
        &self,
        request: Request<v1::ConfirmDriftBaselineRequest>,
    ) -> Result<Response<v1::ConfirmDriftBaselineResponse>, Status> {
        let caller = self.caller(&request)?;
        let change = baseline_change!(caller, request.get_ref(), true);
        let baseline = Some(self.set_baseline(caller, change).await?);
        Ok(Response::new(v1::ConfirmDriftBaselineResponse { baseline }))
    }

    async fn withdraw_drift_baseline(
        &self,
        request: Request<v1::WithdrawDriftBaselineRequest>,
    ) -> Result<Response<v1::WithdrawDriftBaselineResponse>, Status> {
        let caller = self.caller(&request)?;
        let change = baseline_change!(caller, request.get_ref(), false);
        let baseline = Some(self.set_baseline(caller, change).await?);
        Ok(Response::new(v1::WithdrawDriftBaselineResponse { baseline }))
    }
}

impl DriftApi {
    async fn set_baseline(&self, caller: Caller, change: BaselineChange) -> Result<v1::DriftBaseline, Status> {
        let set = self.queries.set_baseline(change);
        let (status, state) = answered(&caller, set).await?;
        Ok(baseline(&status, state))
    }
}

async fn answered<T>(caller: &Caller, answer: impl Future<Output = Result<T, DriftError>>) -> Result<T, Status> {
    with_timeout(caller.timeout, answer, status::store_unavailable).await
}

/// What a caller asks about: accounts and Regions, or one image.
enum ScanScope {
    Scans(Option<AccountId>, Option<Region>),
    Image(DriftImage),
}

fn scope(account: &str, region: &str, image: &str) -> Result<ScanScope, Status> {
    let mut fields = FieldReader::default();
    if image.is_empty() {
        let account = fields.optional("account_id", account);
        let region = fields.optional("region", region);
        return fields.finish(|| Some(ScanScope::Scans(account, region)));
    }
    let account = fields.required("account_id", account);
    let region = fields.required("region", region);
    let image = fields.required("image_id", image);
    fields.finish(|| {
        Some(ScanScope::Image(DriftImage {
            account: account?,
            region: region?,
            image: image?,
        }))
    })
}

fn findings_of(request: &v1::ListDriftFindingsRequest) -> Result<(FindingFilter, PageQuery<PermissionKey>), Status> {
    let mut fields = FieldReader::default();
    let filter = FindingFilter {
        account: fields.optional("account_id", &request.account_id),
        region: fields.optional("region", &request.region),
        image: fields.optional("image_id", &request.image_id),
        shared_account: fields.optional("shared_account_id", &request.shared_account_id),
        include_resolved: request.include_resolved,
    };
    fields.finish_list(Some(filter), request.page_size, &request.page_token)
}

fn requested(scan: RequestedScan) -> v1::RequestedScan {
    v1::RequestedScan {
        account_id: scan.account.to_string(),
        region: scan.region.to_string(),
        start_time: Some(timestamp(scan.start_time)),
    }
}

fn scan(scan: ScanProgress) -> v1::DriftScan {
    v1::DriftScan {
        account_id: scan.account.to_string(),
        region: scan.region.to_string(),
        scan_id: scan.current.map(|(id, _)| id.to_string()).unwrap_or_default(),
        start_time: scan.current.map(|(_, begun)| timestamp(begun)),
        images: scan.images,
        images_left: scan.images_left,
        images_failing: scan.images_failing,
        unconfirmed: scan.unconfirmed,
        findings: scan.findings,
        complete_start_time: scan.complete.map(|(begun, _)| timestamp(begun)),
        complete_time: scan.complete.map(|(_, ended)| timestamp(ended)),
        fail_time: scan.failure.as_ref().and_then(|(_, since)| *since).map(timestamp),
        error_code: scan.failure.map(|(code, _)| code).unwrap_or_default(),
        trail_complete_time: scan.trail_complete_until.map(timestamp),
        trail_error_code: scan.trail_error_code.unwrap_or_default(),
        look_time: scan.looked_at.map(timestamp),
    }
}

fn baseline(status: &BaselineStatus, state: Option<DriftRevocation>) -> v1::DriftBaseline {
    let confirmed = status.baseline.as_ref();
    let state = match state {
        None => v1::drift_baseline::State::Reporting,
        Some(DriftRevocation::WithoutBaseline) => v1::drift_baseline::State::WithoutBaseline,
        Some(DriftRevocation::Revoking) => v1::drift_baseline::State::Revoking,
        Some(DriftRevocation::Braked) => v1::drift_baseline::State::Braked,
    };
    v1::DriftBaseline {
        account_id: status.account.to_string(),
        state: state.into(),
        confirm_time: confirmed.map(|baseline| timestamp(baseline.confirmed_at)),
        principal: confirmed
            .map(|baseline| baseline.principal.to_string())
            .unwrap_or_default(),
        log_index: confirmed.map(|baseline| baseline.log_index).unwrap_or_default(),
        found: status.found,
        limit: status.limit,
    }
}

fn finding(AttributedFinding { finding, event }: &AttributedFinding) -> v1::DriftFinding {
    let (key, resolved) = (&finding.key, finding.resolved);
    let change_id = resolved.and_then(|end| end.change_id);
    v1::DriftFinding {
        account_id: key.account.to_string(),
        region: key.region.to_string(),
        image_id: key.image.to_string(),
        shared_account_id: key.shared_account.to_string(),
        difference: difference(finding.difference).into(),
        first_seen_time: Some(timestamp(finding.first_seen_at)),
        find_time: Some(timestamp(finding.found_at)),
        found_index: finding.found_index,
        scan_id: finding.scan_id.to_string(),
        resolution: resolved
            .map_or(v1::DriftResolution::Unspecified, |end| drift_resolution(end.resolution))
            .into(),
        resolve_time: resolved.map(|end| timestamp(end.at)),
        resolved_index: resolved.map(|end| end.index).unwrap_or_default(),
        change_id: change_id.map(|id| id.to_string()).unwrap_or_default(),
        event: event.as_ref().map(cloud_trail_event),
    }
}
