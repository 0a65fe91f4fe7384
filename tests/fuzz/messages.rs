//! The methods of all services, from the descriptors, and messages for them. Most messages are plausible, so that they get
//! past the parser. The name of a field decides its value, so a new RPC needs no change here.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use sharewarden_testkit::stack::{ACCOUNT, IMAGE, OTHER_ACCOUNT, OTHER_RECIPIENT, PENDING_IMAGE, RECIPIENT, REGION};

use crate::seed::{bytes, one_of, percent};

/// The maximum depth of nested messages.
const DEEPEST: usize = 4;
/// The maximum number of texts to keep for each field of an answer.
const KEPT: usize = 32;

/// Every method of every service.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    let sets = [
        sharewarden::proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let pools = sets.map(|set| DescriptorPool::decode(set).unwrap());
    let services = pools.iter().flat_map(DescriptorPool::services);
    services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

/// The path of a method in HTTP/2.
pub(crate) fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Generates messages. It reuses the ids and tokens of earlier answers.
#[derive(Default)]
pub(crate) struct MessageGenerator {
    seen: HashMap<String, Vec<String>>,
}

impl MessageGenerator {
    /// A message of this type.
    pub(crate) fn message(&self, rng: &mut fastrand::Rng, of: &MessageDescriptor) -> DynamicMessage {
        self.message_at(rng, of, 0)
    }

    fn message_at(&self, rng: &mut fastrand::Rng, of: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        if of.full_name() == "google.protobuf.Timestamp" {
            let seconds = one_of(
                rng,
                &[0, 1_700_000_000, 4_000_000_000, i64::MAX, i64::MIN, -1, 253_402_300_800],
            );
            message.set_field_by_name("seconds", Value::I64(seconds));
            message.set_field_by_name("nanos", Value::I32(one_of(rng, &[0, 0, 0, 999_999_999, i32::MAX, -1])));
            return message;
        }
        for field in of.fields() {
            // Most optional fields are left out: all filters together match nothing.
            let is_needed = ["account_id", "region", "image_id", "shared_account_id", "reason"].contains(&field.name());
            if percent(rng, if is_needed { 95 } else { 40 }) {
                message.set_field(&field, self.value(rng, &field, depth));
            }
        }
        message
    }

    fn value(&self, rng: &mut fastrand::Rng, field: &FieldDescriptor, depth: usize) -> Value {
        if field.is_map() {
            return Value::Map(HashMap::new());
        }
        if field.is_list() {
            let length = one_of(rng, &[0, 1, 1, 2, 3, 40]);
            return Value::List((0..length).map(|_| self.single(rng, field, depth)).collect());
        }
        self.single(rng, field, depth)
    }

    fn single(&self, rng: &mut fastrand::Rng, field: &FieldDescriptor, depth: usize) -> Value {
        match field.kind() {
            Kind::String => Value::String(self.text(rng, field.name())),
            Kind::Bytes => Value::Bytes(bytes(rng, 100).into()),
            Kind::Bool => Value::Bool(percent(rng, 20)),
            Kind::Enum(of) => {
                let numbers: Vec<_> = of.values().map(|value| value.number()).collect();
                Value::EnumNumber(if percent(rng, 90) {
                    one_of(rng, &numbers)
                } else {
                    rng.i32(..)
                })
            }
            Kind::Message(of) if depth < DEEPEST => Value::Message(self.message_at(rng, &of, depth + 1)),
            Kind::Message(of) => Value::Message(DynamicMessage::new(of)),
            Kind::Double => Value::F64(f64::from_bits(rng.u64(..))),
            Kind::Float => Value::F32(f32::from_bits(rng.u32(..))),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                Value::I32(one_of(rng, &[0, 1, 10, 1000, 1001, -1, i32::MAX, i32::MIN]))
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                Value::I64(one_of(rng, &[0, 1, 10, 1000, -1, i64::MAX, i64::MIN]))
            }
            Kind::Uint32 | Kind::Fixed32 => Value::U32(one_of(rng, &[0, 1, 10, 1000, u32::MAX])),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(one_of(
                rng,
                &[
                    0,
                    1,
                    2,
                    3,
                    10,
                    255,
                    256,
                    1 << 53,
                    i64::MAX as u64,
                    i64::MAX as u64 + 1,
                    u64::MAX,
                ],
            )),
        }
    }

    fn text(&self, rng: &mut fastrand::Rng, field: &str) -> String {
        if percent(rng, 3) {
            return strange(rng);
        }
        let seen = self.seen.get(field).map(Vec::as_slice).unwrap_or_default();
        if !seen.is_empty() && percent(rng, 50) {
            return seen[rng.usize(..seen.len())].clone();
        }
        match field {
            "account_id" | "account_ids" => one_of(rng, &[ACCOUNT, ACCOUNT, OTHER_ACCOUNT, RECIPIENT]).into(),
            "shared_account_id" if percent(rng, 60) => format!("2000000000{:02}", rng.u32(..20)),
            "shared_account_id" => one_of(rng, &[RECIPIENT, OTHER_RECIPIENT]).into(),
            "region" | "regions" => one_of(rng, &[REGION, REGION, REGION, "us-east-1", "xx-none-1"]).into(),
            "image_id" => one_of(rng, &[IMAGE, IMAGE, IMAGE, IMAGE, PENDING_IMAGE, "wsi-nosuch000"]).into(),
            "request_id" | "change_id" => uuid::Uuid::from_u128(rng.u128(..)).to_string(),
            "reason" | "ticket" => one_of(rng, &["a test", "a test", "a test", "é", "\u{2028}"]).into(),
            "service" | "file_containing_symbol" => one_of(rng, &["", "sharewarden.v1.AuditService"]).into(),
            _ => strange(rng),
        }
    }

    /// Keeps the texts of an answer under the names of their fields.
    pub(crate) fn learn(&mut self, answer: &DynamicMessage) {
        for (field, value) in answer.fields() {
            self.learn_value(field.name(), value);
        }
    }

    fn learn_value(&mut self, field: &str, value: &Value) {
        match value {
            Value::String(text) if !text.is_empty() && text.len() < 4096 => {
                let field = field.strip_prefix("next_").unwrap_or(field);
                let kept = self.seen.entry(field.to_owned()).or_default();
                if kept.len() == KEPT {
                    kept.remove(0);
                }
                kept.push(text.clone());
            }
            Value::Message(message) => self.learn(message),
            Value::List(values) => values.iter().for_each(|value| self.learn_value(field, value)),
            _ => {}
        }
    }
}

/// A text that no caller would send.
pub(crate) fn strange(rng: &mut fastrand::Rng) -> String {
    match rng.u32(..8) {
        0 => String::new(),
        1 => "x".repeat(rng.usize(..70_000)),
        2 => "\0".into(),
        3 => "'; DROP TABLE audit_entry; --".into(),
        4 => "\u{202e}\u{feff}\u{10ffff}\n\r\t".into(),
        5 => "%s%n{}$(id)../../etc/passwd".into(),
        6 => (0..rng.usize(..60)).map(|_| rng.char(..)).collect(),
        _ => (0..rng.usize(..60)).map(|_| rng.alphanumeric()).collect(),
    }
}
