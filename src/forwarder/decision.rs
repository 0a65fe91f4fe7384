//! Decides about a change, with the facts of its image that the policies in force speak of.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    domain::{
        AwsError, AwsErrorKind, FailureReason, Intent, Principal, Timestamp,
        decision::{Facts, ImageAttributes},
        image::{Image, ReportedImage, Tags},
    },
    policy::{self, FactAges, Mentions, Policy, PolicyAction, PolicyQuery, PolicySet, PolicyVerdict},
    telemetry::{FactKind, Instruments, PolicyOutcome},
    workspaces::WorkSpaces,
};

/// Maximum age of a report that an image cannot be shared yet. It may become available at any moment, and callers try again.
const UNAVAILABLE_AGE: Duration = Duration::from_secs(3);

/// Asks the policy in force about a change. Reads what AWS reports about the image only if the decision depends on it, and for at
/// most `time`. Without such a fact a grant is refused, with the reason; a revoke is decided without it. The decision is made at
/// `not_before` if the clock is behind it.
///
/// # Errors
/// The error of AWS if the policy cannot decide now: AWS may give the fact later.
pub async fn decide(
    policy: &Policy,
    workspaces: &WorkSpaces,
    clock: &Clock,
    instruments: &Instruments,
    intent: &Intent,
    not_before: Option<Timestamp>,
    time: Duration,
) -> Result<PolicyVerdict, AwsError> {
    let now = || {
        let now = clock.now();
        not_before.map_or(now, |earliest| now.max(earliest))
    };
    let decided = decide_in(policy, workspaces, &now, instruments, intent, &intent.principal, time).await;
    let decided = decided.map(|(_, verdict)| verdict);
    match &decided {
        Ok(verdict) => {
            let outcome = match verdict.is_allowed() {
                true => PolicyOutcome::Allowed,
                false => PolicyOutcome::Refused,
            };
            instruments.decided(verdict.decision.policies.iter().map(policy::label), outcome);
        }
        Err(_) => instruments.decided([].into_iter(), PolicyOutcome::Undecided),
    }
    decided
}

/// Decides as [`decide`] does, for an explanation: no metric counts it, and facts are read in a turn of `reader`. Returns the set
/// that decided too.
///
/// # Errors
/// The same.
pub async fn decide_for(
    reader: &Principal,
    policy: &Policy,
    workspaces: &WorkSpaces,
    clock: &Clock,
    instruments: &Instruments,
    intent: &Intent,
    time: Duration,
) -> Result<(Arc<PolicySet>, PolicyVerdict), AwsError> {
    decide_in(policy, workspaces, &|| clock.now(), instruments, intent, reader, time).await
}

async fn decide_in(
    policy: &Policy,
    workspaces: &WorkSpaces,
    now: &(dyn Fn() -> Timestamp + Sync),
    instruments: &Instruments,
    intent: &Intent,
    reader: &Principal,
    time: Duration,
) -> Result<(Arc<PolicySet>, PolicyVerdict), AwsError> {
    let (set, query) = (policy.in_force(), PolicyQuery::of(intent, now()));
    let (mentions, ages) = (set.mentions(query.asked()), set.fact_ages(query.asked()));
    if !mentions.is_about_image() {
        let verdict = set.decide(query);
        return Ok((set, verdict));
    }
    // What is allowed with the facts is not refused without them, so they are needed.
    if let Some(read) = FactReads::cached(mentions, ages, workspaces, intent) {
        let verdict = read.decide(&set, query);
        if verdict.is_allowed() {
            let used = [(FactKind::Description, mentions.image), (FactKind::Tags, mentions.tags)];
            let used = used.into_iter().filter(|(_, is_used)| *is_used);
            used.for_each(|(kind, _)| instruments.fact_read(kind, None));
            return Ok((set, verdict));
        }
    }
    let needs = set.needs(query);
    match FactReads::default().has(needs, ages) {
        true => {
            let verdict = set.decide(query);
            Ok((set, verdict))
        }
        // Boxed because few decisions need it: otherwise it enlarges the future of every change.
        false => {
            Box::pin(decide_with_facts(
                policy,
                (set, needs),
                workspaces,
                now,
                intent,
                reader,
                time,
            ))
            .await
        }
    }
}

/// Reads the facts that a set needs. If another set is in force after a read, that one decides.
async fn decide_with_facts(
    policy: &Policy,
    (mut set, mut needs): (Arc<PolicySet>, Mentions),
    workspaces: &WorkSpaces,
    now: &(dyn Fn() -> Timestamp + Sync),
    intent: &Intent,
    reader: &Principal,
    time: Duration,
) -> Result<(Arc<PolicySet>, PolicyVerdict), AwsError> {
    let mut read = FactReads::default();
    let reading = async {
        loop {
            let ages = set.fact_ages(PolicyAction::of_intent(intent));
            if read.has(needs, ages) {
                return set;
            }
            read.more(needs, ages, workspaces, intent, reader).await;
            let in_force = policy.in_force();
            if !Arc::ptr_eq(&in_force, &set) {
                needs = in_force.needs(PolicyQuery::of(intent, now()));
                set = in_force;
            }
        }
    };
    let in_time = tokio::time::timeout(time, reading).await;
    let set = in_time.as_ref().map_or_else(|_| policy.in_force(), Arc::clone);
    let verdict = read.decide(&set, PolicyQuery::of(intent, now()));
    let missing = match in_time {
        Ok(_) => read.passing_error(),
        Err(_) => Some(timed_out()),
    };
    match missing {
        // A forbid that matched does so with the fact too.
        Some(error) if !verdict.is_allowed() && verdict.decision.policies.is_empty() => Err(error),
        _ => Ok((set, verdict)),
    }
}

