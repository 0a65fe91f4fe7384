"""Shares an image past the service with boto3, and takes away a share of another account.

Usage: outsider.py <endpoint URL> <account/region/image> <number of recipients> <recipient to take away, or ''> [first recipient]
"""

import sys

import boto3

endpoint, image, count, taken, *first = sys.argv[1:]
_, region, image_id = image.split("/")
workspaces = boto3.client(
    "workspaces",
    endpoint_url=endpoint,
    region_name=region,
    aws_access_key_id="AKIA111122223333",
    aws_secret_access_key="any secret",
)
first = int(first[0]) if first else 600_000_000_000
for recipient in range(first, first + int(count)):
    workspaces.update_workspace_image_permission(
        ImageId=image_id, AllowCopyImage=True, SharedAccountId=f"{recipient:012}"
    )
if taken:
    workspaces.update_workspace_image_permission(ImageId=image_id, AllowCopyImage=False, SharedAccountId=taken)
