#!/usr/bin/env python3
# verify_export.py FILE [ROOT]: recomputes the Merkle root (RFC 6962) of an export that ends where its checkpoint does. ROOT, in hex,
# is one that you know and trust; the checkpoint's Ed25519 signature is for `sharewarden audit verify`, or another tool for notes.
import base64, functools, hashlib, json, sys
def need(holds, wrong):
    return holds or sys.exit(f"account {header['account_id']}, {wrong}")
def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()
lines, hashes = open(sys.argv[1], "rb").read().split(b"\n"), []
header = json.loads(lines[0])
index, widths = header["start_index"], [1 << bit for bit in range(63, -1, -1) if header["start_index"] >> bit & 1]
tree = list(zip(widths, map(base64.b64decode, header["left_hashes"])))  # perfect subtrees, the largest first
for line, value in ((line, json.loads(line)) for line in lines[1:-1]):
    if "leaf_hashes" in value:  # what the store has for the entries since the last such line: it tells which one is wrong
        stored = base64.b64decode(value["leaf_hashes"])
        for at, leaf in enumerate(hashes):
            need(leaf == stored[32 * at:32 * at + 32], f"entry {index - len(hashes) + at}: its text does not match its recorded hash")
        hashes = []
    else:
        need([value["account_id"], value["log_index"]] == [header["account_id"], index], f"entry {index}: another is in its place")
        hashes.append(hashlib.sha256(b"\0" + line).digest())
        tree, index = tree + [(1, hashes[-1])], index + 1
        while len(tree) > 1 and tree[-2][0] == tree[-1][0]:
            tree[-2:] = [(2 * tree[-1][0], node(tree[-2][1], tree[-1][1]))]
origin, size, root = header["checkpoint"].split("\n")[:3]
need(index == header["end_index"] == int(size) > 0, f"entry {index}: it is missing; the checkpoint has {size} entries")
found = functools.reduce(lambda right, left: node(left, right), [subtree for _, subtree in reversed(tree)])
need(found == base64.b64decode(root) and origin.endswith("/" + header["account_id"]), f"the root is not the checkpoint's: {found.hex()}")
need(found.hex() in sys.argv[2:] or not sys.argv[2:], f"the root is not the one you trust: {found.hex()}") and print("OK", size, found.hex())
