"""Shares an image from the command line.

Usage: share.py <account/region/image> <recipient> <reason>

The server and the credentials come from the environment variables of the program `sharewarden`.
"""

import sys

from sharewarden import Client, Error
from sharewarden.v1 import Change, GrantSharePermissionRequest


def main() -> None:
    """Grants, and prints the change."""
    match sys.argv[1:]:
        case [share, recipient, reason] if share.count("/") == 2:
            account_id, region, image_id = share.split("/")
        case _:
            sys.exit(__doc__)
    request = GrantSharePermissionRequest(
        account_id=account_id, region=region, image_id=image_id, shared_account_id=recipient, reason=reason
    )
    try:
        with Client.from_environment() as client:
            change = client.grant(request).change
    except Error as error:
        sys.exit(str(error))
    print(change.change_id, Change.State.Name(change.state), change.principal)


if __name__ == "__main__":
    main()
