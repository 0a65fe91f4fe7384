//! Every RPC of the server, in one table: its name in metrics and traces, what it is to the policy, and which limit it counts
//! against. An RPC of ours that is not in the table is refused, and a test fails.

use crate::{
    edge::limits::Limit::{self, Auxiliary, Calls, Streams},
    policy::roles::Privilege::{self, Export, Grant, Prove, Read, Revoke},
};

/// What is known of an RPC.
#[derive(Debug)]
pub(super) struct Rpc {
    /// Its name as OpenTelemetry writes it (`rpc.method`).
    pub(super) name: &'static str,
    /// What a caller must be allowed to do. None for the RPCs that are open to everyone, and for unknown ones.
    pub(super) operation: Option<Privilege>,
    /// Which limit it counts against. None: it is answered whatever else is under way.
    pub(super) limit: Option<Limit>,
}

/// Each service with its methods: what a caller must be allowed to do, and the limit.
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
        GetChange: Some(Read), Some(Calls);
        ListChanges: Some(Read), Some(Calls);
        ListImages: Some(Read), Some(Calls);
    }
    "sharewarden.v1.AuditService" {
        ListAuditEntries: Some(Read), Some(Calls);
        GetAuditEntry: Some(Read), Some(Calls);
        ListPermissionHistory: Some(Read), Some(Calls);
        GetSharePermissionsAt: Some(Read), Some(Calls);
        SummarizeAuditEntries: Some(Read), Some(Calls);
        WatchAuditEntries: Some(Read), Some(Streams);
        ExportAuditEntries: Some(Export), Some(Streams);
        GetCheckpoint: Some(Prove), Some(Calls);
        AddCheckpointSignatures: Some(Prove), Some(Calls);
        GetInclusionProof: Some(Prove), Some(Calls);
        GetConsistencyProof: Some(Prove), Some(Calls);
    }
    "grpc.health.v1.Health" {
        Check: None, None;
        Watch: None, Some(Auxiliary);
    }
    "grpc.reflection.v1.ServerReflection" { ServerReflectionInfo: None, Some(Auxiliary); }
    "grpc.reflection.v1alpha.ServerReflection" { ServerReflectionInfo: None, Some(Auxiliary); }
};

/// The names of our services begin so.
const OURS: &str = "sharewarden.";

/// An RPC of ours that does not exist. It costs what a call costs, and then is refused.
const UNKNOWN_OF_OURS: Rpc = Rpc {
    limit: Some(Calls),
    ..UNKNOWN
};

/// Any other name. Metrics do not repeat it: a caller cannot make labels.
const UNKNOWN: Rpc = Rpc {
    name: "_OTHER",
    operation: None,
    limit: None,
};

impl Rpc {
    /// The RPC that a path leads to.
    pub(super) fn at(path: &str) -> &'static Self {
        let name = path.strip_prefix('/').unwrap_or_default();
        match RPCS.iter().find(|rpc| rpc.name == name) {
            Some(rpc) => rpc,
            None if name.starts_with(OURS) => &UNKNOWN_OF_OURS,
            None => &UNKNOWN,
        }
    }

    /// True for a call of one of our services, false for health, reflection and what nobody offers.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.limit, Some(Calls | Streams))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_reflect::DescriptorPool;

    use super::*;

    /// The methods of all services that the server offers, by name, and whether they answer with a stream.
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
    fn what_is_ours_needs_a_role_and_streams_have_limits_of_their_own() {
        for (name, is_stream) in described() {
            let rpc = Rpc::at(&format!("/{name}"));
            let is_ours = name.starts_with(OURS);
            assert_eq!((rpc.name, rpc.is_ours()), (name.as_str(), is_ours));
            assert_eq!(rpc.operation.is_some(), is_ours, "{name}");
            let expected = match (is_ours, is_stream) {
                (true, true) => Some(Streams),
                (true, false) => Some(Calls),
                (false, true) => Some(Auxiliary),
                (false, false) => None,
            };
            assert_eq!(rpc.limit, expected, "{name}");
        }
    }

    #[test]
    fn an_unknown_rpc_has_no_operation_and_makes_no_label() {
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
