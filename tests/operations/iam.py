"""Checks that the policies in deploy/iam allow exactly the calls in the code."""

import json
import re
import tomllib

import names
from botocore.session import Session

FOLDER = names.ROOT / "deploy/iam"
SETTINGS = names.ROOT / "deploy/kubernetes/example/settings/sharewarden.toml"

problems = []


def statements(name):
    policy = json.loads((FOLDER / f"{name}.json").read_text())
    if policy["Version"] != "2012-10-17":
        problems.append(f"{name}: Version must be 2012-10-17")
    return policy["Statement"]


def listed(value):
    return [value] if isinstance(value, str) else value


def actions(name):
    return sorted(action for statement in statements(name) for action in listed(statement["Action"]))


def camel_case(method):
    return "".join(word.capitalize() for word in method.split("_"))


# Finds the SDK operations: methods of a client, followed by send.
called, looked_up = set(), set()
for path in (names.ROOT / "src/workspaces").rglob("*.rs"):
    text = path.read_text()
    called |= {camel_case(method) for method in re.findall(r"\.(\w+_workspace_image\w*|describe_tags)\(\)", text)}
    looked_up |= {camel_case(method) for method in re.findall(r"\.(lookup_\w+)\(\)", text)}
known = set(Session().get_service_model("workspaces").operation_names)
if not called <= known:
    problems.append(f"AWS has no operation {called - known}")
if not looked_up <= set(Session().get_service_model("cloudtrail").operation_names):
    problems.append(f"CloudTrail has no operation {looked_up}")
wanted = [f"workspaces:{operation}" for operation in called] + [f"cloudtrail:{operation}" for operation in looked_up]
wanted.sort()
if actions("account-role.policy") != wanted:
    problems.append(f"account-role.policy allows {actions('account-role.policy')}, but the code calls {wanted}")

for name, action in {
    "service-role.policy": "sts:AssumeRole",
    "account-role.trust": "sts:AssumeRole",
    "service-role.trust": "sts:AssumeRoleWithWebIdentity",
    "no-other-way.scp": "workspaces:UpdateWorkspaceImagePermission",
}.items():
    if actions(name) != [action]:
        problems.append(f"{name} must be about {action} only")

# The service's role may assume exactly the roles in the example configuration.
accounts = tomllib.loads(SETTINGS.read_text())["accounts"]
roles = sorted(account["role_arn"] for account in accounts)
if sorted(listed(statements("service-role.policy")[0]["Resource"])) != roles:
    problems.append(f"service-role.policy has other roles than the example configuration: {roles}")
for statement in statements("account-role.policy"):
    for resource in listed(statement["Resource"]):
        if resource == "*" and "aws:RequestedRegion" in json.dumps(statement.get("Condition", {})):
            continue
        if not re.fullmatch(r"arn:aws:workspaces:[a-z0-9-]+:\d{12}:workspaceimage/\*", resource):
            problems.append(f"account-role.policy: {resource} is not the images of an account and Region")

allowed = sorted(called | looked_up)
print(f"{len(allowed)} operations are called and allowed: {', '.join(allowed)}")
names.fail(problems)
