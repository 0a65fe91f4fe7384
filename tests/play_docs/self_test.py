#!/usr/bin/env python3
"""Shows that the player finds what is wrong with a document, and nothing in one that is right."""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import inline
import normal
import reference
import session
from terminal import Screen
from transcript import Step

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
UUIDS = ("01a20452-101a-7b0f-b8f8-c70897b81d1e", "01b31563-212b-8c10-89a9-d81908c92e2f")


def played(text, columns=80, recorded=None):
    """What came of a document that needs no program."""
    return session.play("one.md", text, REPOSITORY, None, columns, recorded or {})


def console(*lines, directives=""):
    return f"{directives}\n```console\n" + "\n".join(lines) + "\n```\n"


class Documents(unittest.TestCase):
    def right(self, text, count=None, **options):
        outcome = played(text, **options)
        self.assertEqual(outcome.problems, [])
        if count is not None:
            self.assertEqual(outcome.played, count)
        return outcome

    def wrong(self, text, problem, **options):
        problems = played(text, **options).problems
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(problem, problems[0])

    def test_output_that_differs_is_found_and_named_with_its_line(self):
        self.right(console("$ echo shared", "shared"), 1)
        self.wrong(console("$ true", "$ echo shared", "not shared"), "one.md:4, 80 columns: echo shared\n  - not shared")

    def test_missing_and_further_lines_are_found(self):
        self.wrong(console("$ printf '1\\n2\\n'", "1"), "+ 2")
        self.wrong(console("$ echo 1", "1", "2"), "- 2")

    def test_dots_stand_for_any_lines_but_not_for_others(self):
        self.right(console("$ seq 5", "1", "…", "5"))
        self.right(console("$ seq 5", "…", "3", "…"))
        self.wrong(console("$ seq 5", "1", "…", "6"), "- 6")

    def test_values_may_differ_and_other_words_may_not(self):
        shown = f"{UUIDS[0]}  2026-11-22T20:32:16Z  took 6ms  SUCCEEDED"
        self.right(console(f"$ echo '{UUIDS[1]}  2027-01-02T03:04:05.678Z  took 1.2 s  SUCCEEDED'", shown))
        self.wrong(console(f"$ echo '{UUIDS[1]}  2027-01-02T03:04:05.678Z  took 1.2 s  FAILED'", shown), "+ 01b31563")

    def test_a_command_has_the_id_that_this_run_has_printed(self):
        self.right(console("$ cat /proc/sys/kernel/random/uuid | tee id", UUIDS[0], f'$ test "$(cat id)" = {UUIDS[0]}'))

    def test_an_exit_code_other_than_the_shown_one_is_found(self):
        self.wrong(console("$ false"), "ended with exit code 1, not 0")
        self.right(console("$ sh -c 'exit 9'", "$ echo $?", "9"))
        self.wrong(console("$ sh -c 'exit 8'", "$ echo $?", "9"), "- 9")
        self.right(console("$ sh -c 'exit 4'", directives="<!-- play: exit 4 -->"))
        self.wrong(console("$ true", directives="<!-- play: exit 4 -->"), "ended with exit code 0, not 4")

    def test_a_skipped_block_has_a_reason(self):
        outcome = self.right(console("$ docker ps", directives="<!-- play: skip needs Docker -->"), 0)
        self.assertEqual(outcome.skipped, ["needs Docker"])
        self.wrong(console("$ docker ps", directives="<!-- play: skip -->"), "the directive skip needs an argument")
        self.wrong(console("$ docker ps", directives="<!-- play: pass over -->"), "there is no directive pass")

    def test_commands_share_a_shell_and_go_on_over_lines(self):
        self.right(console("$ export A=1", "$ echo \\", '    "$A"', "1", "$ cat <<END", "> 2", "> END", "2"), 3)

    def test_keys_end_a_command_that_runs_and_another_terminal_goes_on(self):
        first = console("$ echo runs > file", "$ tail -f file", "runs", directives="<!-- play: stays -->")
        second = console("$ echo here", "here", directives="<!-- play: terminal 2 -->")
        self.right(first + second + console("^C"))
        self.right(console("$ echo runs > file", "$ tail -f file", "runs", "^\\Quit"))
        self.wrong(first + console("$ echo here", "here"), "a command still runs in this terminal")

    def test_a_question_is_answered(self):
        text = ("$ read -p 'Sure? ' answer; echo got $answer", "Sure? yes", "got yes")
        self.right(console(*text, directives="<!-- play: answer Sure? => yes -->"))

    def test_a_process_and_a_file_that_stay_are_found_and_removed(self):
        self.wrong(console("$ trap '' HUP; sleep 100 &"), "this process was left: ")
        self.wrong(console('$ touch "$TMPDIR/x"'), "this file was left: /tmp/x")

    def test_a_row_of_a_table_wider_than_the_terminal_is_found_and_a_message_may_be_long(self):
        def prints(format):
            program = f"printf '#!/bin/sh\\nprintf \"{format}\" 0' >~/bin/sharewarden && chmod +x ~/bin/sharewarden"
            return f"<!-- play: run {program} -->"

        row, message = prints("a  %%0$1d"), prints("%%0$1d")
        self.right(console("$ sharewarden 77", directives=row))
        self.wrong(console("$ sharewarden 78", directives=row), "printed a line of 81 columns")
        self.right(console("$ sharewarden 78", directives=row), columns=120)
        self.right(console("$ sharewarden 81", directives=message))

    def test_another_width_is_compared_with_what_was_recorded(self):
        text = console("$ tput cols", "80")
        self.right(text)
        self.wrong(text, "+ 120", columns=120)
        self.right(text, columns=120, recorded={"tput cols": ["120"]})

    def test_a_text_is_replaced_in_commands(self):
        self.right("<!-- play: replace HOST => 127.0.0.1 -->\n" + console("$ echo on HOST", "on 127.0.0.1"))


