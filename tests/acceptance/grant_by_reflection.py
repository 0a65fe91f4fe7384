"""Grants with a client without generated code: it gets the API from the service's reflection.

Usage: grant_by_reflection.py <server URL> <account/region/image> <recipient>

Then looks at the service's health and at how it refuses a request. Prints the answer to the grant as JSON.
"""

import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

SERVICE = "sharewarden.v1.SharePermissionService"
DEADLINE_SECONDS = 30


def check(found, expected, what):
    if found != expected:
        sys.exit(f"FAILED: {what}: expected {expected!r}, found {found!r}")
    print(f"ok: {what}", file=sys.stderr)


class Client:
    """Calls any method of the service, with messages made from its descriptors."""

    def __init__(self, channel, metadata=(("x-sharewarden-principal", "acceptance"),)):
        database = ProtoReflectionDescriptorDatabase(channel)
        check(SERVICE in database.get_services(), True, f"reflection lists {SERVICE}")
        self.service = descriptor_pool.DescriptorPool(database).FindServiceByName(SERVICE)
        self.channel, self.metadata = channel, list(metadata)

    def call(self, method, **fields):
        method = self.service.methods_by_name[method]
        request = message_factory.GetMessageClass(method.input_type)(**fields)
        call = self.channel.unary_unary(
            f"/{SERVICE}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        return call(request, timeout=DEADLINE_SECONDS, metadata=self.metadata)


def check_health(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_SECONDS)
        check(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status), "SERVING", f"the health of '{service}'")


def check_refusal(client):
    try:
        client.call("GrantSharePermission", account_id="1", region="EU", image_id="image", shared_account_id="2")
    except grpc.RpcError as error:
        check(error.code(), grpc.StatusCode.INVALID_ARGUMENT, "an invalid request's code")
        details = rpc_status.from_call(error).details
    else:
        sys.exit("FAILED: an invalid request was accepted")
    bad, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    check([any(d.Unpack(kind) for d in details) for kind in (bad, info)], [True, True], "its details")
    fields = sorted({violation.field for violation in bad.field_violations})
    check(fields, ["account_id", "image_id", "reason", "region", "shared_account_id"], "all its field violations")
    check(info.reason, "INVALID_FIELDS", "its reason")


def main():
    server, image, recipient = sys.argv[1:]
    account, region, image_id = image.split("/")
    with grpc.insecure_channel(server.removeprefix("http://")) as channel:
        client = Client(channel)
        answer = client.call(
            "GrantSharePermission",
            account_id=account,
            region=region,
            image_id=image_id,
            shared_account_id=recipient,
            reason="acceptance test",
        )
        check_health(channel)
        check_refusal(client)
    print(json_format.MessageToJson(answer))


if __name__ == "__main__":
    main()
