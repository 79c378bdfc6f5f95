#!/usr/bin/env python3
"""What an operation costs, counted and not timed: instructions by callgrind, system calls by strace, each against
its budget in budgets.toml.

    budget.py instructions     counts instructions; fails where an operation needs more than its figure and some room
    budget.py system-calls     counts system calls; fails where they are not exactly those of the table
    budget.py document         fails where docs/budgets.md does not show the table
    budget.py update           counts both, and writes what was counted into the table and the document

IPCQ_BIN is the folder of the built programs, IPCQ_BUILD the build folder, where profiles are left (default: IPCQ_BIN/..),
IPCQ_COMPILED what they were compiled by. Exit codes: 0 within the budgets, 1 not, 77 cannot be counted here (the last line
says why)."""

import collections
import contextlib
import datetime
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import tomllib
except ImportError:  # Python before 3.11
    tomllib = None

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "budgets.toml"
DOCUMENT = HERE.parent.parent / "docs" / "budgets.md"
SKIPPED = 77
RUN_S = 100

# What ipcq itself is run on: so many messages, then twice as many, and the difference counts. Lines of 64 bytes with their
# ends fill the blocks that put reads, and the batches of both.
CLI = {"cli-put": 4096, "cli-get": 4096}
CLI_LINE_BYTES = 64


class CannotCount(Exception):
    """Not here; the text says why."""


class Failed(Exception):
    """A program that is counted failed; the text says how."""


# --- the table


def read_table():
    if tomllib is None:
        raise CannotCount("budgets.toml needs Python 3.11")
    return tomllib.loads(TABLE.read_text())


def update_table(text, settings, rows):
    """The table's text with other figures; what people wrote stays."""
    for name, value in settings.items():
        text, found = re.subn(rf"(?m)^{name} = .*$", f'{name} = "{value}"', text, count=1)
        assert found, name
    for name, (instructions, calls) in rows.items():
        section = re.search(rf"(?ms)^\[operation\.{re.escape(name)}\]\n.*?(?=^\[|\Z)", text)
        if section is None:
            raise Failed(f"{name} is not in {TABLE.name}: add [operation.{name}] with what, instructions = 0, system_calls = {{}}")
        inline = ", ".join(f"{call} = {count:g}" for call, count in sorted(calls.items()))
        body = re.sub(r"(?m)^instructions = .*$", f"instructions = {round(instructions)}", section[0])
        body = re.sub(r"(?m)^system_calls = .*$", f"system_calls = {{ {inline} }}" if inline else "system_calls = {}", body)
        text = text[: section.start()] + body + text[section.end() :]
    return text


# --- what was counted against the table


def most_instructions(row, table):
    return round(row["instructions"] * (1 + row.get("room", table["room"])))


def judge_instructions(table, measured, profiles):
    """Complaints and hints."""
    complaints, hints = compare_names(table, measured), []
    for name, counted in measured.items():
        row = table["operation"].get(name)
        if row is None:
            continue
        most = most_instructions(row, table)
        if counted > most:
            complaints.append(
                f"{name}: {counted:,.0f} instructions, the budget is {most:,} ({row['instructions']:,} were counted on "
                f"{table['date']}). Where they go:\n    callgrind_annotate {profiles[name]}"
            )
        elif counted < 2 * row["instructions"] - most:
            hints.append(f"{name}: {counted:,.0f} instructions, {row['instructions']:,} in the table: ./dev budget --update")
    return complaints, hints


def judge_calls(table, measured, commands, libc):
    """Complaints. With another C library than the table's only operations that open nothing are compared: what its calls
    become is its own affair."""
    complaints = compare_names(table, measured)
    for name, counted in measured.items():
        row = table["operation"].get(name)
        if row is None:
            continue
        allowed = row["system_calls"]
        if libc != table["libc"] and allowed.keys() - {"futex"}:
            continue
        for call in sorted(allowed.keys() | counted.keys()):
            if counted.get(call, 0) != allowed.get(call, 0):
                complaints.append(
                    f"{name}: {call}: {counted.get(call, 0):g} times, the budget is exactly {allowed.get(call, 0):g}. "
                    f"Where they are made:\n    {commands[name].format(call=call)}"
                )
    return complaints


def compare_names(table, measured):
    return [f"{name}: has a budget and was not counted" for name in table["operation"].keys() - measured.keys()] + [
        f"{name}: was counted and has no budget in {TABLE.name}" for name in measured.keys() - table["operation"].keys()
    ]


# --- counting