class Values(unittest.TestCase):
    def test_a_rewrite_keeps_lines_that_differ_in_values_only(self):
        shown = [f"Change {UUIDS[0]}", "State PENDING"]
        printed = [f"Change {UUIDS[1]}", "State SUCCEEDED"]
        self.assertEqual(normal.rewritten(shown, printed), [shown[0], printed[1]])

    def test_a_rewrite_leaves_out_what_was_left_out(self):
        self.assertEqual(normal.rewritten(["a", "…", "z"], list("bcdy")), ["b", "…", "y"])

    def test_the_screen_shows_what_is_left_after_progress(self):
        screen = Screen(80)
        screen.feed("verifies 1\r\x1b[2Kverifies 10\r\n\x1b[1A\x1b[2K\x1b[32mdone\x1b[0m\r\n\x1e9\x1e")
        self.assertEqual((screen.lines(), screen.status), (["done", ""], 9))

    def test_a_command_in_prose_that_the_program_does_not_have_is_found(self):
        known = {(): (["audit"], {"--server"}), ("audit",): (["list"], set()), ("audit", "list"): ([], {"--kind"})}
        self.assertIsNone(inline.problem_of("sharewarden audit list --kind change.denied", known.get))
        self.assertEqual(inline.problem_of("sharewarden audits", known.get), "there is no command audits")
        self.assertEqual(inline.problem_of("sharewarden audit list --sort x", known.get), "there is no option --sort")


class Reference(unittest.TestCase):
    def test_examples_are_joined_over_their_lines_and_those_with_the_ports_of_the_service_are_first(self):
        text = "Examples:\n  sharewarden list \\\n      --wide\n  sharewarden get x\n```\n\nExamples:\n  sharewarden dev\n"
        found = [(step.command, step.line) for step in reference.examples(text)]
        self.assertEqual(found, [("sharewarden dev", 7), ("sharewarden list --wide", 1), ("sharewarden get x", 3)])

    def test_an_example_that_fails_prints_nothing_or_does_not_write_its_file_is_found(self):
        player = reference.ReferencePlayer("cli.md", "", session.Session(REPOSITORY, None, 80), {})
        for command in ("echo 1", "false", "true", "true > file", "echo 1 > file"):
            player.example(Step(command, 6))
        found = [problem.splitlines()[1] for problem in player.play().problems]
        self.assertEqual(found, ["ended with exit code 1, not 0", "printed nothing", "ended with exit code 1, not 0"])


if __name__ == "__main__":
    unittest.main()
