"""A shell in a terminal: runs commands one after the other, and keeps what the screen shows."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

# Evaluates commands from descriptor 9 in one shell, so that variables and folders stay. After each it prints the exit code
# between two characters that no program prints. Keys interrupt the command, not the shell.
SHELL = r"""
trap : INT QUIT
shopt -s expand_aliases
status=0
while IFS= read -r -d '' -u 9 command; do
  (exit $status)
  eval "$command" 9<&-
  status=$?
  printf '\036%s\036' $status
done
"""

TOKEN = re.compile(
    r"\x1b\[(?P<number>\d*)[0-9;?]*(?P<function>[A-Za-z])"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles and links
    r"|\x1b[()=>78][0-9A-B]?"
    r"|\x1e(?P<status>\d+)\x1e"
    r"|(?P<character>[^\x1b\x1e])",
    re.S,
)


class Screen:
    """The lines of a terminal. A line that is too long for the terminal stays one line, and counts as wrapped."""

    def __init__(self, columns):
        self.columns = columns
        self.rows = [[]]
        self.row = self.column = 0
        self.status = None
        self.rest = ""

    def lines(self):
        """The lines without the spaces at their ends."""
        return ["".join(row).rstrip() for row in self.rows]

    def wrapped(self):
        """The lines that are longer than the terminal is wide."""
        return [line for line in self.lines() if len(line) > self.columns]

    def feed(self, text):
        """Takes what a program has written."""
        text = self.rest + text
        position = 0
        while token := TOKEN.match(text, position):
            position = token.end()
            if token["character"]:
                self.write(token["character"])
            elif token["status"]:
                self.status = int(token["status"])
            elif token["function"]:
                self.control(token["function"], token["number"])
        self.rest = text[position:]

    def write(self, character):
        if character == "\n":
            self.move(self.row + 1)
        elif character == "\r":
            self.column = 0
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character == "\t":
            self.column += 8 - self.column % 8
        elif character >= " ":
            row = self.rows[self.row]
            row.extend(" " * (self.column + 1 - len(row)))
            row[self.column] = character
            self.column += 1

    def control(self, function, number):
        row = self.rows[self.row]
        if function == "K":
            del row[0 if number in ("1", "2") else self.column :]
        elif function == "J":
            del row[self.column :], self.rows[self.row + 1 :]
        elif function in "AF":
            self.move(max(0, self.row - int(number or 1)))
        elif function in "BE":
            self.move(self.row + int(number or 1))
        elif function == "G":
            self.column = int(number or 1) - 1
        if function in "EF":
            self.column = 0

    def move(self, row):
        self.row = row
        while len(self.rows) <= row:
            self.rows.append([])


class Late(Exception):
    """A command did not do within its time what it is expected to do."""


class Terminal:
    """One terminal of a reader."""

    def __init__(self, columns, environment, folder):
        commands, self.commands = os.pipe()
        self.columns = columns
        self.pid, self.tty = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)  # Python or its parent may ignore them
            os.dup2(commands, 9)
            os.chdir(folder)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
            os.execve("/bin/bash", ["bash", "--noprofile", "--norc", "-c", SHELL], environment)
        os.close(commands)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.screen = Screen(columns)
        self.is_busy = False
        self.seen = 0  # lines of the screen that were compared

    def start(self, command):
        """Starts a command on an empty screen."""
        self.screen = Screen(self.columns)
        self.seen = 0
        self.is_busy = True
        os.write(self.commands, command.encode() + b"\0")

    def press(self, keys):
        """Types on the keyboard."""
        os.write(self.tty, keys)

    def wait(self, seconds, condition=lambda screen: False):
        """Waits until the command ends or the condition is true. Returns the exit code, or None if the command goes on."""
        deadline = time.monotonic() + seconds
        while self.screen.status is None:
            if condition(self.screen):
                return None
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(left):
                raise Late
        self.is_busy = False
        return self.screen.status

    def read(self, seconds):
        """Shows what was written. Returns false if nothing was within the time."""
        if not select.select([self.tty], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.tty, 65536)
        except OSError:  # the shell is gone
            return False
        self.screen.feed(self.decoder.decode(data))
        return bool(data)

    def close(self):
        """Interrupts the command that runs, and ends the shell."""
        try:
            if self.is_busy:
                self.press(b"\x03")
                self.wait(30)
        except (Late, OSError):
            pass
        os.close(self.commands)
        os.close(self.tty)
        # Closing the terminal sends SIGHUP to a command that still runs.
        os.waitpid(self.pid, 0)
