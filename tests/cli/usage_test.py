#!/usr/bin/env python3
"""What is typed: verbs, options, sizes, durations, names, and the help that answers mistakes."""

import os
import re
import subprocess

from ipcq_cli import (BROKEN_PIPE, DONE, ERROR, INTERRUPTED, MISSING, SOURCE, USAGE, CliTest, default_signals, main,
                      program)

VERBS = ["create", "ls", "stat", "put", "get", "close", "group", "purge", "requeue", "revoke", "rm", "verify", "repair",
         "help"]


class HelpTest(CliTest):
    def test_the_help_of_the_program_lists_every_verb(self):
        out, err = self.ipcq("--help")
        for verb in VERBS:
            self.assertIn(f"\n  {verb} ", out.decode())
        self.assertEqual(err, "")
        self.assertEqual(self.ipcq("help")[0], out)
        self.assertEqual(self.ipcq("-h")[0], out)

    def test_every_verb_has_help_with_an_example(self):
        for verb in VERBS:
            with self.subTest(verb=verb):
                out, err = self.ipcq(verb, "--help")
                self.assertTrue(out.startswith(f"usage: ipcq {verb} ".encode()), out)
                self.assertIn("Example:\n  ", out.decode())
                self.assertIn(f"ipcq {verb}", out.decode().split("Example:")[1])
                self.assertEqual(err, "")
                self.assertEqual(self.ipcq("help", verb)[0], out)
                self.assertEqual(self.ipcq("--help", verb)[0], out)

    def test_help_is_given_whatever_else_is_missing_or_too_much(self):
        self.assertIn(b"usage: ipcq get", self.ipcq("get", "--help")[0])
        self.assertIn(b"usage: ipcq ls", self.ipcq("ls", "a", "b", "--help")[0])

    def test_the_version_is_told(self):
        out, err = self.ipcq("--version")
        self.assertRegex(out.decode(), r"\Aipcq \d+\.\d+\.\d+\n\Z")
        self.assertEqual(err, "")


class DocumentTest(CliTest):
    """docs/command-line.md has the options of each verb's help, and no others."""

    def options_of_help(self, text, title):
        """The options listed under a title of a help text."""
        section = text.split(f"\n{title}:\n")[1].split("\n\n")[0] if f"\n{title}:\n" in text else ""
        first_words = re.findall(r"^  (-.*?)(?:  |$)", section, re.MULTILINE)
        return {option for words in first_words for option in re.findall(r"--?[a-z0-9][a-z-]*", words)}

    def options_of_document(self, text, title):
        """The options in the tables of a section."""
        section = re.split(r"\n##", text.split(f"# {title}\n", 1)[1])[0]
        cells = re.findall(r"^\| (`-.*?`) \|", section, re.MULTILINE)
        return {option for cell in cells for option in re.findall(r"(?<=`)--?[a-z0-9][a-z-]*", cell)}

    def test_every_option_is_documented_and_nothing_else(self):
        document = (SOURCE / "docs" / "command-line.md").read_text()
        for verb in VERBS:
            with self.subTest(verb=verb):
                text = self.ipcq(verb, "--help")[0].decode()
                self.assertEqual(self.options_of_document(document, verb), self.options_of_help(text, "Options"))
                self.assertEqual(self.options_of_document(document, "Global options"),
                                 self.options_of_help(text, "Global options"))
        self.assertIn("--capacity", self.options_of_document(document, "create"))
        self.assertIn("-0", self.options_of_document(document, "put"))

    def test_every_exit_code_is_documented(self):
        document = (SOURCE / "docs" / "command-line.md").read_text()
        codes = re.findall(r"^\| (\d+) \|", document.split("## Exit codes")[1], re.MULTILINE)
        self.assertEqual(list(map(int, codes)), [*range(9), INTERRUPTED, BROKEN_PIPE])
        text = self.ipcq("--help")[0].decode().split("Exit codes:")[1].split("\n\n")[0]
        self.assertEqual(re.findall(r"(?:\A|, |,\n) ?(\d+) ", text), codes)


