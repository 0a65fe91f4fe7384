"""A client of sharewarden: the generated types, and calls that are retried safely.

`Client.grant` and `Client.revoke` give the request an id and retry with the same id until the outcome is known. They
wait for a pending change, and have one outcome: an answer (AWS accepted the change, and the ledger records this),
`Failed`, or `Unresolved` with the request id to repeat. `Client.call` makes any other call. `AsyncClient` is the same
for asyncio. The generated types are in `sharewarden.v1`. The logger `sharewarden` tells of each retry at level INFO.
"""

from ._aio import AsyncClient
from ._client import Client
from ._errors import CallError, Error, Failed, FieldViolation, OptionError, Status, Unreachable, Unresolved

__all__ = [
    "AsyncClient",
    "CallError",
    "Client",
    "Error",
    "Failed",
    "FieldViolation",
    "OptionError",
    "Status",
    "Unreachable",
    "Unresolved",
]
