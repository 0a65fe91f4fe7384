"""Compares output with what a document shows, without the values that differ from run to run."""

import difflib
import re

from transcript import ANY

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Each kind of value, by name. A value of a kind in LEARNED is the same thing wherever a document repeats it.
VALUES = re.compile(
    "|".join(
        f"(?P<{name}>{pattern})"
        for name, pattern in {
            "key": r"[\w.-]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}",
            "signer": r"[\w.-]+\+[0-9a-f]{8}\b",
            "cut": r"\b[0-9a-f]{8}-[0-9a-f-]+…[0-9a-f]{4}\b",  # an id in a narrow column
            "id": UUID,
            "time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| UTC|[+-]\d\d(?::\d\d)?)?",
            "date": r"\b\d{4}-\d\d-\d\d\b",
            "clock": r"\b\d\d:\d\d:\d\d(?:\.\d+)?Z?",
            "temporary": r"/tmp/[\w./-]+|%2F(?:tmp|home)[\w.%-]+",
            "signature": r"— [\w.-]+ [A-Za-z0-9+/=]{40,}",
            "hash": r"\b[0-9a-f]{32,}\b|(?<![\w+/])[A-Za-z0-9+/]{43}=",
            "port": r"(?<=127\.0\.0\.1:)\d{4,5}\b",
            "duration": r"\b\d+(?:\.\d+)? ?(?:ns|us|µs|ms|s|min|h|seconds?|minutes?)\b(?: \d+ ?(?:ns|us|µs|ms|s|min)\b)*",
        }.items()
    )
)
LEARNED = {"key", "signer", "id", "hash"}


def normal(line):
    """The line with a word in the place of each value that differs, and one space in the place of more."""
    return re.sub(r"  +|--+", " ", VALUES.sub(lambda value: f"<{value.lastgroup}>", line)).rstrip()


def trimmed(lines):
    """Without empty lines at the end."""
    lines = [line.rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def pairs(shown, printed):
    """Which shown line is which printed line, or None if they differ."""
    shown, printed = trimmed(shown), trimmed(printed)
    want, got = [normal(line) for line in shown], [normal(line) for line in printed]
    # Backwards: whether the rest matches from (i, j) on.
    rest = [[False] * (len(got) + 1) for _ in range(len(want) + 1)]
    rest[len(want)][len(got)] = True
    for i in reversed(range(len(want))):
        for j in reversed(range(len(got) + 1)):
            if want[i] == ANY:
                rest[i][j] = rest[i + 1][j] or (j < len(got) and rest[i][j + 1])
            else:
                rest[i][j] = j < len(got) and want[i] == got[j] and rest[i + 1][j + 1]
    if not rest[0][0]:
        return None
    found, i, j = [], 0, 0
    while i < len(want):
        if want[i] != ANY:
            found.append((shown[i], printed[j]))
            i, j = i + 1, j + 1
        elif rest[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def learned(matched):
    """The printed value for each value of the document, from pairs of lines."""
    values = {}
    for shown, printed in matched:
        for ours, theirs in zip(VALUES.finditer(shown), VALUES.finditer(printed)):
            if ours.lastgroup in LEARNED:
                values[ours[0]] = theirs[0]
    return values


def difference(shown, printed):
    """The lines that differ, as a text."""
    shown, printed = trimmed(shown), trimmed(printed)
    want, got = [normal(line) for line in shown], [normal(line) for line in printed]
    text = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, want, got, autojunk=False).get_opcodes():
        if tag == "equal":
            text += [f"    {line}" for line in printed[c:d]]
        else:
            text += [f"  - {line}" for line in shown[a:b]] + [f"  + {line}" for line in printed[c:d]]
    return "\n".join(text)


def rewritten(shown, printed):
    """What the document should show: the printed lines. Lines that differ in values only stay, and a single `…` leaves out what
    it left out before."""
    printed = trimmed(printed)
    if shown.count(ANY) == 1:
        head, tail = shown.index(ANY), len(shown) - shown.index(ANY) - 1
        if head + tail < len(printed):
            return kept(shown[:head], printed[:head]) + [ANY] + kept(shown[head + 1 :], printed[len(printed) - tail :])
    return kept(shown, printed)


def kept(shown, printed):
    """The printed lines, with the shown ones where they are the same."""
    want, got = [normal(line) for line in shown], [normal(line) for line in printed]
    lines = list(printed)
    for a, b, size in difflib.SequenceMatcher(None, want, got, autojunk=False).get_matching_blocks():
        lines[b : b + size] = shown[a : a + size]
    return lines
