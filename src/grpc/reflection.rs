//! Server reflection (`grpc.reflection.v1` and `v1alpha`): describes the services of the port to tools such as grpcurl.
//!
//! `tonic-reflection` has the messages. Its service ends the stream at an unknown symbol; by the protocol that is an
//! `error_response`, and the stream goes on.

use std::pin::Pin;

use prost_reflect::{DescriptorPool, FileDescriptor};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming, async_trait};

use crate::proto;

const READABLE: &str = "the descriptors are compiled in, and a test reads them";

/// The descriptors of this API, of health and reflection, and of the error details.
#[derive(Debug, Clone)]
pub(super) struct Reflection(DescriptorPool);

impl Reflection {
    pub(super) fn new() -> Self {
        let mut pool = DescriptorPool::new();
        for set in [
            proto::FILE_DESCRIPTOR_SET,
            tonic_types::pb::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(set).expect(READABLE);
        }
        Self(pool)
    }

    fn services(&self) -> impl Iterator<Item = String> {
        self.0.services().map(|service| service.full_name().to_owned())
    }

    fn file(&self, name: &str) -> Result<Vec<u8>, Status> {
        let file = self.0.get_file_by_name(name);
        encoded(file, || format!("there is no file {name:?}"))
    }

    fn file_of_symbol(&self, symbol: &str) -> Result<Vec<u8>, Status> {
        let pool = &self.0;
        let file = (pool.get_message_by_name(symbol).map(|it| it.parent_file()))
            .or_else(|| pool.get_service_by_name(symbol).map(|it| it.parent_file()))
            .or_else(|| pool.get_enum_by_name(symbol).map(|it| it.parent_file()))
            .or_else(|| pool.get_extension_by_name(symbol).map(|it| it.parent_file()))
            .or_else(|| self.file_of_member(symbol));
        encoded(file, || format!("there is no symbol {symbol:?}"))
    }

    /// The file of a method, a field, a oneof or a value of an enum.
    fn file_of_member(&self, symbol: &str) -> Option<FileDescriptor> {
        let (parent, name) = symbol.rsplit_once('.')?;
        if let Some(service) = self.0.get_service_by_name(parent) {
            return service
                .methods()
                .any(|it| it.name() == name)
                .then(|| service.parent_file());
        }
        if let Some(message) = self.0.get_message_by_name(parent) {
            let is_member = message.get_field_by_name(name).is_some() || message.oneofs().any(|it| it.name() == name);
            if is_member {
                return Some(message.parent_file());
            }
        }
        // The values of an enum stand beside the enum.
        let mut enums = self.0.all_enums();
        let holder = enums.find(|it| it.values().any(|value| value.full_name() == symbol));
        holder.map(|it| it.parent_file())
    }

    fn file_of_extension(&self, message: &str, number: i32) -> Result<Vec<u8>, Status> {
        let number = u32::try_from(number).unwrap_or_default();
        let extension = (self.0.get_message_by_name(message)).and_then(|it| it.get_extension(number));
        encoded(extension.map(|it| it.parent_file()), || {
            format!("there is no extension {number} of {message:?}")
        })
    }

    fn extension_numbers(&self, message: &str) -> Result<Vec<i32>, Status> {
        let found = self.0.get_message_by_name(message);
        let message = found.ok_or_else(|| Status::not_found(format!("there is no message {message:?}")))?;
        Ok(message
            .extensions()
            .filter_map(|it| i32::try_from(it.number()).ok())
            .collect())
    }
}

fn encoded(file: Option<FileDescriptor>, missing: impl FnOnce() -> String) -> Result<Vec<u8>, Status> {
    file.map(|file| file.encode_to_vec())
        .ok_or_else(|| Status::not_found(missing()))
}

/// Implements one version of the protocol. The versions have the same messages in different packages.
macro_rules! serve {
    ($version:ident) => {
        pub(super) mod $version {
            use tonic_reflection::pb::$version::{
                server_reflection_request::MessageRequest as Question,
                server_reflection_response::MessageResponse as Answer, *,
            };
            pub(in crate::grpc) use tonic_reflection::server::$version::{ServerReflection, ServerReflectionServer};

            use super::{Code, Pin, Reflection, Request, Response, Status, Stream, StreamExt, Streaming, async_trait};

            #[async_trait]
            impl ServerReflection for Reflection {
                type ServerReflectionInfoStream =
                    Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let reflection = self.clone();
                    let answers = request.into_inner().map(move |request| match request {
                        Ok(request) => Ok(respond(&reflection, request)),
                        // An unreadable message is an error of the caller.
                        Err(status) if status.code() == Code::Internal => {
                            Err(Status::invalid_argument(status.message()))
                        }
                        Err(status) => Err(status),
                    });
                    Ok(Response::new(Box::pin(answers)))
                }
            }

            fn respond(reflection: &Reflection, request: ServerReflectionRequest) -> ServerReflectionResponse {
                let answer = answer(reflection, request.message_request.as_ref()).unwrap_or_else(|status| {
                    Answer::ErrorResponse(ErrorResponse {
                        error_code: status.code() as i32,
                        error_message: status.message().to_owned(),
                    })
                });
                ServerReflectionResponse {
                    valid_host: request.host.clone(),
                    original_request: Some(request),
                    message_response: Some(answer),
                }
            }

            fn answer(reflection: &Reflection, question: Option<&Question>) -> Result<Answer, Status> {
                let files = |file| {
                    Answer::FileDescriptorResponse(FileDescriptorResponse {
                        file_descriptor_proto: vec![file],
                    })
                };
                match question {
                    None => Err(Status::new(Code::InvalidArgument, "message_request is missing")),
                    Some(Question::FileByFilename(name)) => reflection.file(name).map(files),
                    Some(Question::FileContainingSymbol(symbol)) => reflection.file_of_symbol(symbol).map(files),
                    Some(Question::FileContainingExtension(extension)) => reflection
                        .file_of_extension(&extension.containing_type, extension.extension_number)
                        .map(files),
                    Some(Question::AllExtensionNumbersOfType(message)) => {
                        Ok(Answer::AllExtensionNumbersResponse(ExtensionNumberResponse {
                            base_type_name: message.clone(),
                            extension_number: reflection.extension_numbers(message)?,
                        }))
                    }
                    Some(Question::ListServices(_)) => Ok(Answer::ListServicesResponse(ListServiceResponse {
                        service: reflection
                            .services()
                            .map(|name| ServiceResponse { name })
                            .collect(),
                    })),
                }
            }
        }
    };
}

serve!(v1);
serve!(v1alpha);