class MistakeTest(CliTest):
    def refused(self, *arguments):
        out, err = self.ipcq(*arguments, status=USAGE)
        self.assertEqual(out, b"")
        self.assert_notes(err)
        self.assertEqual(os.listdir(self.directory), [])
        return err

    def test_no_verb_is_answered_with_the_usage(self):
        self.assertIn("usage: ipcq VERB", self.refused())

    def test_an_unknown_verb_is_answered_with_the_one_that_was_meant(self):
        self.assertIn("did you mean 'stat'?", self.refused("stta", "q"))
        self.assertIn("did you mean 'create'?", self.refused("creat", "q"))
        self.assertIn("verbs: create, ls", self.refused("frobnicate"))
        self.assertIn("did you mean 'put'?", self.refused("help", "puts"))

    def test_an_unknown_option_is_answered_with_the_usage_of_the_verb(self):
        err = self.refused("put", "q", "--timeuot", "5s")
        self.assertIn("'--timeuot'", err)
        self.assertIn("did you mean '--timeout'?", err)
        self.assertIn("usage: ipcq put NAME", err)
        self.assertIn("'ipcq put --help'", err)

    def test_an_unknown_option_before_the_verb_is_refused(self):
        self.assertIn("'--dirr'", self.refused("--dirr", "/tmp", "ls"))
        # An option of the verb is none of the program.
        self.assertIn("'--capacity'", self.refused("--capacity", "1M", "create", "q"))

    def test_options_of_features_that_do_not_exist_are_unknown(self):
        for option in ["--delay=30s", "--ttl=1h"]:
            with self.subTest(option=option):
                self.assertIn("there is no option", self.refused("create", "q", option))

    def test_abbreviated_options_are_refused(self):
        self.refused("create", "q", "--capac", "1M")

    def test_an_option_without_its_value_is_refused(self):
        self.refused("create", "q", "--capacity")
        self.refused("create", "q", "--capacity=")
        self.refused("--dir")
        self.refused("get", "q", "-n")

    def test_an_option_given_twice_is_refused(self):
        self.refused("create", "q", "--capacity", "1M", "--capacity", "2M")
        self.refused("--color", "never", "ls", "--color", "never")

    def test_a_switch_takes_no_value(self):
        self.refused("--json=yes", "ls")

    def test_missing_and_superfluous_words_are_named(self):
        for verb in ["create", "stat", "put", "get", "close", "purge", "rm", "verify", "repair"]:
            with self.subTest(verb=verb):
                self.assertIn("NAME is missing", self.refused(verb))
        self.assertIn("'b' is one word too many", self.refused("stat", "a", "b"))
        self.assertIn("'b' is one word too many", self.refused("ls", "b"))

    def test_bad_queue_names_are_refused(self):
        for name in ["", "a/b", "../a", ".hidden", "a b", "ä", "x" * 65, "a\nb", "/dev/shm/ipcq.a"]:
            for verb in [["create"], ["stat"], ["put"], ["get"], ["close"], ["purge"], ["requeue"], ["rm"], ["verify"],
                         ["repair"], ["group", "ls"]]:
                with self.subTest(name=name, verb=verb):
                    self.assertIn("is no name of a queue", self.refused(*verb, name))
        for verb in [["create"], ["stat"], ["put"], ["get"], ["close"], ["rm"]]:
            self.refused(*verb, "-x")  # read as an option

    def test_bad_group_names_are_refused(self):
        self.assertIn("is no name of a group", self.refused("create", "q", "--group", "a/b"))
        self.assertIn("is no name of a group", self.refused("create", "q", "--group", ",from=newest"))
        self.assertIn("is no name of a group", self.refused("get", "q", "--group", ""))
        self.assertIn("is no name of a group", self.refused("group", "rm", "q", "a b"))

    def test_bad_sizes_are_refused(self):
        for size in ["", "0", "-1", "-8M", "+8M", " 8M", "8M ", "8 M", "M", "1.5M", "8X", "8MM", "0x10", "1e6", "8iB",
                     "99999999999999999999", "18446744073709551616", "16777216T", "nan"]:
            with self.subTest(size=size):
                self.assertIn("--capacity", self.refused("create", "q", "--capacity", size))

    def test_a_size_beyond_all_memory_is_an_error_and_leaves_nothing(self):
        # In the grammar, so not a mistake of typing; the library says which limit it passes.
        for size in ["8388608T", "16777215T", "1000T"]:
            with self.subTest(size=size):
                process = self.start("create", "q", "--capacity", size)
                _, err = process.communicate(timeout=60)
                self.assertIn(process.returncode, (ERROR, USAGE), err)
                self.assertEqual(os.listdir(self.directory), [])

    def test_bad_durations_are_refused(self):
        for duration in ["", "5", "-1s", "s", "1x", "1s ", "1 s", "1.s", ".5s", "1m30", "99999999999d", "1e3s",
                         "9223372036854775808ns"]:
            with self.subTest(duration=duration):
                self.assertIn("--timeout", self.refused("get", "q", "--timeout", duration))

    def test_durations_may_be_added_up_and_have_fractions(self):
        self.create("q")
        for duration in ["0", "0s", "1ns", "1us", "1ms", "0.01s", "0m0.001s", "0h0m1ms", "0d"]:
            with self.subTest(duration=duration):
                self.get("q", "--timeout", duration, status=5)

    def test_bad_numbers_are_refused(self):
        for option in [["--batch", "0"], ["--batch", "-1"], ["--batch", "65537"], ["--batch", "1k"], ["--tag", "65536"],
                       ["--tag", "-1"], ["--tag", ""]]:
            with self.subTest(option=option):
                self.assertIn(option[0], self.refused("put", "q", *option))
        for option in [["-n", "0"], ["-n", "-5"], ["-n", "x"], ["-n", "18446744073709551616"], ["--batch", "4097"]]:
            with self.subTest(option=option):
                self.assertIn(option[0], self.refused("get", "q", *option))
        for option in [["--endpoints", "4294967296"], ["--ledger", "many"], ["--alignment", "8192"], ["--mode", "0888"],
                       ["--mode", "01777"], ["--mode", ""], ["--mode", "-600"]]:
            with self.subTest(option=option):
                self.assertIn(option[0], self.refused("create", "q", *option))

    def test_numbers_outside_the_limits_of_a_queue_are_refused(self):
        for option in [["--endpoints", "1"], ["--endpoints", "256"], ["--groups-max", "0"], ["--groups-max", "65"],
                       ["--ledger", "3"], ["--ledger", "4097"], ["--alignment", "24"], ["--alignment", "8"],
                       ["--type", "x" * 64]]:
            with self.subTest(option=option):
                self.refused("create", "q", *option)

    def test_words_that_are_no_choice_are_refused_with_the_choices(self):
        self.assertIn("shared, exclusive", self.refused("create", "q", "--producers", "many"))
        self.assertIn("block, reject, drop-oldest", self.refused("create", "q", "--overflow", "drop"))
        self.assertIn("on, off", self.refused("create", "q", "--metrics", "yes"))
        self.assertIn("auto, always, never", self.refused("ls", "--color", "blue"))
        self.assertIn("oldest, newest", self.refused("create", "q", "--group", "g,from=first"))
        self.assertIn("from=oldest|newest", self.refused("create", "q", "--group", "g,size=4"))
        self.assertIn("given twice", self.refused("create", "q", "--group", "g,ephemeral,ephemeral"))
        self.assertIn("no user", self.refused("ls", "--trust", "no.such.user"))

    def test_options_that_exclude_each_other_are_refused(self):
        self.assertIn("exclude each other", self.refused("put", "q", "-0", "--whole"))
        self.assertIn("exclude each other", self.refused("get", "q", "-0", "--length-prefixed"))
        self.assertIn("--timeout", self.refused("get", "q", "--follow", "--timeout", "1s"))
        self.assertIn("--json", self.refused("get", "q", "--json"))
        self.refused("create", "q", "--overflow", "drop-oldest", "--consumers", "exclusive")

    def test_group_says_what_it_can_do(self):
        self.assertIn("add, ls or rm", self.refused("group"))
        self.assertIn("add, ls or rm", self.refused("group", "new", "q"))
        self.assertIn("the queue is missing", self.refused("group", "add"))
        self.assertIn("the group is missing", self.refused("group", "add", "q"))
        self.assertIn("one word too many", self.refused("group", "ls", "q", "g"))
        self.assertIn("--force", self.refused("group", "ls", "q", "--force"))

    def test_an_empty_directory_name_is_refused(self):
        self.refused("ls", "--dir", "")


