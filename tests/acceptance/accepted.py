"""Checks the answer to a grant or a revoke, in proto3 JSON on standard input.

Usage: accepted.py <recipient> <SHARED or NOT_SHARED>

Prints one line for the comparison with the ledger: action, recipient, change id, AWS request id.
"""

import json
import sys


def check(found, expected, what):
    if found != expected:
        sys.exit(f"FAILED: {what}: expected {expected!r}, found {found!r} in {json.dumps(answer, indent=2)}")


recipient, access = sys.argv[1:]
answer = json.load(sys.stdin)
permission, change = answer["permission"], answer["change"]
check(permission["sharedAccountId"], recipient, "the permission's recipient")
check(permission["state"], f"STATE_{access}", "the permission's state")
check(change["sharedAccountId"], recipient, "the change's recipient")
check(change["state"], "STATE_SUCCEEDED", "the change's state")
check("warning" in answer, access == "NOT_SHARED", "a warning comes with revokes only")
check(bool(change.get("awsRequestId")), True, "there is an AWS request id")
check(change["awsRequestId"], change["attempts"][-1].get("awsRequestId"), "the AWS request id is the last call's")
print(change["action"].removeprefix("ACTION_"), recipient, change["changeId"], change["awsRequestId"])
