"""Checks the commands in the prose of documents: inline code that begins with `sharewarden`. They are often not whole, so they
are not run: the help of the program must have their subcommands and their options."""

import functools
import re
import subprocess

from transcript import inline_commands


def problems(repository, files, program):
    """One line for each command that the program does not know."""
    if not program:
        return []
    find = functools.lru_cache(None)(functools.partial(help_of, program))
    return [
        f"{name}:{line}: `{command}`: {problem}"
        for name in files
        for line, command in inline_commands((repository / name).read_text())
        if (problem := problem_of(command, find))
    ]


def help_of(program, path):
    """The long help of a subcommand: its subcommands and its options."""
    text = subprocess.run([program, *path, "--help"], capture_output=True, text=True, check=True).stdout
    commands = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.M)
    names = re.findall(r"^  ([a-z][\w-]*)", commands[1], re.M) if commands else []
    return names, set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))


def problem_of(command, find):
    """What is wrong with a command, or None."""
    path = ()
    for word in command.split()[1:]:
        names, options = find(path)
        if word.startswith("-"):
            option = re.match(r"--?[\w-]*", word)[0]
            if option not in options | {"--"}:
                return f"there is no option {option}"
        elif names and re.fullmatch(r"[a-z][a-z-]*", word):
            if word == "help":
                return None
            if word not in names:
                return f"there is no command {word}"
            path += (word,)
    return None
