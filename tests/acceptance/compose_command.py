"""Prints the command of a container of docker/compose.yaml: assignments for `env`, then the arguments of the program, each ended
by a zero byte.

Usage: compose_command.py <service> [<what to replace> <with what>]...

Without a command of its own a service runs the image's CMD; `health` is the image's health check.
"""

import json
import pathlib
import re
import sys

import yaml

docker = pathlib.Path(__file__).resolve().parents[2] / "docker"
dockerfile = (docker / "Dockerfile").read_text()
services = yaml.safe_load((docker / "compose.yaml").read_text())["services"]


name, *replaced = sys.argv[1:]
if name == "health":
    check = re.search(r"^HEALTHCHECK .*\\\n *CMD (\[.*\])$", dockerfile, re.MULTILINE)[1]
    service, arguments = services["sharewarden"], json.loads(check)[1:]
else:
    service = services[name]
    arguments = service.get("command") or json.loads(re.search(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)[1])
words = [f"{key}={value}" for key, value in service.get("environment", {}).items()]
words.append("PROGRAM")
words += arguments
for old, new in zip(replaced[::2], replaced[1::2]):
    words = [word.replace(old, new) for word in words]
sys.stdout.write("".join(f"{word}\0" for word in words))
