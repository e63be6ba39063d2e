#!/usr/bin/env python3
"""cratos against Go and against bare threads: the same workloads, one table.

A round runs each workload once on either side, one right after the other,
and every other round in the reverse order. The ratio is that of such a pair,
so what the machine does meanwhile falls on both; the table has the medians.

A row "floor: ..." has in the place of cratos a bare program that does no more
than the workload above it needs, by threads that are handed what is to be done.
Rows without a bar are there to compare.
"""

import argparse
import collections
import os
import platform
import re
import statistics
import subprocess
import sys
import time

TIMEOUT_S = 60  # for one program
PAIR_BUDGET_S = 40  # no further round of a pair after that
NO_BAR = None

Row = collections.namedtuple("Row", "label figure kind bar")
# repeats: runs a round, of which the round's figure is the median.
Pair = collections.namedtuple("Pair", "ours theirs against repeats rows")
Result = collections.namedtuple("Result", "row against pairs error")

# ---- the workloads, and their bars ----


def group(workload, label, bar, number=None):
    command = [workload] + ([str(number)] if number else [])
    return Pair(["errgroup"] + command, ["go/errgroup"] + command, "Go", 1,
                [Row(label, 0, "ns", bar)])


def context(workload, label, bar):
    return Pair(["context", workload], ["go/context", workload], "Go", 1,
                [Row(label, 0, "ns", bar)])


def group_floor(workload, go, label, number=None):
    arguments = [workload] + ([str(number)] if number else [])
    return Pair(["errgroup_floor"] + arguments, [go] + arguments, "Go", 1,
                [Row("floor: " + label, 0, "ns", NO_BAR)])


def cold(workload, label, repeats, bar):
    return Pair(["errgroup", workload], ["errgroup_floor", workload],
                "threads", repeats, [Row(label, 0, "ns", bar)])


def app(ours, kind, count, theirs, against, rows):
    return Pair(["drive", ours, kind, str(count)],
                ["drive", theirs, kind, str(count)],
                against, 5 if count < 10000 else 3, rows)


def app_times(start, kind, count, bar):
    servers = "%s of %d %s server%s" % (start, count, kind,
                                        "s" if count > 1 else "")
    return [Row(servers + ", exec to ready", 0, "ns", bar),
            Row(servers + ", SIGTERM to exit", 1, "ns", bar)]


def app_go(kind, count, bar):
    return app("app", kind, count, "go/app", "Go",
               app_times("app", kind, count, bar))


def app_floor(kind, count):
    return app("app_floor", kind, count, "go/app", "Go",
               app_times("floor: app", kind, count, NO_BAR))


def app_threads(kind, count, bar):
    return app("app", kind, count, "app_floor", "threads",
               app_times("app", kind, count, bar))


def app_memory(theirs, against, bar):
    """Linked with the shared libc, as most are; see the Makefile."""
    return app("app_shared", "blocking", 10, theirs, against,
               [Row("app of 10 blocking servers, memory", 2, "B", bar)])


