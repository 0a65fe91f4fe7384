"""Plays one document on terminals of one width, as a reader who has a clone of the repository and the program."""

import ctypes
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

from normal import difference, learned, pairs, trimmed
from terminal import Late, Terminal
from transcript import KEYS, DocumentError, Step, read, two_texts

SECONDS = 90  # for each command: the documents show nothing slower
READY = "Ctrl-C stops"  # the last line of `sharewarden dev`
READER = "/home/ann"
PORTS = {"7443": "--listen", "7480": "--simulator-listen", "9464": "--admin-listen"}

# `sharewarden` as the reader has it, except that `dev` has ports and data of this session. It makes no share past the service
# unless the document says so: such a share comes into the history after half a minute.
PROGRAM = """\
[ "$1" = dev ] || exec -a sharewarden {program} "$@"
shift
data='--data-dir {home}/.local/share/sharewarden-dev'
for argument; do [ "$argument" != --ephemeral ] || data=; done
drift=--no-drift
[ -z "$PLAY_WITH_DRIFT" ] || drift=
exec -a sharewarden {program} dev {listen} $data $drift "$@"
"""


@dataclasses.dataclass
class Outcome:
    """What came of a document on one width."""

    document: str
    columns: int
    played: int = 0
    skipped: list = dataclasses.field(default_factory=list)
    problems: list = dataclasses.field(default_factory=list)
    printed: list = dataclasses.field(default_factory=list)


