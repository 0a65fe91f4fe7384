//! The table of all RPCs of the server: the name in metrics and traces, the privilege that the policy requires, and the
//! concurrency limit. An RPC of this API that is not in the table is refused, and a test fails.

use crate::{
    edge::limits::Limit::{self, Calls, Checks, Reflections, Streams, Watches},
    policy::roles::Privilege::{self, Decide, Export, Grant, Own, Prove, Read, Revoke},
};

/// A row of the table.
#[derive(Debug)]
pub(super) struct Rpc {
    /// The value of OpenTelemetry's `rpc.method`.
    pub(super) name: &'static str,
    /// The privilege that a caller needs. None for RPCs that are open to everyone, and for unknown ones.
    pub(super) operation: Option<Privilege>,
    /// The concurrency limit that it counts against. None: unlimited.
    pub(super) limit: Option<Limit>,
}

/// Each service with its methods: the privilege that a caller needs, and the limit.
macro_rules! rpcs {
    ($($service:literal { $($method:ident: $operation:expr, $limit:expr;)* })*) => {
        &[$($(Rpc {
            name: concat!($service, "/", stringify!($method)),
            operation: $operation,
            limit: $limit,
        },)*)*]
    };
}

const RPCS: &[Rpc] = rpcs! {
    "sharewarden.v1.SharePermissionService" {
        GrantSharePermission: Some(Grant), Some(Calls);
        RevokeSharePermission: Some(Revoke), Some(Calls);
        GetSharePermission: Some(Read), Some(Calls);
        ListSharePermissions: Some(Read), Some(Calls);
        GetChange: Some(Own), Some(Calls);
        ListChanges: Some(Own), Some(Calls);
        ListImages: Some(Read), Some(Calls);
        ExplainPolicy: Some(Own), Some(Calls);
    }
    "sharewarden.v1.AuditService" {
        ListAuditEntries: Some(Own), Some(Calls);
        GetAuditEntry: Some(Read), Some(Calls);
        ListPermissionHistory: Some(Read), Some(Calls);
        GetSharePermissionsAt: Some(Read), Some(Calls);
        SummarizeAuditEntries: Some(Read), Some(Calls);
        WatchAuditEntries: Some(Read), Some(Streams);
        ExportAuditEntries: Some(Export), Some(Streams);
        GetPolicySet: Some(Export), Some(Calls);
        GetCheckpoint: Some(Prove), Some(Calls);
        AddCheckpointSignatures: Some(Prove), Some(Calls);
        GetInclusionProof: Some(Prove), Some(Calls);
        GetConsistencyProof: Some(Prove), Some(Calls);
    }
    "sharewarden.v1.AccessService" {
        GetCallerIdentity: Some(Own), Some(Calls);
        ListAccounts: Some(Own), Some(Calls);
    }
    "sharewarden.v1.DriftService" {
        ScanNow: Some(Read), Some(Calls);
        ListDriftScans: Some(Read), Some(Calls);
        ListDriftFindings: Some(Read), Some(Calls);
        GetDriftFinding: Some(Read), Some(Calls);
        GetDriftBaseline: Some(Read), Some(Calls);
        ConfirmDriftBaseline: Some(Decide), Some(Calls);
        WithdrawDriftBaseline: Some(Decide), Some(Calls);
    }
    "grpc.health.v1.Health" {
        Check: None, Some(Checks);
        Watch: None, Some(Watches);
    }
    "grpc.reflection.v1.ServerReflection" { ServerReflectionInfo: None, Some(Reflections); }
    "grpc.reflection.v1alpha.ServerReflection" { ServerReflectionInfo: None, Some(Reflections); }
};

/// The prefix of the names of this API's services.
const OURS: &str = "sharewarden.";

/// An RPC under this API's prefix that does not exist. Admission refuses it.
const UNKNOWN_OF_OURS: Rpc = Rpc {
    limit: Some(Calls),
    ..UNKNOWN
};

/// Any other name. Metrics do not repeat it, so that callers cannot create label values.
const UNKNOWN: Rpc = Rpc {
    name: "_OTHER",
    operation: None,
    limit: None,
};

impl Rpc {
    /// The RPC of a request path.
    pub(super) fn at(path: &str) -> &'static Self {
        let name = path.strip_prefix('/').unwrap_or_default();
        match RPCS.iter().find(|rpc| rpc.name == name) {
            Some(rpc) => rpc,
            None if name.starts_with(OURS) => &UNKNOWN_OF_OURS,
            None => &UNKNOWN,
        }
    }

    /// True for RPCs of this API. False for health, reflection and unknown services.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.limit, Some(Calls | Streams))
    }

    /// The privilege that admission requires, and the limit that it applies.
    pub(super) fn admission(&self) -> Option<(Privilege, Limit)> {
        self.operation.zip(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_reflect::DescriptorPool;

    use super::*;

    /// The methods of all services of the server: the name, and whether the response is a stream.
    fn described() -> BTreeMap<String, bool> {
        let mut pool = DescriptorPool::new();
        for set in [
            crate::proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(set).unwrap();
        }
        let methods = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>());
        methods
            .map(|method| {
                let name = format!("{}/{}", method.parent_service().full_name(), method.name());
                (name, method.is_server_streaming())
            })
            .collect()
    }

    #[test]
    fn every_rpc_of_the_descriptors_is_in_the_table_once_and_nothing_else_is() {
        let described = described();
        assert!(described.len() >= 22, "the descriptors were read");
        let mut names: Vec<_> = RPCS.iter().map(|rpc| rpc.name).collect();
        names.sort_unstable();
        assert_eq!(names, described.keys().collect::<Vec<_>>());
    }

    #[test]
    fn rpcs_of_this_api_need_a_privilege_and_streams_have_their_own_limits() {
        for (name, is_stream) in described() {
            let rpc = Rpc::at(&format!("/{name}"));
            let is_ours = name.starts_with(OURS);
            assert_eq!((rpc.name, rpc.is_ours()), (name.as_str(), is_ours));
            assert_eq!(rpc.operation.is_some(), is_ours, "{name}");
            let expected = match (is_ours, is_stream) {
                (true, true) => Some(Streams),
                (true, false) => Some(Calls),
                (false, true) if name.ends_with("/Watch") => Some(Watches),
                (false, true) => Some(Reflections),
                (false, false) => Some(Checks),
            };
            assert_eq!(rpc.limit, expected, "{name}");
        }
    }

    #[test]
    fn an_unknown_rpc_has_no_privilege_and_creates_no_label_value() {
        for (path, is_ours) in [
            ("", false),
            ("/", false),
            ("sharewarden", false),
            ("/grpc.health.v1.Health/NoSuchMethod", false),
            ("/sharewarden.v1.AuditService/NoSuchMethod", true),
        ] {
            let rpc = Rpc::at(path);
            assert_eq!(
                (rpc.name, rpc.operation, rpc.is_ours()),
                ("_OTHER", None, is_ours),
                "{path:?}"
            );
        }
    }
}