type Read<T> = Result<Arc<T>, AwsError>;

/// What was read for one decision, and the ages that were demanded. None: not read yet.
#[derive(Debug, Default)]
struct FactReads {
    ages: Option<FactAges>,
    image: Option<Read<ReportedImage>>,
    tags: Option<Read<Tags>>,
}

impl FactReads {
    /// True if nothing of what policies speak of is left to read.
    fn has(&self, mentions: Mentions, ages: FactAges) -> bool {
        let is_young = |age: fn(FactAges) -> Duration| self.ages.is_some_and(|read| age(read) <= age(ages));
        let has_image = self.image.is_some() && is_young(|ages| ages.image);
        let has_tags = self.tags.is_some() && is_young(|ages| ages.tags);
        (has_image || !mentions.image) && (has_tags || !mentions.tags)
    }

    /// What policies speak of, if all of it is in the cache.
    fn cached(mentions: Mentions, ages: FactAges, workspaces: &WorkSpaces, intent: &Intent) -> Option<Self> {
        let key = &intent.key;
        let (account, region, image) = (key.account, &key.region, &key.image);
        let mut read = Self {
            ages: Some(ages),
            ..Self::default()
        };
        if mentions.image {
            let known = workspaces.known_image(account, region, image, ages.image);
            read.image = Some(Ok(known.filter(|report| is_available(report))?));
        }
        if mentions.tags {
            read.tags = Some(Ok(workspaces.known_tags(account, region, image, ages.tags)?));
        }
        Some(read)
    }

    async fn more(
        &mut self,
        mentions: Mentions,
        ages: FactAges,
        workspaces: &WorkSpaces,
        intent: &Intent,
        reader: &Principal,
    ) {
        let key = &intent.key;
        let (account, region, image) = (key.account, &key.region, &key.image);
        let _turn = match Self::cached(mentions, ages, workspaces, intent) {
            Some(_) => None,
            None => Some(workspaces.fact_turn(reader, account, region).await),
        };
        let read_image = async {
            if mentions.image {
                let mut read = workspaces.image(account, region, image, ages.image).await;
                if read.as_deref().is_ok_and(|report| !is_available(report)) {
                    read = workspaces
                        .image(account, region, image, UNAVAILABLE_AGE.min(ages.image))
                        .await;
                }
                self.image = Some(read);
            }
        };
        let read_tags = async {
            if mentions.tags {
                self.tags = Some(workspaces.image_tags(account, region, image, ages.tags).await);
            }
        };
        tokio::join!(read_image, read_tags);
        self.ages = Some(ages);
    }

    fn decide(&self, set: &PolicySet, query: PolicyQuery<'_>) -> PolicyVerdict {
        // The bound of the facts counts all that are recorded.
        let facts = Facts {
            expire_time: query.expire_time,
            ..self.facts()
        };
        let facts = set.used_facts(query.asked(), facts);
        set.decide(PolicyQuery {
            facts: Some(&facts),
            ..query
        })
    }

    fn facts(&self) -> Facts {
        Facts {
            expire_time: None,
            image: self.image.as_ref().and_then(owned).map(ImageAttributes::from),
            tags: self
                .tags
                .as_ref()
                .and_then(|read| Some(read.as_deref().ok()?.0.clone())),
            unknown: reason(self.image.as_ref(), self.tags.as_ref()),
        }
    }

    /// Why a fact is not known now, if AWS may give it later. None if another fact will not be given.
    fn passing_error(&self) -> Option<AwsError> {
        let is_owned = self.image.is_none()
            || self
                .image
                .as_ref()
                .is_some_and(|read| read.is_err() || owned(read).is_some());
        let image = self.image.as_ref().and_then(|read| read.as_ref().err());
        let tags = self.tags.as_ref().and_then(|read| read.as_ref().err());
        let mut errors = image.into_iter().chain(tags);
        match is_owned && errors.clone().all(may_pass) {
            true => errors.next().cloned(),
            false => None,
        }
    }
}

/// True if a later read may give the fact. A refusal stays, except for an image that is not available yet.
fn may_pass(error: &AwsError) -> bool {
    match error.kind {
        AwsErrorKind::Refused(reason) => reason == FailureReason::ImageUnavailable,
        AwsErrorKind::Throttled { .. } | AwsErrorKind::NotSent | AwsErrorKind::Unknown => true,
    }
}

fn timed_out() -> AwsError {
    AwsError {
        kind: AwsErrorKind::Unknown,
        code: Some("Timeout".into()),
        message: None,
    }
}

fn is_available(report: &ReportedImage) -> bool {
    matches!(report, ReportedImage::Owned(image) if image.state == "AVAILABLE")
}

fn owned(read: &Read<ReportedImage>) -> Option<&Image> {
    match read.as_deref() {
        Ok(ReportedImage::Owned(image)) => Some(image),
        _ => None,
    }
}

/// Why a fact that was read is not known.
fn reason(image: Option<&Read<ReportedImage>>, tags: Option<&Read<Tags>>) -> Option<String> {
    match image.map(Result::as_deref) {
        Some(Ok(ReportedImage::OfAnother(_))) => return Some("another account owns it".into()),
        Some(Ok(ReportedImage::NotFound)) => return Some("the account has no such image".into()),
        Some(Err(error)) => return Some(error.words()),
        Some(Ok(ReportedImage::Owned(_))) | None => {}
    }
    match tags {
        Some(Err(error)) => Some(error.words()),
        _ => None,
    }
}
