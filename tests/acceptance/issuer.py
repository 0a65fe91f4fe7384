"""An issuer of tokens: its keys over https, and one token.

Usage: issuer.py <folder> <certificate> <key>

Writes <folder>/token, for auditor@example.com, as docs/sharewarden.full.toml wants its tokens. Then answers with the keys, and says
where, until it is ended.
"""

import base64
import http.server
import json
import pathlib
import ssl
import sys
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

folder, certificate, key_file = sys.argv[1:]
key = ec.generate_private_key(ec.SECP256R1())


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return value.to_bytes(32, "big")


def token(claims):
    parts = [{"alg": "ES256", "typ": "JWT", "kid": "one"}, claims]
    signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{encoded(number(r) + number(s))}"


now = int(time.time())
claims = {"iss": "https://login.example.com", "aud": "sharewarden", "sub": "auditor@example.com", "iat": now, "exp": now + 600}
pathlib.Path(folder, "token").write_text(token(claims))
public = key.public_key().public_numbers()
jwk = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one"}
jwks = json.dumps({"keys": [{**jwk, "x": encoded(number(public.x)), "y": encoded(number(public.y))}]}).encode()


class Keys(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(jwks)))
        self.end_headers()
        self.wfile.write(jwks)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key_file)
server.socket = tls.wrap_socket(server.socket, server_side=True)
print(f"keys at https://127.0.0.1:{server.server_port}/jwks.json", flush=True)
server.serve_forever()