def all_pairs(steps_a_us):
    return [
        group("one_task", "group with context, 1 empty task", 0.50),
        group("fan_out_10", "fan-out, 10 empty tasks", 0.33),
        group("fan_out_100", "fan-out, 100 empty tasks", 0.33),
        group("fan_out_1000", "fan-out, 1,000 empty tasks", 0.33),
        group("many", "1,000,000 empty tasks", 0.33),
        group("many_limit_2", "1,000,000 empty tasks, limit 2", 0.50),
        group_floor("many_limit_2", "go/errgroup",
                    "1,000,000 empty tasks, limit 2"),
        group("many_limit_64", "1,000,000 empty tasks, limit 64", 0.50),
        group("limit_2_work", "a task of 1 us of work, limit 2", 0.60,
              steps_a_us),
        group_floor("limit_2_work", "go/errgroup",
                    "a task of 1 us of work, limit 2", steps_a_us),
        group("fork_joins", "recursive fork-join, depth 12", 0.50),
        group("producers", "a task of four producers, limit 8", 0.50),
        group_floor("producers", "go/errgroup",
                    "a task of four producers, limit 8"),
        context("cancel", "context: make and cancel", 0.50),
        context("child", "context: make and cancel a child", 0.50),
        context("timeout", "context: the same with timeout", 0.50),
        context("err", "context_err, live context", 0.25),
        context("parked_1000", "1,000 functions parked, cancel, all ran",
                0.33),
        group_floor("parked_1000", "go/context",
                    "1,000 functions parked, ..., all ran"),
        context("parked_10000", "10,000 functions parked, cancel, all ran",
                0.33),
        cold("blocked", "1,000 tasks block, cancel, wait", 5, 1.20),
        group("blocked", "1,000 tasks block, cancel, wait", NO_BAR),
        cold("sleepers", "1,000 tasks that sleep for 1 ms", 5, NO_BAR),
        group("sleepers", "1,000 tasks that sleep for 1 ms", NO_BAR),
        cold("first_task", "first task of a process", 41, 1.20),
        app_go("hook", 1, 0.50),
        app_floor("hook", 1),
        app_go("hook", 10, 0.50),
        app_floor("hook", 10),
        app_go("hook", 100, 0.50),
        app_floor("hook", 100),
        app_go("hook", 1000, 0.50),
        app_floor("hook", 1000),
        app_go("hook", 10000, 0.50),
        app_floor("hook", 10000),
        app_go("blocking", 1, 0.80),
        app_floor("blocking", 1),
        app_go("blocking", 10, 0.80),
        app_floor("blocking", 10),
        app_memory("go/app", "Go", 0.25),
        app_memory("app_floor_shared", "threads", 1.5),
        app_threads("blocking", 100, 1.15),
        app_go("blocking", 100, NO_BAR),
        app_threads("blocking", 1000, 1.15),
        app_go("blocking", 1000, NO_BAR),
    ]


# ---- running them ----


class Failed(Exception):
    pass


