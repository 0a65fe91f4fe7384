"""Clients with certificates and with tokens grant, and every invalid credential is refused.

Usage: secured_clients.py <port> <folder of credentials.py> <account/region/image> <recipient> <recipient>

Prints one line for each grant: PRINCIPAL CHANGE.
"""

import pathlib
import sys

import grpc

from grant_by_reflection import Client, check

UNAUTHENTICATED, UNAVAILABLE = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE


class Secured:
    def __init__(self, port, folder, image):
        self.target, self.folder, self.image = f"localhost:{port}", folder, image

    def channel(self, certificate=None):
        read = lambda file: (self.folder / file).read_bytes()
        own = (read(f"{certificate}.key"), read(f"{certificate}.pem")) if certificate else (None, None)
        return grpc.secure_channel(self.target, grpc.ssl_channel_credentials(read("ca.pem"), *own))

    def metadata(self, token):
        if token is None:
            return []
        return [("authorization", "Bearer " + (self.folder / f"{token}.token").read_text().strip())]

    def grant(self, recipient, certificate=None, token=None, metadata=()):
        account, region, image = self.image.split("/")
        with self.channel(certificate) as channel:
            # Reflection needs no credential, if the connection can be made at all.
            client = Client(channel, [*self.metadata(token), *metadata])
            return client.call(
                "GrantSharePermission",
                account_id=account,
                region=region,
                image_id=image,
                shared_account_id=recipient,
                reason="acceptance test",
            )

    def refused(self, **credentials):
        try:
            self.grant("999999999999", **credentials)
        except grpc.RpcError as error:
            return error
        sys.exit(f"FAILED: granted with {credentials}")


def main():
    port, folder, image, by_certificate, by_token = sys.argv[1:]
    secured = Secured(port, pathlib.Path(folder), image)
    for answer in (
        secured.grant(by_certificate, certificate="workload"),
        secured.grant(by_token, token="pipeline"),
    ):
        print(answer.change.principal, answer.change.change_id)

    for certificate in ("bad-expired", "bad-not-yet", "bad-authority", "bad-usage"):
        check(secured.refused(certificate=certificate).code(), UNAVAILABLE, f"no connection with {certificate}")
    told = {}
    for token in sorted(file.stem for file in secured.folder.glob("bad-*.token")):
        error = secured.refused(token=token)
        check(error.code(), UNAUTHENTICATED, f"no call with the token {token}")
        told[token] = error.details()
    for what, credentials in {
        "a certificate that names nobody": {"certificate": "bad-nameless"},
        "no credential": {},
        "a name alone": {"metadata": [("x-sharewarden-principal", "root")]},
        "a certificate and a token of two principals": {"certificate": "workload", "token": "pipeline"},
        "a good certificate and a bad token": {"certificate": "workload", "token": "bad-expired"},
    }.items():
        error = secured.refused(**credentials)
        check(error.code(), UNAUTHENTICATED, f"no call with {what}")
        told[what] = error.details()
    check(len(told) >= 14, True, "all of them were tried")
    check(len(set(told.values())), 1, "all of them are told the same")
    for token in ("nobody", "auditor"):
        check(secured.refused(token=token).code(), grpc.StatusCode.PERMISSION_DENIED, f"no grant by {token}")


if __name__ == "__main__":
    main()