class GlobalOptionTest(CliTest):
    def test_global_options_stand_before_or_after_the_verb(self):
        elsewhere = self.directory / "elsewhere"
        elsewhere.mkdir()
        self.ipcq("--dir", elsewhere, "create", "q")
        self.assertEqual(os.listdir(elsewhere), ["ipcq.q"])
        before = self.ipcq("--json", f"--dir={elsewhere}", "ls")[0]
        after = self.ipcq("ls", "--dir", elsewhere, "--json")[0]
        self.assertEqual(before, after)
        self.assertIn(b'"q"', before)

    def test_dir_wins_over_the_environment(self):
        self.create("here")
        elsewhere = self.directory / "elsewhere"
        elsewhere.mkdir()
        self.assertNotIn(b"here", self.ipcq("ls", "--dir", elsewhere)[0])

    def test_quiet_takes_notes_away_and_leaves_errors(self):
        self.create("q", "-q")
        self.assertEqual(self.ipcq("get", "q", "--quiet", status=5), (b"", ""))
        self.assertEqual(self.ipcq("-q", "create", "r", "--capacity", "100000")[1], "")
        self.assertNotEqual(self.ipcq("--quiet", "get", "missing", status=MISSING)[1], "")

    def test_colour_comes_when_asked_for_and_never_into_a_pipe_by_itself(self):
        self.create("q")
        self.environment["TERM"] = "xterm"
        self.assertNotIn(b"\033", self.ipcq("ls")[0])
        self.assertNotIn(b"\033", self.ipcq("ls", "--color", "auto")[0])
        self.assertIn(b"\033[1m", self.ipcq("ls", "--color", "always")[0])
        self.assertNotIn(b"\033", self.ipcq("ls", "--json", "--color", "always")[0])