def run(programs, command):
    """The figures that a program prints."""
    # The driver takes the path of what it drives.
    words = 2 if command[0] == "drive" else 1
    argv = [os.path.join(programs, word) for word in command[:words]]
    argv += command[words:]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True,
                              timeout=TIMEOUT_S)
    except OSError as error:
        raise Failed(str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise Failed("%s: more than %d s"
                     % (" ".join(command), TIMEOUT_S)) from error
    figures = [float(word) for word in done.stdout.split()]
    if done.returncode or not figures:
        raise Failed("%s: status %d: %s" % (" ".join(command),
                                            done.returncode,
                                            done.stderr.strip()))
    return figures


def run_round(programs, pair, ours_first, repeats):
    """Each side's figures: medians of runs in turn."""
    ours, theirs = [], []
    for i in range(repeats):
        sides = [(ours, pair.ours), (theirs, pair.theirs)]
        if (i % 2 == 0) != ours_first:
            sides.reverse()
        for figures, command in sides:
            figures.append(run(programs, command))
    return ([statistics.median(column) for column in zip(*ours)],
            [statistics.median(column) for column in zip(*theirs)])


def run_pair(programs, pair, rows, options):
    """A result for each of rows."""
    rounds, error = [], None
    start = time.monotonic()
    repeats = min(pair.repeats, 3) if options.quick else pair.repeats
    try:
        for i in range(options.rounds):
            rounds.append(run_round(programs, pair, i % 2 == 0, repeats))
            if time.monotonic() - start > PAIR_BUDGET_S:
                break
    except Failed as failure:
        error = str(failure)
    return [Result(row, pair.against,
                   [(ours[row.figure], theirs[row.figure])
                    for ours, theirs in rounds], error) for row in rows]


# ---- the table ----

HEAD = ["workload", "cratos", "against", "", "ratio", "spread", "bar", ""]


def with_unit(value, kind):
    steps = [(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1, "ns")]
    if kind == "B":
        steps = [(2 ** 20, "MiB"), (2 ** 10, "KiB"), (1, "B")]
    size, unit = next((step for step in steps if value >= step[0]), steps[-1])
    value /= size
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return "%.*f %s" % (digits, value, unit)


def columns(result):
    row = result.row
    bar = "" if row.bar is NO_BAR else "%.2f" % row.bar
    if result.error:
        return [row.label, "", "", result.against, "", "", bar, "failed"]
    ours, theirs = zip(*result.pairs)
    ratios = [a / b for a, b in result.pairs]
    ratio = statistics.median(ratios)
    verdict = "" if row.bar is NO_BAR else "met" if ratio <= row.bar else "over"
    return [row.label,
            with_unit(statistics.median(ours), row.kind),
            with_unit(statistics.median(theirs), row.kind),
            result.against,
            "%.2f" % ratio,
            "%.2f..%.2f" % (min(ratios), max(ratios)),
            bar,
            verdict]


def print_line(cells):
    widths = [49, 9, 9, 7, 6, 12, 5, 0]
    line = cells[0].ljust(widths[0])
    for cell, width in zip(cells[1:], widths[1:]):
        line += "  " + (cell.ljust(width) if cell in ("Go", "threads")
                        else cell.rjust(width))
    print(line.rstrip(), flush=True)


def markdown(lines, about):
    text = "| %s |\n" % " | ".join(HEAD)
    text += "|---|--:|--:|---|--:|--:|--:|---|\n"
    for cells in lines:
        text += "| %s |\n" % " | ".join(cells)
    return text + "\n%s\n" % "\n".join(about)


# ---- the machine and the versions ----


def first_line(argv):
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return "unknown"
    return (done.stdout.splitlines() or ["unknown"])[0]


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        found = re.search(r"^model name\s*: (.*)$", cpuinfo.read(), re.M)
    return found.group(1) if found else platform.machine()


def about(options):
    sync = first_line(["dpkg-query", "-W", "-f", "${Version}",
                       "golang-golang-x-sync-dev"])
    return [
        "%s, %d cores, Linux %s." % (cpu_model(), os.cpu_count(),
                                     platform.release()),
        "cratos %s, %s; %s, x/sync %s." % (
            options.version, first_line(options.cc.split() + ["--version"]),
            first_line(["go", "version"]), sync),
        "Medians of up to %d rounds; the spread is the least and the greatest"
        " ratio of a round." % options.rounds,
    ]


def regex(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(error) from error


def count(text):
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("not a number from 1 on: %s" % text)
    return int(text)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", default="build/bench",
                        help="the folder with the programs")
    parser.add_argument("--markdown", metavar="FILE",
                        help="write the table of all workloads there, too")
    parser.add_argument("--cc", default="cc", help="what compiled them")
    parser.add_argument("--version", default="unknown", help="of cratos")
    parser.add_argument("--rounds", type=count, default=9,
                        help="of each workload, at most")
    parser.add_argument("--only", type=regex, default=None, metavar="REGEX",
                        help="the workloads whose label matches")
    parser.add_argument("--quick", action="store_true",
                        help="three rounds, fewer runs in each")
    options = parser.parse_args()
    if options.quick:
        options.rounds = min(options.rounds, 3)
    return options


def measure(programs, options):
    """Prints the table. Returns its lines and the errors."""
    step_ns = min(run(programs, ["errgroup", "work"])[0] for _ in range(3))
    lines, errors = [], []
    for pair in all_pairs(round(1000 / step_ns)):
        rows = [row for row in pair.rows
                if not options.only or options.only.search(row.label)]
        if not rows:
            continue
        if not lines:
            print("\n".join(about(options)) + "\n")
            print_line(HEAD)
        for result in run_pair(programs, pair, rows, options):
            lines.append(columns(result))
            print_line(lines[-1])
        if result.error:
            errors.append(result.error)
            print("run.py: %s" % result.error, file=sys.stderr, flush=True)
    return lines, errors


def main():
    options = parse_options()
    try:
        lines, errors = measure(os.path.abspath(options.programs), options)
        if not lines:
            sys.exit("run.py: --only: no workload has a name like that")
        if options.markdown and not options.only:
            with open(options.markdown, "w", encoding="utf-8") as file:
                file.write(markdown(lines, about(options)))
    except (Failed, OSError) as failure:
        sys.exit("run.py: %s" % failure)
    except KeyboardInterrupt:
        sys.exit(130)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
