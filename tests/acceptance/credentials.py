"""Makes authorities, certificates, an issuer's keys and tokens: valid ones, and one for each kind of invalid credential.

Usage: credentials.py <folder>

Writes PEM files (NAME.pem, NAME.key), jwks.json, and tokens (NAME.token).
"""

import base64
import datetime
import hashlib
import hmac
import json
import pathlib
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER, AUDIENCE = "https://login.example.com", "sharewarden"
WORKLOAD = "spiffe://example.com/ns/build/sa/pipeline"
HOUR = datetime.timedelta(hours=1)


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


class Authority:
    def __init__(self, common_name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(common_name)
        self.certificate = (
            self.builder(self.name, self.key, -HOUR, HOUR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def builder(self, subject, key, start, end):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
        )

    def sign(self, folder, file, usage, names, start=-HOUR, end=HOUR):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self.builder(name(None), key, start, end)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        write_pem(folder / f"{file}.pem", builder.sign(self.key, hashes.SHA256()))
        write_key(folder / f"{file}.key", key)


def write_pem(file, certificate):
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def write_key(file, key):
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def certificates(folder):
    ours, others = Authority("ours"), Authority("another")
    write_pem(folder / "ca.pem", ours.certificate)
    server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
    ours.sign(folder, "server", server, [x509.DNSName("localhost")])
    workload = [x509.UniformResourceIdentifier(WORKLOAD)]
    ours.sign(folder, "workload", client, workload)
    ours.sign(folder, "bad-expired", client, workload, start=-2 * HOUR, end=-HOUR)
    ours.sign(folder, "bad-not-yet", client, workload, start=HOUR, end=2 * HOUR)
    others.sign(folder, "bad-authority", client, workload)
    ours.sign(folder, "bad-usage", server, workload)
    ours.sign(folder, "bad-nameless", client, [])


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def tokens(folder):
    key, stranger = (ECKey.generate_key("P-256", {"kid": "one", "use": "sig"}) for _ in range(2))
    (folder / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))

    def token(file, header=None, key=key, **others):
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 900, "sub": "pipeline@example.com"}
        claims |= others
        text = jwt.encode({"alg": "ES256", "kid": "one"} | (header or {}), claims, key)
        (folder / f"{file}.token").write_text(text + "\n")
        return text

    good = token("pipeline")
    token("auditor", sub="auditor@example.com")
    token("nobody", sub="nobody@example.com")
    token("bad-expired", exp=int(time.time()) - 60)
    token("bad-not-yet", nbf=int(time.time()) + 600)
    token("bad-audience", aud="another")
    token("bad-issuer", iss="https://login.example.org")
    token("bad-kid", header={"kid": "two"})
    token("bad-signature", key=stranger)
    token("bad-nameless", sub="")
    claims = good.split(".")[1]
    none = encoded(json.dumps({"alg": "none", "kid": "one"}).encode())
    (folder / "bad-none.token").write_text(f"{none}.{claims}.")
    # The public key as the secret of an HMAC.
    public = key.as_pem(private=False)
    head = encoded(json.dumps({"alg": "HS256", "kid": "one"}).encode())
    signature = hmac.new(public, f"{head}.{claims}".encode(), hashlib.sha256).digest()
    (folder / "bad-hmac.token").write_text(f"{head}.{claims}.{encoded(signature)}")


def main():
    folder = pathlib.Path(sys.argv[1])
    certificates(folder)
    tokens(folder)


if __name__ == "__main__":
    main()
