"""Checks the recipients of an image with boto3.

Usage: shared_with.py <endpoint URL> <access key> <account/region/image> [recipient...]
"""

import sys

import boto3

endpoint, access_key, image, *expected = sys.argv[1:]
_, region, image_id = image.split("/")
workspaces = boto3.client(
    "workspaces",
    endpoint_url=endpoint,
    region_name=region,
    aws_access_key_id=access_key,
    aws_secret_access_key="any secret",
)
found, token = [], {}
while token is not None:
    page = workspaces.describe_workspace_image_permissions(ImageId=image_id, **token)
    found += [permission["SharedAccountId"] for permission in page["ImagePermissions"]]
    token = {"NextToken": page["NextToken"]} if page.get("NextToken") else None
if sorted(found) != sorted(expected):
    sys.exit(f"FAILED: {endpoint} shares {image} with {sorted(found)}, expected {sorted(expected)}")