class Session:
    """The machine of the reader: a folder, ports, terminals, and the values that the documents' values stand for."""

    def __init__(self, repository, program, columns):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="play."))
        self.folder.chmod(0o755)  # root's Postgres runs as another user
        self.repository, self.program, self.columns = repository, program, columns
        self.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        self.home = self.folder / "ann"
        self.clone = self.home / "sharewarden"
        self.terminals, self.hidden = {}, []
        self.values, self.replacements, self.exports = {}, [], []
        self.make_home()

    def make_home(self):
        """A home with a clone, whose files are those of the repository, and the program."""
        (self.folder / "tmp").mkdir()
        (self.home / "bin").mkdir(parents=True)
        (self.folder / "tmp").chmod(0o1777)
        self.clone.mkdir()
        listed = subprocess.run(["git", "ls-files"], cwd=self.repository, check=True, capture_output=True, text=True)
        for name in {name.split("/")[0] for name in listed.stdout.splitlines()}:
            (self.clone / name).symlink_to(self.repository / name)
        self.tool("id", '[ "$*" = -un ] && echo ann || exec /usr/bin/id "$@"')
        if self.program:
            listen = " ".join(f"{option} 127.0.0.1:{self.ports[port]}" for port, option in PORTS.items())
            self.tool("sharewarden", PROGRAM.format(program=self.program, home=self.home, listen=listen))
            (self.home / "bin/share-image").symlink_to(self.program.parent / "share-image")

    def tool(self, name, script):
        """A program of the reader."""
        path = self.home / "bin" / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def environment(self):
        """No setting of this machine, and the service of this session as the default."""
        kept = {name: os.environ[name] for name in ("CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
        return kept | {
            "PATH": f"{self.home}/bin:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(self.folder / "tmp"),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "TZ": "UTC",
            "PAGER": "cat",
            "PIP_REQUIRE_VIRTUALENV": "1",  # a document does not change this machine
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "SHAREWARDEN_SERVER": f"http://127.0.0.1:{self.ports['7443']}",
        }

    def terminal(self, name):
        """The terminal of this name; a new one at first."""
        if name not in self.terminals:
            self.terminals[name] = Terminal(self.columns, self.environment(), self.clone)
            for command in self.exports:
                self.run(self.terminals[name], command)
        return self.terminals[name]

    def command(self, text):
        """The command of a document, with the values and the ports of this session."""
        for old, new in self.replacements:
            text = text.replace(old, new)
        for shown, printed in self.values.items():
            text = text.replace(shown, printed)
        text = text.replace(READER, str(self.home)).replace(READER.replace("/", "%2F"), str(self.home).replace("/", "%2F"))
        for port, own in self.ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{own}").replace(f"localhost:{port}", f"localhost:{own}")
        return text

    def text(self, line):
        """A printed line as the reader would see it."""
        for port, own in self.ports.items():
            line = line.replace(f"127.0.0.1:{own}", f"127.0.0.1:{port}")
        line = line.replace(str(self.program), "sharewarden").replace(str(self.folder / "tmp"), "/tmp")
        line = line.replace(str(self.home), READER).replace(str(self.home).replace("/", "%2F"), READER.replace("/", "%2F"))
        return line

    def printed(self, terminal):
        """What is on the terminal's screen, as the reader would see it."""
        return trimmed(self.text(line) for line in terminal.screen.lines()[terminal.seen :])

    def run(self, terminal, command):
        """Runs a command that the document does not show."""
        terminal.start(self.command(command))
        if terminal.wait(SECONDS) != 0:
            raise DocumentError(f"this hidden command failed: {command}\n" + "\n".join(self.printed(terminal)))

    def export(self, command):
        """Exports variables in all terminals."""
        for terminal in self.terminals.values():
            if not terminal.is_busy:
                self.run(terminal, command)
        self.exports.append(command)

    def start_dev(self, has_drift):
        """Starts a service that the document presumes, and exports what it tells its reader to, and the settings of psql."""
        dev = Terminal(self.columns, self.environment(), self.clone)
        self.hidden.append(dev)
        dev.start(f"{'PLAY_WITH_DRIFT=yes ' if has_drift else ''}sharewarden dev --ephemeral")
        if dev.wait(SECONDS, lambda screen: any(READY in line for line in screen.lines())) is not None:
            raise DocumentError("dev has ended:\n" + "\n".join(self.printed(dev)))
        told = self.exports_of(dev)
        database = urllib.parse.urlsplit(re.search(r"postgres://[^ ']*", told)[0])
        socket_folder = urllib.parse.parse_qs(database.query)["host"][0]
        self.export(f"export PGHOST={socket_folder} PGUSER={database.username} PGDATABASE={database.path[1:]}")

    def exports_of(self, service):
        """Exports what `sharewarden dev` tells its reader to. Returns its text."""
        told = "\n".join(service.screen.lines())
        self.export("; ".join(re.findall(r"^ *(export .*)", told, re.M)))
        return told

    def close(self):
        """Ends everything. Returns what was left over."""
        for terminal in [*self.terminals.values(), *self.hidden]:
            terminal.close()
        left = [f"this process was left: {name}" for name in end_descendants()]
        left += [f"this file was left: /tmp/{path.name}" for path in (self.folder / "tmp").iterdir()]
        shutil.rmtree(self.folder)
        return left


def free_ports(count):
    """Numbers of ports that nobody uses."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return numbers


def adopt_orphans():
    """Makes this process the parent of orphans among its descendants (PR_SET_CHILD_SUBREAPER), so that it finds them."""
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


def children():
    """The ids of the processes whose parent is this one."""
    return [int(child) for child in pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def end_descendants():
    """Kills what a session left and what does not end by itself within two seconds. Returns the command lines."""
    names = []
    deadline = time.monotonic() + 2
    while children() and time.monotonic() < deadline:
        if os.waitpid(-1, os.WNOHANG) == (0, 0):
            time.sleep(0.02)
    while children():
        for child in children():
            name = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if name:  # a zombie has none
                names.append(name.strip())
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return names


class Player:
    """Plays the parts of one document in a session."""

    def __init__(self, document, text, session, recorded):
        self.session, self.recorded = session, recorded
        self.outcome = Outcome(document, session.columns)
        self.text = text

    def play(self):
        """Plays everything, or until a command neither ends nor does what is shown."""
        try:
            for part in read(self.text):
                try:
                    self.part(part)
                except (DocumentError, Late) as error:
                    self.problem(part.line, str(error) or f"not done after {SECONDS} s")
                    break
        except DocumentError as error:
            self.problem(0, str(error))
        finally:
            left = self.session.close()
        self.outcome.problems += [f"{self.outcome.document}: {what}" for what in left]
        return self.outcome

    def problem(self, line, text):
        self.outcome.problems.append(f"{self.outcome.document}:{line + 1}, {self.session.columns} columns: {text}")

    def part(self, part):
        """Plays a directive or a block."""
        name = getattr(part, "name", None)
        if name == "dev":
            self.session.start_dev(part.argument == "with drift")
        elif name == "exports":
            self.session.exports_of(self.session.terminal(part.argument))
        elif name == "run" and part.argument.startswith("export "):
            self.session.export(part.argument)
        elif name == "run":
            self.session.run(self.session.terminal("hidden"), part.argument)
        elif name == "replace":
            self.session.replacements.append(two_texts(part.argument))
        elif "file" in part.directives:
            path = self.session.clone / part.directives["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.session.command("\n".join(part.lines)) + "\n")
        elif part.language == "console":
            self.block(part, part.steps())
        elif part.language == "sql" and self.session.hidden:
            statement = "\n".join(part.lines)
            command = f"psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'SQL'\n{statement}\nSQL"
            self.block(part, [Step(command, part.line)])

    def block(self, block, steps):
        """Plays the commands of a block."""
        only = block.directives.get("only")
        if "skip" in block.directives or (only and int(only) != self.session.columns):
            reason = block.directives.get("skip", f"only for {only} columns")
            self.outcome.skipped += [reason] * len(steps)
            return
        terminal = self.session.terminal(block.directives.get("terminal", ""))
        for step, following in zip(steps, [*steps[1:], None]):
            tells = following is not None and following.command == "echo $?"
            code = None if tells else int(block.directives.get("exit", 0)) if following is None else 0
            stays = following is None and "stays" in block.directives
            self.step(step, terminal, code, stays, block.directives.get("answer", []))

    def step(self, step, terminal, code, stays, answers):
        """Plays one command, and compares its exit code and its output."""
        if terminal.is_busy == bool(step.command):
            raise DocumentError("a command still runs in this terminal" if step.command else "no command runs in this terminal")
        if step.command:
            self.outcome.played += 1
            terminal.start(self.session.command(step.command))
        shown = self.shown(step)
        status = self.wait(terminal, shown, stays, [list(answer) for answer in answers])
        printed = self.session.printed(terminal)
        self.outcome.printed.append((step, printed))
        terminal.seen += len(printed)
        matched = pairs(shown, printed) if shown else []
        if matched is None:  # a progress bar overwrites the key that the terminal shows
            matched = pairs([line for line in shown if not key(line)], printed)
        if matched is None:
            self.problem(step.line, f"{step.command}\n{difference(shown, printed)}")
        else:
            self.session.values |= learned(matched)
        pressed = any(key(line) for line in shown)
        if code is not None and not stays and not pressed and status != code:
            self.problem(step.line, f"{step.command}\nended with exit code {status}, not {code}\n" + "\n".join(printed))
        # Rows of tables have columns. A message is one line for the search, as long as it needs to be.
        wide = [line for line in terminal.screen.wrapped() if "  " in line.strip()]
        if wide and is_fitted(step.command):
            self.problem(step.line, f"{step.command}\nprinted a line of {len(wide[0])} columns:\n{wide[0]}")

    def wait(self, terminal, shown, stays, answers):
        """Waits until a command ends, or has printed what is shown if it stays. Presses keys in time."""
        until = next((number for number, line in enumerate(shown) if key(line)), len(shown))

        def is_there(screen):
            if answers and "".join(screen.lines()[screen.row]).endswith(answers[0][0].rstrip()):
                terminal.press(answers.pop(0)[1].encode() + b"\n")
            if not stays and until == len(shown):
                return False
            return pairs(shown[:until], self.session.printed(terminal)) is not None

        try:
            status = terminal.wait(SECONDS, is_there)
            if status is None and until < len(shown):
                terminal.press(key(shown[until]))
                if not stays:
                    status = terminal.wait(SECONDS)
            return status
        except Late:
            raise DocumentError(f"not done after {SECONDS} s; it shows:\n" + "\n".join(self.session.printed(terminal))) from None

    def shown(self, step):
        """The output to compare with: that of the document, or for another width a recorded one."""
        return self.recorded.get(step.command, step.shown)


def key(line):
    """The key that is pressed at a line of the document, if any. The terminal shows it, and what is printed next follows it."""
    return KEYS.get(line[:2])


def is_fitted(command):
    """Whether a command prints for people, so that its lines fit into the terminal. Texts to copy and formats for programs are not
    broken."""
    words = command.split()
    if words[:1] != ["sharewarden"] or words[1:2] in [["dev"], ["checkpoint"], ["config"], ["key"], ["completions"]]:
        return False
    return not {"-o", "--output", "--wide", "|", ">"} & set(words)


def play(document, text, repository, program, columns, recorded):
    """Plays a document. Other documents may be played at the same time, in other processes."""
    adopt_orphans()
    return Player(document, text, Session(repository, program, columns), recorded).play()
