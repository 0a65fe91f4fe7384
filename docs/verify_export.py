#!/usr/bin/env python3
"""verify_export.py FILE [ROOT]: verifies the export of a ledger, with Python 3.8 or later and nothing else. ROOT is the Merkle root
(RFC 6962) that you trust, in hex. Signatures are not verified here: use `sharewarden audit verify`, or a tool for signed notes (C2SP)."""
import base64, hashlib, json, re, sys  # The patterns below allow exactly one text for each line.
ACCOUNT, NUMBER, HASH = "([0-9]{12})", "(0|[1-9][0-9]{0,15})", "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
HASHES, NOTE = rf'\[((?:"{HASH}"(?:,"{HASH}")*)?)\]', r'("(?:[^"\\\ud800-\udfff]|\\["\\n])*")'
HEADER = (rf'{{"format":"sharewarden\.export\.v[12]","account_id":"{ACCOUNT}","start_index":{NUMBER},"end_index":{NUMBER},'
          rf'"checkpoint":{NOTE},"left_hashes":{HASHES},"consistency_proof":{HASHES}}}\n')
CHECKPOINT = rf"(.+)/{ACCOUNT}\n{NUMBER}\n({HASH})\n(?:.+\n)*\n(?:— .+\n)*— \1 .+\n(?:— .+\n)*"
TIME = "([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z)"
MEMBERS = ["account_id", "body", "kind", "log_index", "recorded_at", "schema", "server_version"]
ENTRY = (rf'{{"account_id":"{ACCOUNT}","body":{{.*}},"kind":"(?=[^"]{{1,64}}")[a-z][a-z_]*(?:[.][a-z][a-z_]*)+","log_index":{NUMBER},'
         rf'"recorded_at":"{TIME}","schema":[1-9][0-9]{{0,8}},"server_version":"(?:[^"\\]|\\.)*"}}\n')
LEAF_HASHES = rf'{{"leaf_hashes":"((?:[A-Za-z0-9+/]{{4}})*(?:[A-Za-z0-9+/]{{2}}[A-Za-z0-9+/=]=)?)","end_index":{NUMBER}}}\n'
POLICY_SET = r'{"policy_set":"([0-9a-f]{64})","text":("(?:[^"\\\ud800-\udfff]|\\.)*")}\n'
MAX_LINE = 1 << 26  # 64 Mi characters, far longer than any line of an export
decode = json.JSONDecoder(parse_int=lambda text: int(text) if len(text) < 18 and abs(int(text)) < 2**53 else text, parse_float=str, parse_constant=str).decode
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode

def is_within_limits(value, depth=64):  # objects and arrays are nested at most 64 deep; names are ASCII without escapes
    names = value if isinstance(value, dict) else ()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is None or depth > 0 and all(re.fullmatch(r'[ !#-\[\]-\x7f]*', name) for name in names) and all(
        is_within_limits(each, depth - 1) for each in inner)
def is_canonical(line):  # RFC 8785. A number that is not whole and below 2^53 is decoded as a value with another text.
    try:
        value = decode(line.encode().decode())
        return list(value) == MEMBERS and is_within_limits(value) and encode(value) + "\n" == line
    except (RecursionError, TypeError, ValueError):
        return False
def need(holds, wrong, place=""):
    return holds or sys.exit(f"account {account}{place}: {wrong}")
def policy_set_of(entry):  # the digest of the policy set that a decision names, in an entry of any kind
    decision = entry["body"].get("decision")
    name = decision.get("policy_set") if isinstance(decision, dict) else None
    return name if isinstance(name, str) and re.fullmatch("[0-9a-f]{64}", name) else None
def root(low, high):  # The root over these entries. `proven` becomes the consistency proof (RFC 6962, section 2.1.2).
    if high <= start: return left.pop(0)
    if low >= end: return need(proof[len(proven):], "the consistency proof is too short")[0]
    if high == low + 1: return leaves[low - start]
    half = low + (1 << (high - low - 1).bit_length() - 1)
    older = root(low, half)
    if half == end and low > 0: proven.append(older)
    newer = root(half, high)
    if low < end < high: proven.append(newer if end <= half else older)
    return hashlib.sha256(b"\1" + older + newer).digest()