class StandardDescriptorTest(CliTest):
    """What the program does when its caller closed the descriptors, or the disk behind them is full."""

    def shell(self, command):
        environment = dict(self.environment, IPCQ=program())
        done = subprocess.run(["sh", "-c", command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=default_signals, timeout=60)
        return done.returncode, done.stdout, done.stderr.decode()

    def test_a_closed_standard_output_is_an_error_that_is_named(self):
        self.create("q")
        for command in ['"$IPCQ" ls >&-', '"$IPCQ" stat q >&-', '"$IPCQ" --help >&-', '"$IPCQ" create r >&-']:
            with self.subTest(command=command):
                code, _, err = self.shell(command)
                self.assertEqual(code, ERROR)
                self.assertIn("cannot write to standard output", err)

    def test_get_with_a_closed_standard_output_takes_nothing_and_harms_nothing(self):
        # The queue's own file must not become descriptor 1.
        self.create("q")
        self.put("q", b"one\ntwo\n")
        code, _, err = self.shell('"$IPCQ" get q >&-')
        self.assertEqual(code, ERROR)
        self.assertIn("cannot write to standard output", err)
        self.assertEqual(self.get("q"), b"one\ntwo\n")

    def test_put_with_a_closed_standard_input_is_an_error_that_is_named(self):
        self.create("q")
        code, _, err = self.shell('"$IPCQ" put q <&-')
        self.assertEqual(code, ERROR)
        self.assertIn("cannot read standard input", err)
        self.assertEqual(self.stat("q")["messages"], 0)

    def test_a_closed_standard_error_changes_nothing_but_the_notes(self):
        self.create("q")
        self.assertEqual(self.shell('"$IPCQ" get q 2>&-')[0], 5)
        self.assertEqual(self.shell('"$IPCQ" nonsense 2>&-')[0], USAGE)
        self.assertEqual(self.shell('printf "a\\n" | "$IPCQ" put q 2>&- >&-')[0], DONE)
        self.assertEqual(self.get("q"), b"a\n")

    def test_a_report_into_a_full_disk_is_an_error_that_is_named(self):
        self.create("q")
        code, _, err = self.shell('"$IPCQ" stat q --json > /dev/full')
        self.assertEqual(code, ERROR)
        self.assertIn("No space left on device", err)

    def test_a_report_that_nobody_reads_ends_as_a_broken_pipe(self):
        self.create("q")
        read_end, write_end = os.pipe()
        os.close(read_end)
        process = self.start("ls", stdout=write_end)
        os.close(write_end)
        _, err = self.finish(process, BROKEN_PIPE)
        self.assertEqual(err, "")


if __name__ == "__main__":
    main()
