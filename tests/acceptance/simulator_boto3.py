"""Shares an image on a running simulator with boto3, as any user of AWS would.

Usage: simulator_boto3.py <endpoint URL>

The simulator must hold its sample accounts and images. Everything the script changes it changes back, so it can be run
again. Exits non-zero, saying why, if the simulator does not behave as AWS does.
"""

import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

OWNER, RECIPIENT, STRANGER = "111122223333", "210987654321", "000011112222"
REGION, IMAGE, PENDING = "eu-central-1", "wsi-basewin11", "wsi-pending01"


def client(service, access_key, secret="any secret", token=None):
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=sys.argv[1],
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"max_attempts": 1, "mode": "standard"}, connect_timeout=5, read_timeout=20),
    )


def check(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: expected {expected!r}, found {found!r}")
    print(f"ok: {what}")


def check_refused(code, what, call, **members):
    try:
        call(**members)
    except ClientError as error:
        check(error.response["Error"]["Code"], code, what)
    else:
        sys.exit(f"{what}: expected {code}, but it was accepted")


def permissions(workspaces, image):
    answer = workspaces.describe_workspace_image_permissions(ImageId=image)
    return [permission["SharedAccountId"] for permission in answer["ImagePermissions"]]


def shared_images(workspaces):
    answer = workspaces.describe_workspace_images(ImageType="SHARED")
    return [image["ImageId"] for image in answer["Images"]]


def check_sharing(owner, recipient, who):
    def share(allow):
        answer = owner.update_workspace_image_permission(
            ImageId=IMAGE, SharedAccountId=RECIPIENT, AllowCopyImage=allow
        )
        check(len(answer["ResponseMetadata"]["RequestId"]), 36, f"{who}: the answer has a request id")

    share(True)
    check(permissions(owner, IMAGE), [RECIPIENT], f"{who}: the share is there")
    check(shared_images(recipient), [IMAGE], f"{who}: the recipient sees the image")
    kept = f"{who}: a shared image is not deleted"
    check_refused("ResourceAssociatedException", kept, owner.delete_workspace_image, ImageId=IMAGE)
    share(False)
    check(permissions(owner, IMAGE), [], f"{who}: the share is gone")
    check(shared_images(recipient), [], f"{who}: the recipient sees the image no longer")


def check_refusals(owner):
    update = owner.update_workspace_image_permission
    to = {"SharedAccountId": RECIPIENT, "AllowCopyImage": True}
    check_refused("ResourceNotFoundException", "an unknown image", update, ImageId="wsi-nosuch000", **to)
    check_refused("ResourceUnavailableException", "a pending image", update, ImageId=PENDING, **to)
    check_refused("ValidationException", "a malformed image id", update, ImageId="x" + IMAGE, **to)
    owned = [image["ImageId"] for image in owner.describe_workspace_images()["Images"]]
    check(IMAGE in owned and PENDING in owned, True, "the owner's images")
    check_refused(
        "UnrecognizedClientException",
        "an unknown access key",
        client("workspaces", "AKIA999988887777").describe_workspace_images,
    )


def check_tags(owner):
    """Reads tags as Cloud Custodian does: it asks GetResources for the ARNs of the images that it found."""
    arn = f"arn:aws:workspaces:{REGION}:{OWNER}:workspaceimage/{IMAGE}"
    tagging = client("resourcegroupstaggingapi", f"AKIA{OWNER}")
    tags = [{"Key": "stage", "Value": "released"}, {"Key": "team", "Value": "desktop"}]
    expected = [{"ResourceARN": arn, "Tags": tags}]
    owner.create_tags(ResourceId=IMAGE, Tags=tags[1:])
    check(owner.describe_tags(ResourceId=IMAGE)["TagList"], expected[0]["Tags"], "the tags of an image")
    found = tagging.get_resources(ResourceARNList=[arn, arn.replace(IMAGE, PENDING)])["ResourceTagMappingList"]
    check(found, expected, "the tags of images by ARN")
    pages = tagging.get_paginator("get_resources").paginate(
        ResourceTypeFilters=["workspaces:workspaceimage"], TagFilters=[{"Key": "team", "Values": ["desktop"]}]
    )
    check([item for page in pages for item in page["ResourceTagMappingList"]], expected, "the tagged images")
    owner.delete_tags(ResourceId=IMAGE, TagKeys=["team"])
    check(owner.describe_tags(ResourceId=IMAGE)["TagList"], tags[:1], "a deleted tag is gone")
    listed = [item["ResourceARN"] for item in tagging.get_resources()["ResourceTagMappingList"]]
    check(arn.replace(IMAGE, PENDING) in listed, False, "images without tags are not listed")


def check_trail(who, session, started):
    """Finds the last calls of the session in CloudTrail, which may take some seconds to have them."""
    cloudtrail = client("cloudtrail", f"AKIA{OWNER}")
    lookup = {
        "LookupAttributes": [{"AttributeKey": "Username", "AttributeValue": session}],
        "StartTime": started,
        "PaginationConfig": {"PageSize": 1},
    }

    def records():
        pages = cloudtrail.get_paginator("lookup_events").paginate(**lookup)
        events = []
        for page in pages:
            events += [json.loads(event["CloudTrailEvent"]) for event in page["Events"]]
            time.sleep(0.6)  # two lookups a second
        return events

    found = []
    for _ in range(30):
        found = records()
        if len(found) == 2:
            break
    made = [
        {"imageId": IMAGE, "allowCopyImage": allow, "sharedAccountId": RECIPIENT} for allow in (False, True)
    ]
    check([record["requestParameters"] for record in found], made, "the events of the session, the newest first")
    check({record["userIdentity"]["arn"] for record in found}, {who}, "the events name the caller")
    check_refused(
        "ThrottlingException", "too many lookups in a second", lambda: [cloudtrail.lookup_events() for _ in range(50)]
    )


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    owner, recipient = client("workspaces", f"AKIA{OWNER}"), client("workspaces", f"AKIA{RECIPIENT}")
    check_sharing(owner, recipient, "by the owner's own key")
    check_refusals(owner)

    started = int(time.time())
    sts = client("sts", f"AKIA{STRANGER}")
    check(sts.get_caller_identity()["Account"], STRANGER, "the caller's identity keeps its leading zeros")
    role = sts.assume_role(RoleArn=f"arn:aws:iam::{OWNER}:role/ImageSharing", RoleSessionName="boto3")["Credentials"]
    session = (role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"])
    check(client("sts", *session).get_caller_identity()["Account"], OWNER, "the assumed role's account")
    check_sharing(client("workspaces", *session), recipient, "by an assumed role")
    check_tags(owner)
    check_trail(f"arn:aws:sts::{OWNER}:assumed-role/ImageSharing/boto3", "boto3", started)


if __name__ == "__main__":
    main()