class Programs:
    """Those under test, in a queue directory of their own."""

    def __init__(self, directory):
        self.bin = pathlib.Path(os.environ["IPCQ_BIN"])
        self.budget = self.bin / "ipcq_budget"
        self.ipcq = self.bin / "ipcq"
        self.directory = pathlib.Path(directory)
        self.environment = dict(os.environ, IPCQ_DIR=directory, LC_ALL="C", DEBUGINFOD_URLS="")
        self.lines = self.directory / "lines"
        self.mark_file = "/dev/null"

    def run(self, *command, stdin=subprocess.DEVNULL):
        done = subprocess.run(
            [str(word) for word in command], env=self.environment, stdin=stdin, capture_output=True, text=True,
            timeout=RUN_S, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Failed(f"{' '.join(str(word) for word in command)}: exit code {done.returncode}\n{done.stderr}")
        return done

    def calls(self, output):
        """Operations in their order, and how often each was done."""
        return [(name, int(count)) for name, count in (line.split() for line in output.splitlines())]

    def ipcq_runs(self, tool, count):
        """Puts and gets so many messages, both under `tool`, which makes a command of the one it gets."""
        self.lines.write_text((("x" * (CLI_LINE_BYTES - 1)) + "\n") * count)
        self.run(self.ipcq, "create", "cli", "--capacity", "8M")
        with self.lines.open() as file:
            self.run(*tool("cli-put", [self.ipcq, "put", "cli"]), stdin=file)
        self.run(*tool("cli-get", [self.ipcq, "get", "cli", "-n", count]))
        self.run(self.ipcq, "rm", "cli")


def count_instructions(programs, keep):
    """Instructions of each operation, and where its profile is."""
    if not shutil.which("valgrind"):
        raise CannotCount("valgrind is not installed")
    scratch = programs.directory
    callgrind = ["valgrind", "--tool=callgrind", "--quiet", "--error-exitcode=0"]

    def checked(done):
        # A call that valgrind does not know it refuses: the program would take another way than it takes without.
        unknown = [line for line in done.stderr.splitlines() if "unhandled" in line]
        if unknown:
            raise Failed("valgrind does not know all that the programs do: " + unknown[0])
        return done

    def total(path):
        return int(re.search(r"(?m)^(?:totals|summary): (\d+)", path.read_text())[1])

    measured, profiles = {}, {}

    def keep_profile(name, path):
        profiles[name] = keep / f"{name}.callgrind"
        shutil.copy(path, profiles[name])

    done = checked(
        programs.run(
            *callgrind, f"--callgrind-out-file={scratch}/operations", "--toggle-collect=ipcq_budget_once",
            "--dump-before=ipcq_budget_next", programs.budget,
        )  # fmt: skip
    )
    for number, (name, calls) in enumerate(programs.calls(done.stdout), 1):
        path = scratch / f"operations.{number}"
        measured[name] = total(path) / calls
        keep_profile(name, path)

    ways = {}
    for times in (1, 2):
        count = {name: times * messages for name, messages in CLI.items()}

        def tool(name, command, times=times):
            return [*callgrind, f"--callgrind-out-file={scratch}/{name}.{times}", *command]

        programs.ipcq_runs(tool, count["cli-put"])
        for name in CLI:
            ways[name, times] = total(scratch / f"{name}.{times}")
    for name, messages in CLI.items():
        measured[name] = (ways[name, 2] - ways[name, 1]) / messages
        keep_profile(name, scratch / f"{name}.2")
    return measured, profiles


CALL = re.compile(r"(\w+)\((.*)")


def calls_between_marks(log):
    """How often each operation was done, and all its calls. One in which a sleep came to its own end (a backstop, while the
    other process was slow) is left out, but counted."""
    done, calls, left_out = collections.Counter(), collections.defaultdict(collections.Counter), collections.Counter()
    name, inside, timed_out = None, collections.Counter(), False
    for line in log.splitlines():
        call = CALL.match(line)
        if not call:
            continue  # a signal, or an exit
        begin = re.match(r'write\(\d+, "budget:begin ([^"]*)"', line)
        if begin:
            name, inside, timed_out = begin[1], collections.Counter(), False
        elif re.match(r'write\(\d+, "budget:end"', line):
            if timed_out:
                left_out[name] += 1
            else:
                done[name] += 1
                calls[name] += inside
            name = None
        elif name:
            inside[call[1]] += 1
            timed_out |= call[1] == "futex" and "ETIMEDOUT" in line
    return done, calls, left_out


def calls_of_run(log):
    """All calls but those that wait for a thread to end, which one time it has and another time not: a thread dies at the
    beginning of each program, to see whether robust mutexes work. (The library's own waits are on the monotonic clock.)"""
    matches = [CALL.match(line) for line in log.splitlines() if "FUTEX_CLOCK_REALTIME" not in line]
    return collections.Counter(match[1] for match in matches if match)


def count_calls(programs):
    """System calls of each operation (of ipcq's verbs: of so many messages as CLI says), and how to see where they are made."""
    if not shutil.which("strace"):
        raise CannotCount("strace is not installed")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode != 0:
        raise CannotCount("strace may not trace here")
    log = programs.directory / "strace"
    strace = ["strace", "-qq", "-s", "100", "-e", "signal=none", "-o"]
    programs.run(*strace, log, programs.budget, "--marks", programs.mark_file)
    done, calls, left_out = calls_between_marks(log.read_text())
    measured, commands = {}, {}
    for name, count in done.items():
        if left_out[name] > count:
            raise CannotCount(f"{name}: most sleeps ended by themselves: the machine is too busy")
        measured[name] = {call: calls[name][call] / count for call in calls[name]}
        commands[name] = f"strace -k -e trace={{call}} {programs.budget} {name}"

    def tool(name, command):
        return [*strace, f"{programs.directory}/{name}", *command]

    totals = {}
    for times in (1, 2):
        programs.ipcq_runs(tool, times * CLI["cli-put"])
        for name in CLI:
            totals[name, times] = calls_of_run((programs.directory / name).read_text())
    for name in CLI:
        more = totals[name, 2]
        more.subtract(totals[name, 1])
        measured[name] = {call: count for call, count in more.items() if count}
        commands[name] = f"strace -k -e trace={{call}} {programs.ipcq} {name.removeprefix('cli-')} QUEUE"
    return measured, commands


# --- the document

BEGIN, END = "<!-- budgets.toml, written by ./dev budget --update -->\n", "<!-- end -->\n"


def shown(table):
    lines = [
        "| | |", "|---|---|",
        f"| compiled | {table['compiled']} |", f"| C library | {table['libc']} |", f"| machine | {table['machine']} |", f"| date | {table['date']} |", "",
        "| operation | what | instructions | budget | system calls |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, row in table["operation"].items():
        calls = ", ".join(f"{count:g} {call}" for call, count in sorted(row["system_calls"].items())) or "none"
        lines.append(
            f"| `{name}` | {row['what']} | {row['instructions']:,} | {most_instructions(row, table):,} | {calls} |"
        )
    return "\n".join(lines) + "\n"


def document_with(text, table):
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + shown(table) + "\n" + END + rest.split(END)[1]


# --- the verbs


def machine():
    model = re.search(r"(?m)^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text())
    tools = [
        subprocess.run([tool, "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
        for tool in ("valgrind", "strace")
    ]
    return ", ".join([model[1] if model else "?", f"Linux {platform.release()}", *tools])


def libc():
    return " ".join(platform.libc_ver())


@contextlib.contextmanager
def programs():
    base = os.environ.get("IPCQ_DIR") or "/dev/shm"
    with tempfile.TemporaryDirectory(prefix="ipcq-budget-", dir=base) as directory:
        yield Programs(directory)


def profile_folder():
    folder = pathlib.Path(os.environ.get("IPCQ_BUILD") or pathlib.Path(os.environ["IPCQ_BIN"]).parent) / "budget"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def told(complaints, hints=()):
    for text in [*hints, *complaints]:
        print(text)
    return 1 if complaints else 0


def instructions():
    table = read_table()
    compiled = os.environ.get("IPCQ_COMPILED", "nobody says what")
    if compiled != table["compiled"]:
        raise CannotCount(f"instructions have budgets for {table['compiled']}; this is {compiled}")
    with programs() as under_test:
        measured, profiles = count_instructions(under_test, profile_folder())
    for name, counted in measured.items():
        print(f"{name:32} {counted:12,.1f}")
    return told(*judge_instructions(table, measured, profiles))


def system_calls():
    table = read_table()
    with programs() as under_test:
        measured, commands = count_calls(under_test)
    for name, calls in measured.items():
        print(f"{name:32} {', '.join(f'{count:g} {call}' for call, count in sorted(calls.items())) or 'none'}")
    return told(judge_calls(table, measured, commands, libc()))


def document():
    text = DOCUMENT.read_text()
    if document_with(text, read_table()) == text:
        return 0
    print(f"{DOCUMENT} does not show {TABLE.name}: ./dev budget --update writes it")
    return 1


def update():
    with programs() as under_test:
        counted, _ = count_instructions(under_test, profile_folder())
        calls, _ = count_calls(under_test)
    settings = {
        "compiled": os.environ["IPCQ_COMPILED"], "libc": libc(), "machine": machine(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }  # fmt: skip
    rows = {name: (count, calls[name]) for name, count in counted.items()}
    TABLE.write_text(update_table(TABLE.read_text(), settings, rows))
    DOCUMENT.write_text(document_with(DOCUMENT.read_text(), read_table()))
    return 0


VERBS = {"instructions": instructions, "system-calls": system_calls, "document": document, "update": update}


def main(arguments):
    if len(arguments) != 1 or arguments[0] not in VERBS:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return VERBS[arguments[0]]()
    except CannotCount as why:
        print(why)
        return SKIPPED
    except (Failed, subprocess.TimeoutExpired) as failure:
        print(failure)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
