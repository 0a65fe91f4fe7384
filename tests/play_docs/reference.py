"""Plays the examples of the command line's reference, which is made of the program's help. Each one ends with the exit code that is
expected, and prints something or writes the file that it names."""

import re

from session import READY, SECONDS, Player, Session, adopt_orphans
from terminal import Late
from transcript import DocumentError, Step

FILE = "docs/cli.md"

# What the examples take for granted: files, contexts, and a history of 28 entries with a checkpoint of 18.
SETUP = r"""
export AWS_ACCESS_KEY_ID=AKIA111122223333 AWS_SECRET_ACCESS_KEY=any
mkdir -p ~/.local/share/bash-completion/completions ~/.zfunc ~/.config/fish/completions
echo unused > token
printf 'account,region,image,recipient,reason\n111122223333,eu-central-1,wsi-basewin11,000011112222,build 7\n' > shares.csv
cat > sharewarden.toml <<END
server.listen = "127.0.0.1:0"
database.url = "$DATABASE_URL"
auth.modes = ["trusted-header"]
roles = [{ principal = "*", roles = ["viewer"] }]
aws = { endpoint_url = "http://127.0.0.1:7480", sts_endpoint_url = "http://127.0.0.1:7480" }
checkpoint = { name = "sharewarden-dev", key_file = "key.pem" }
log.format = "human"
accounts = [{ id = "111122223333", regions = ["eu-central-1"], share_with = "anyone" }]
policy.directory = "policies"
END
mkdir policies new-policies
cat > policies/limits.cedar <<END
@id("no-strangers")
@says("Images are shared with our own accounts only.")
forbid (principal, action == Sharewarden::Action::"grant", resource) unless { context.recipient.configured };
END
cp policies/limits.cedar new-policies/
cat > cases.test.toml <<END
[[cases]]
name = "a partner without a ticket"
principal = "alice"
action = "grant"
image = "111122223333/eu-central-1/wsi-basewin11"
recipient = "000011112222"
reason = "build 7"
time = 2026-11-30T10:00:00Z
decision = "refused"
policies = ["no-strangers"]
END
cp sharewarden.toml owner.toml
cp "$(dirname "$(find "$TMPDIR" -name checkpoint-key.pem 2>/dev/null)")/checkpoint-key.pem" key.pem
change() { sharewarden "$1" wsi-basewin11 -w 210987654321 -m 'build 6' >change.txt 2>&1 || cat change.txt; }
for number in 1 2 3 4 5 6 7 8 9; do if [ $((number % 2)) = 1 ]; then change grant; else change revoke; fi; done
until sharewarden checkpoint 2>/dev/null | grep -qx 18; do sleep 0.1; done
for number in 1 2 3 4 5; do if [ $((number % 2)) = 0 ]; then change grant; else change revoke; fi; done
until sharewarden checkpoint | grep -qx 28; do sleep 0.1; done
sharewarden checkpoint > cosigned.checkpoint
sharewarden context set production --server http://127.0.0.1:7443
sharewarden context set test --server http://127.0.0.1:7443
"""

# What an example has of its reader, and what is there instead.
REPLACED = {
    "https://sharewarden.example.com": "http://127.0.0.1:7443",
    "database.url=postgres://owner@localhost/sharewarden": '"database.url=$DATABASE_URL"',
    "01987654-3210-7000-8000-000000000001": "$(psql -Atc 'SELECT change_id FROM change LIMIT 1')",
    '--tree-size 17 --root-hash "$ROOT"': "$told",
    "--tree-size 17": "--tree-size 18",
    "/srv/audit": "audit",
    "man -l -": "cat",  # not every machine has it
    "man --to ~/.local/share/man/man1": "man --to ~/.local/share/man/man1 && ls ~/.local/share/man/man1",
    "sharewarden dev --ephemeral --listen 127.0.0.1:0": "sharewarden dev --ephemeral",  # the session has its own ports
}
# Commands that go on, and what each prints before Ctrl-C ends it.
STAYS = {
    "sharewarden serve": "serving",
    "sharewarden dev": READY,
    "sharewarden simulate": "http://127.0.0.1:",
    "sharewarden audit watch --account": '"logIndex"',
}
# What is typed when a command asks.
ANSWERS = {"--all-recipients": ["Go on? [y/N]", "y"]}
# Exit codes other than 0.
EXITS = {
    "sharewarden checkpoint add-signatures": 2,  # the service of `dev` has no witnesses
    # Nothing was shared past the service of `dev`.
    "sharewarden drift show": 3,
    "sharewarden drift adopt": 3,
    "sharewarden drift revoke": 3,
    "sharewarden drift restore": 3,
    "sharewarden drift accept": 3,
    "sharewarden why wsi-basewin11 -w 000011112222 --at 7d": 3,  # the history of `dev` is new
}
# Commands that must have the ports of the session, so that they run before its service.
FIRST = ("sharewarden dev", "sharewarden simulate")
# What happens before some examples. An export is compressed. A copy of the database loses its checkpoints: the service would sign
# the ledgers of its own database again.
CONFIRM = "sharewarden audit confirm --config sharewarden.toml --account 111122223333"
BEFORE = {
    "sharewarden policy verify": "sharewarden audit export -a 111122223333 --to 111122223333.jsonl && gzip -kf 111122223333.jsonl",
    "sharewarden audit verify --export": "gzip --keep --force 111122223333.jsonl",
    CONFIRM: """psql -qc 'CREATE DATABASE copy' && pg_dump | psql -q copy >dump.txt &&
        sed -i 's#/sharewarden?#/copy?#' sharewarden.toml &&
        psql -qc 'SET session_replication_role = replica' -c 'DELETE FROM ledger_checkpoint' copy""",
    f"{CONFIRM} --tree-size": f"told=$({CONFIRM} 2>&1 | grep -o -e '--tree-size [0-9]* --root-hash [0-9a-f]*')",
}


