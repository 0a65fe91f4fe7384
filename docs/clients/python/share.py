"""Shares an image, and waits until the result is known: a client with grpcio.

Usage: share.py <host:port> <account/region/image> <recipient> <reason>

Credentials come from the environment. SHAREWARDEN_TLS_CA: a PEM file; use TLS and trust this authority.
SHAREWARDEN_TLS_CERTIFICATE and SHAREWARDEN_TLS_KEY: PEM files of the client certificate. SHAREWARDEN_TOKEN_FILE: a file with
the bearer token. SHAREWARDEN_PRINCIPAL: a name for a service on this machine that accepts trusted headers.
"""

import os
import pathlib
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sharewarden.v1 import share_permission_pb2, share_permission_service_pb2, share_permission_service_pb2_grpc

PATIENCE_SECONDS = 30  # the deadline of one call; an accepted change continues after it
TRIES = 5


def main():
    server, image, recipient, reason = sys.argv[1:]
    account_id, region, image_id = image.split("/")
    request = share_permission_service_pb2.GrantSharePermissionRequest(
        account_id=account_id,
        region=region,
        image_id=image_id,
        shared_account_id=recipient,
        reason=reason,
        # The same id for all tries: the request acts once, no matter how often it is sent.
        request_id=str(uuid.uuid4()),
    )
    with connect(server) as channel:
        stub = share_permission_service_pb2_grpc.SharePermissionServiceStub(channel)
        change = send(stub.GrantSharePermission, request).change
        state = share_permission_pb2.Change.State.Name(change.state)
        print(f"{change.change_id} {state} {change.principal}")


def connect(server):
    authority = read("SHAREWARDEN_TLS_CA")
    if authority is None:
        return grpc.insecure_channel(server)
    return grpc.secure_channel(
        server,
        grpc.ssl_channel_credentials(authority, read("SHAREWARDEN_TLS_KEY"), read("SHAREWARDEN_TLS_CERTIFICATE")),
    )


def read(variable):
    file = os.environ.get(variable)
    return pathlib.Path(file).read_bytes() if file else None


def who_calls():
    token, principal = read("SHAREWARDEN_TOKEN_FILE"), os.environ.get("SHAREWARDEN_PRINCIPAL")
    if token:
        return [("authorization", f"Bearer {token.decode().strip()}")]
    return [("x-sharewarden-principal", principal)] if principal else []


def send(call, request):
    """Repeats a request until its result is known."""
    for tried in range(1, TRIES + 1):
        try:
            return call(request, timeout=PATIENCE_SECONDS, metadata=who_calls())
        except grpc.RpcError as error:
            wait = seconds_to_wait(error, tried)
            if wait is None or tried == TRIES:
                sys.exit(f"{reason_of(error)}: {error.details()}")
            time.sleep(wait)


def seconds_to_wait(error, tried):
    """Seconds until the same request may be sent again. None: a retry is useless."""
    metadata = dict(error.trailing_metadata() or ())
    if "grpc-retry-pushback-ms" in metadata:
        milliseconds = int(metadata["grpc-retry-pushback-ms"])
        return milliseconds / 1000 if milliseconds >= 0 else None
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return 0  # accepted or unconfirmed: the same request finds out
    if error.code() == grpc.StatusCode.UNAVAILABLE:
        return 0.2 * 2**tried
    return None


def reason_of(error):
    """The reason from the service, or the status code if there is none."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else []:
        if detail.Unpack(info):
            return info.reason
    return error.code().name


if __name__ == "__main__":
    main()