file = open(sys.argv[1], encoding="utf-8", errors="surrogateescape", newline="\n")
header = re.fullmatch(HEADER, file.readline(MAX_LINE)) or sys.exit("not an export of a ledger: its first line is not a header")
account, start, end, note = header[1], int(header[2]), int(header[3]), re.fullmatch(CHECKPOINT, json.loads(header[4]))
left, proof = ([base64.b64decode(text) for text in re.findall(HASH, header[member])] for member in (5, 6))
need(note and note[2] == account, "the checkpoint cannot be trusted: it is not a signed note of this ledger")
size, leaves, proven, entry, named = int(note[3]), [], [], [""] * 4, set()
need(start <= end <= size and len(left) == bin(start).count("1"), f"{start} to {end} is no range of {size} entries, or its hashes do not fit")
for index in range(start, end):
    line, place, before = file.readline(MAX_LINE), f", entry {index}", entry
    entry = need(is_canonical(line) and re.fullmatch(ENTRY, line), "it is missing, or is not the canonical text of an entry", place)
    need([entry[1], entry[2]] == [account, str(index)], "another entry is in its place", place)
    need(before[3] <= entry[3], "it says that it was recorded before the entry in front of it", place)
    named.add(policy_set_of(decode(line)))
    leaves.append(hashlib.sha256(b"\0" + line[:-1].encode()).digest())
    if (index + 1) % 256 == 0 or index + 1 == end:  # A line of recorded hashes is due. It shows which entry is wrong.
        recent = leaves[-(index % 256) - 1:]
        hashes = need(re.fullmatch(LEAF_HASHES, file.readline(MAX_LINE)), "the line of recorded hashes that should follow it is missing", place)
        stored = base64.b64decode(hashes[1])
        exact = [len(stored), base64.b64encode(stored).decode(), int(hashes[2])] == [32 * len(recent), hashes[1], index + 1]
        need(exact, "the line of recorded hashes that should follow it does not fit", place)
        for at, leaf in enumerate(recent):
            need(leaf == stored[32 * at:32 * at + 32], "its text does not match its recorded hash", f", entry {index + 1 - len(recent) + at}")
last, line = "", file.readline(MAX_LINE)
while line:  # The second version of the format has the texts of the policy sets that entries name, in the order of their digests.
    policy_set = '"sharewarden.export.v2"' in header[0][:40] and re.fullmatch(POLICY_SET, line)
    exact = policy_set and json.loads(policy_set[2])
    need(policy_set and encode(exact) == policy_set[2], "it is not a part of the export, and no line may follow", f", entry {end}")
    need(last < policy_set[1], f"policy set {policy_set[1]}: it is repeated, or out of order")
    need(hashlib.sha256(exact.encode()).hexdigest() == policy_set[1], f"policy set {policy_set[1]}: its text does not match its digest: one of them was changed")
    need(policy_set[1] in named, f"policy set {policy_set[1]}: no entry names it")
    named.remove(policy_set[1])
    last, line = policy_set[1], file.readline(MAX_LINE)
need(start < end, "the export has no entries: nothing was verified")
found = root(0, size)
need(found == base64.b64decode(note[4]) and proven == proof, f"the root is not the checkpoint's: {found.hex()}")
need(sys.argv[2:] in ([], [found.hex()]), f"the root is not the one you trust: {found.hex()}")
trust = "which you trust" if sys.argv[2:] else "whose signature is not verified: compare it with a root that you trust"
named.discard(None)
texts = f"; the texts of {len(named)} policy sets are not in it" if named else ""
print(f"OK entries {start} to {end - 1} of account {account} match the checkpoint of {size} entries with root {found.hex()}, {trust}{texts}")
