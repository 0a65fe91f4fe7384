"""Reads documents: their commands, the output that they show, and the directives that say how to play them.

A command is a line in a `console` block that begins with `$ `. It goes on after a `\\` at its end, and in lines that begin
with `> `. The other lines are its output. `…` stands for any lines. `^C` and `^\\` are keys, pressed when the lines before them
were printed. A block without a command is the further output of its terminal.

Directives are HTML comments, `<!-- play: … -->`, one or more lines:

    dev                   a service runs from here on, and the reader exports what it says; `dev with drift` has a share that
                          was made past the service
    exports NAME          the reader exports what the screen of this terminal says
    run COMMAND           runs a command that the reader does not see; an export is for all terminals
    replace TEXT => TEXT  plays the second text where later commands have the first
    file NAME             the next block is the content of this file
    skip REASON           the next block is not played
    terminal NAME         the next block is played in another terminal
    stays                 the last command of the next block does not end
    exit NUMBER           the last command of the next block ends with this exit code
    answer TEXT => TEXT   when the screen ends with the first text, types the second one and the Enter key
    only NUMBER           the next block is only for terminals of this width
"""

import dataclasses
import re

DIRECTIVES = {"dev", "exports", "run", "replace", "file", "skip", "terminal", "stays", "exit", "answer", "only"}
# Those that act where they are. The others belong to the next block.
IMMEDIATE = {"dev", "exports", "run", "replace"}
KEYS = {"^C": b"\x03", "^\\": b"\x1c"}
ANY = "…"


class DocumentError(Exception):
    """A document that cannot be played."""


@dataclasses.dataclass
class Step:
    """A command and the output that the document shows. Lines are counted from 0."""

    command: str
    line: int
    shown: list = dataclasses.field(default_factory=list)

    def output_lines(self):
        """Where the output is in the document: the first line, and the line after the last."""
        first = self.line + len(self.command.splitlines()) if self.command else self.line
        return first, first + len(self.shown)


@dataclasses.dataclass
class Block:
    """A fenced block, with the directives before it: their arguments, by name."""

    language: str
    line: int
    lines: list
    directives: dict

    def steps(self):
        """The commands of a `console` block."""
        steps = []
        goes_on = False
        for number, text in enumerate(self.lines, self.line + 1):
            if text.startswith("$ "):
                steps.append(Step(text[2:], number))
            elif goes_on or (steps and not steps[-1].shown and text.startswith("> ")):
                steps[-1].command += "\n" + text.removeprefix("> ")
            else:
                if not steps:
                    steps.append(Step("", number))
                steps[-1].shown.append(text)
                continue
            goes_on = text.endswith("\\")
        return steps


@dataclasses.dataclass
class Directive:
    """A directive that acts where it is."""

    name: str
    argument: str
    line: int


def read(text):
    """The blocks and the immediate directives of a document, in order."""
    parts, pending, fence, comment = [], {}, None, None
    for number, line in enumerate(text.splitlines()):
        if fence:
            if line.strip() == "```":
                fence, _ = None, parts.append(fence)
            else:
                fence.lines.append(line)
        elif line.startswith("```"):
            fence, pending = Block(line[3:].strip(), number, [], pending), {}
        elif comment is not None or line.startswith("<!-- play:"):
            body = line.removeprefix("<!-- play:").removesuffix("-->").strip()
            comment = None if line.endswith("-->") else number
            if body:
                take(directive(body, number), parts, pending)
    if pending:
        raise DocumentError(f"no block follows the directive {next(iter(pending))}")
    return parts


def is_played(text):
    """Whether a document has anything to play."""
    return "```console" in text or "<!-- play:" in text


def directive(text, number):
    """The directive of one line."""
    name, _, argument = text.partition(" ")
    if name not in DIRECTIVES:
        raise DocumentError(f"line {number + 1}: there is no directive {name}")
    if name in ("exports", "file", "skip", "run", "terminal", "exit", "only") and not argument:
        raise DocumentError(f"line {number + 1}: the directive {name} needs an argument")
    if name in ("replace", "answer") and " =>" not in argument:
        raise DocumentError(f"line {number + 1}: the directive {name} needs two texts with => between them")
    return Directive(name, argument, number)


def take(found, parts, pending):
    """Puts a directive where it belongs."""
    if found.name in IMMEDIATE:
        parts.append(found)
    elif found.name == "answer":
        pending.setdefault("answer", []).append(two_texts(found.argument))
    else:
        pending[found.name] = found.argument


def two_texts(argument):
    """The texts on both sides of `=>`; the second may be empty."""
    first, _, second = argument.partition(" =>")
    return first, second.removeprefix(" ")


def inline_commands(text):
    """The pieces of inline code that are commands of sharewarden, with the numbers of their lines."""
    outside = re.sub(r"^```.*?^```", lambda fenced: re.sub(r"[^\n]", "", fenced[0]), text, flags=re.M | re.S)
    for code in re.finditer(r"`(sharewarden [^`]+)`", outside):
        yield outside.count("\n", 0, code.start()) + 1, " ".join(code[1].split())
