"""Makes an image in a running moto_server, with its prerequisites, and prints it as account/region/image.

Usage: moto_image.py <endpoint URL> <region>
"""

import sys

import boto3

endpoint, region = sys.argv[1:]


def client(service):
    return boto3.client(service, endpoint_url=endpoint, region_name=region)


ec2 = client("ec2")
vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
subnets = [
    ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{region}{zone}")["Subnet"]["SubnetId"]
    for n, zone in enumerate("ab")
]
directory = client("ds").create_directory(
    Name="example.test",
    Password="Not-a-secret-0",
    Size="Small",
    VpcSettings={"VpcId": vpc, "SubnetIds": subnets},
)["DirectoryId"]
workspaces = client("workspaces")
workspaces.register_workspace_directory(DirectoryId=directory, EnableSelfService=False)
made = workspaces.create_workspaces(
    Workspaces=[{"DirectoryId": directory, "UserName": "someone", "BundleId": "wsb-0123456789"}]
)
if made["FailedRequests"]:
    sys.exit(f"FAILED: moto created no WorkSpace: {made['FailedRequests']}")
workspace = made["PendingRequests"][0]["WorkspaceId"]
image = workspaces.create_workspace_image(Name="acceptance", Description="acceptance test", WorkspaceId=workspace)
print(image["OwnerAccountId"], region, image["ImageId"], sep="/")