def examples(text):
    """The examples of a reference, each in one line, with the number of its line."""
    found = []
    for section in re.finditer(r"^Examples:\n((?:  .*\n)+)", text, re.M):
        first = text.count("\n", 0, section.start(1))
        goes_on = False
        for number, line in enumerate(section[1].splitlines(), first):
            part = line.strip().removesuffix("\\").rstrip()
            if goes_on:
                found[-1].command += f" {part}"
            else:
                found.append(Step(part, number))
            goes_on = line.endswith("\\")
    return sorted(found, key=lambda step: not step.command.startswith(FIRST))


class ReferencePlayer(Player):
    """Plays examples in one terminal."""

    def play(self):
        try:
            has_service = False
            for step in examples(self.text):
                if not has_service and not step.command.startswith(FIRST):
                    self.serve()
                    has_service = True
                self.example(step)
        except (DocumentError, Late) as error:
            self.problem(0, str(error))
        finally:
            left = self.session.close()
        self.outcome.problems += [f"{self.outcome.document}: {what}" for what in left]
        return self.outcome

    def serve(self):
        self.session.start_dev(False)
        self.session.run(self.session.terminal(""), SETUP.strip())

    def example(self, step):
        command = step.command
        if before := max((start for start in BEFORE if command.startswith(start)), key=len, default=None):
            self.session.run(self.session.terminal(""), BEFORE[before])
        for old, new in REPLACED.items():
            command = command.replace(old, new)
        if file := re.search(r" > (\S+)$", command):
            command += f" && test -s {file[1]} && echo written"
        self.outcome.played += 1
        terminal = self.session.terminal("")
        terminal.start(self.session.command(command))
        answers = [list(answer) for option, answer in ANSWERS.items() if option in command]
        until = next((text for start, text in STAYS.items() if command.startswith(start)), None)
        status = self.ended(terminal, until, answers)
        printed = self.session.printed(terminal)
        expected = next((code for start, code in EXITS.items() if step.command.startswith(start)), 0)
        if until is None and status != expected:
            self.problem(step.line, f"{command}\nended with exit code {status}, not {expected}\n" + "\n".join(printed))
        elif not any(printed):
            self.problem(step.line, f"{command}\nprinted nothing")

    def ended(self, terminal, until, answers):
        """Waits for the end of a command, and ends it when it has printed a text. Returns the exit code."""

        def has_printed(screen):
            if answers and screen.lines()[screen.row].endswith(answers[0][0]):
                terminal.press(answers.pop(0)[1].encode() + b"\n")
            return until is not None and any(until in line for line in screen.lines())

        try:
            status = terminal.wait(SECONDS, has_printed)
            if status is None:
                terminal.press(b"\x03")
                status = terminal.wait(SECONDS)
            elif until is not None:
                raise DocumentError(f"ended with exit code {status}:\n" + "\n".join(self.session.printed(terminal)))
            return status
        except Late:
            raise DocumentError(f"not done after {SECONDS} s; it shows:\n" + "\n".join(self.session.printed(terminal))) from None


def play(text, repository, program, columns):
    """Plays the examples of a reference on terminals of one width."""
    adopt_orphans()
    return ReferencePlayer(FILE, text, Session(repository, program, columns), {}).play()
