//! Faults at AWS. All are active during the whole trial, each with its probability.

use std::collections::BTreeMap;

use sharewarden_simulator::{ApiCall, Effect, Fault, FaultTiming, Simulator, Staleness};

use super::{
    check::UPDATE,
    setup::{ATTEMPT_TIMEOUT, LATE_EFFECT_WINDOW, STALE_FOR},
};

const READ: &str = "DescribeWorkspaceImagePermissions";
const ASSUME: &str = "AssumeRole";

/// Names of the active faults by id.
pub type Names = BTreeMap<u64, String>;

pub fn inject(simulator: &Simulator, seed: u64) -> Names {
    let mut names = Names::new();
    for (at, (operation, name, share, effect)) in list().into_iter().enumerate() {
        let fault = Fault::new(effect)
            .operation(operation)
            .share(share, seed.wrapping_add(at as u64));
        let id = simulator.inject(fault).unwrap();
        names.insert(id, format!("{name} ({operation})"));
    }
    names
}

/// The number of calls that each fault hit.
pub fn counted(calls: &[ApiCall], names: &Names) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for name in calls.iter().filter_map(|call| names.get(&call.fault?)) {
        *counted.entry(name.clone()).or_default() += 1;
    }
    counted
}

fn list() -> Vec<(&'static str, &'static str, f64, Effect)> {
    use FaultTiming::{AfterApplying, BeforeApplying};
    let reset = |moment| Effect::Reset { moment };
    let hang = |moment| Effect::Hang {
        moment,
        at_most_milliseconds: 10_000,
    };
    let late = |moment| Effect::Latency {
        milliseconds: ATTEMPT_TIMEOUT.as_millis() as u64 / 5,
        moment,
    };
    // Within the late-effect window, with a reserve for a busy machine: a later effect is a known gap of AWS.
    let late_effect = Effect::Latency {
        milliseconds: (ATTEMPT_TIMEOUT + LATE_EFFECT_WINDOW / 2).as_millis() as u64,
        moment: BeforeApplying,
    };
    let error = |http_status, moment| Effect::ServerError {
        http_status,
        moment,
        retry_after_seconds: None,
    };
    let throttle = |retry_after_seconds| Effect::Throttle {
        http_status: 400,
        retry_after_seconds,
    };
    let refuse = |code: &str| Effect::Refuse {
        code: code.into(),
        message: "by a fault".into(),
        http_status: 400,
    };
    let stale = Effect::StaleRead {
        behind: Staleness::Milliseconds(STALE_FOR.as_millis() as u64),
    };
    vec![
        (UPDATE, "reset before applying", 0.05, reset(BeforeApplying)),
        (UPDATE, "reset after applying", 0.06, reset(AfterApplying)),
        (UPDATE, "hang before applying", 0.02, hang(BeforeApplying)),
        (UPDATE, "hang after applying", 0.02, hang(AfterApplying)),
        (UPDATE, "throttled", 0.05, throttle(None)),
        (UPDATE, "throttled, retry-after 1 s", 0.01, throttle(Some(1))),
        (UPDATE, "500 before applying", 0.02, error(500, BeforeApplying)),
        (UPDATE, "503 after applying", 0.02, error(503, AfterApplying)),
        (UPDATE, "502 after applying", 0.02, error(502, AfterApplying)),
        (UPDATE, "200 cut short", 0.03, Effect::CutShort),
        (UPDATE, "200 with garbage", 0.03, Effect::Garbage),
        (UPDATE, "late before applying", 0.08, late(BeforeApplying)),
        (UPDATE, "late after applying", 0.08, late(AfterApplying)),
        (UPDATE, "takes effect after its timeout", 0.05, late_effect),
        (UPDATE, "access denied", 0.01, refuse("AccessDeniedException")),
        (UPDATE, "unavailable", 0.02, refuse("ResourceUnavailableException")),
        (READ, "stale", 0.25, stale),
        (READ, "reset", 0.05, reset(AfterApplying)),
        (READ, "hang", 0.01, hang(BeforeApplying)),
        (READ, "throttled", 0.05, throttle(None)),
        (READ, "500", 0.03, error(500, BeforeApplying)),
        (READ, "200 with garbage", 0.03, Effect::Garbage),
        (READ, "200 cut short", 0.03, Effect::CutShort),
        (ASSUME, "reset", 0.05, reset(AfterApplying)),
        (ASSUME, "500", 0.05, error(500, BeforeApplying)),
    ]
}
