#!/usr/bin/env python3
"""cratos run against a bare posix_spawn loop, and against other runners.

Every round runs each runner once, every other round in the reverse order. A
ratio is that of the two sides of a round, so what the machine does meanwhile
falls on both; the tables have the medians.
"""

import argparse
import collections
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

COUNTS = (1, 10, 100, 1000)
TIMEOUT_S = 120  # for one run
SLOW_S = 5  # a runner that took longer is not run again for that N
START_BAR = STOP_BAR = 1.3
RESTART_BAR = 1.5
MEMORY_BAR_B = 2 * 2 ** 20  # and for each child:
MEMORY_BAR_CHILD_B = 2 * 2 ** 10

Figures = collections.namedtuple(
    "Figures", "start stop memory ticks switches restart")

# ---- the runners: each a function that gives a command for N children ----


def cratos(options, folder, count):
    path = os.path.join(folder, "app.ini")
    with open(path, "w", encoding="utf-8") as file:
        file.write("[app]\nname = bench\n")
        for i in range(count):
            file.write("[server:s%d]\nexec = %s\nrestart = always\n"
                       "restart_delay = 0\nrestart_limit = 0\n"
                       % (i, options.child))
    return [options.cratos, "run", path]


def floor(options, folder, count):
    del folder
    return [options.floor, str(count), options.child]


def service_folders(options, folder, count):
    services = os.path.join(folder, "services")
    for i in range(count):
        service = os.path.join(services, "s%d" % i)
        os.makedirs(service)
        os.symlink(options.child, os.path.join(service, "run"))
    return services


def s6(options, folder, count):
    return ["s6-svscan", "-c", str(max(2 * count, 8)),
            service_folders(options, folder, count)]


def runit(options, folder, count):
    return ["runsvdir", service_folders(options, folder, count)]


def supervisord(options, folder, count):
    path = os.path.join(folder, "supervisord.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write("[supervisord]\nnodaemon = true\nlogfile = /dev/null\n"
                   "logfile_maxbytes = 0\npidfile = %s/pid\nminfds = %d\n"
                   "user = %s\n" % (folder, 1024 + 4 * count,
                                    os.environ.get("USER", "root")))
        for i in range(count):
            file.write("[program:s%d]\ncommand = %s\nstartsecs = 0\n"
                       "autorestart = true\nstdout_logfile = NONE\n"
                       "stderr_logfile = NONE\n" % (i, options.child))
    return ["supervisord", "-n", "-c", path]


def single(*words):
    def command(options, folder, count):
        del folder, count
        return [options.cratos if word == "cratos" else word
                for word in words] + [options.child]
    return command


# most: children that it can have. restarts: whether it starts them again.
Runner = collections.namedtuple("Runner", "name needs command stop most restarts")
RUNNERS = [
    Runner("floor", None, floor, signal.SIGTERM, None, True),
    Runner("cratos run", None, cratos, signal.SIGTERM, None, True),
    Runner("s6-svscan", "s6-svscan", s6, signal.SIGTERM, None, True),
    Runner("runsvdir", "runsvdir", runit, signal.SIGHUP, None, True),
    Runner("supervisord", "supervisord", supervisord, signal.SIGTERM, None,
           True),
    Runner("cratos exec", None, single("cratos", "exec", "--"),
           signal.SIGTERM, 1, False),
    Runner("tini", "tini", single("tini", "-s", "--"), signal.SIGTERM, 1,
           False),
    Runner("dumb-init", "dumb-init", single("dumb-init"), signal.SIGTERM, 1,
           False),
    Runner("catatonit", "catatonit", single("catatonit", "--"),
           signal.SIGTERM, 1, False),
]

# ---- running them ----


class Failed(Exception):
    pass


def measure(options, runner, count, rest_ms=0, restarts=0):
    # Where service folders are decides much: in memory, if that can be had.
    with tempfile.TemporaryDirectory(prefix="runner-",
                                     dir=options.folder) as folder:
        command = runner.command(options, folder, count)
        argv = [options.drive, str(count), str(int(runner.stop)),
                str(rest_ms), str(restarts if runner.restarts else 0)]
        try:
            done = subprocess.run(argv + command, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True,
                                  timeout=TIMEOUT_S, check=False,
                                  env=dict(os.environ, TMPDIR=folder))
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed("%s: %s" % (runner.name, error)) from error
    figures = done.stdout.split()
    if done.returncode or len(figures) != len(Figures._fields):
        raise Failed("%s, %d children: %s" % (runner.name, count,
                                              done.stderr.strip()))
    return Figures(*map(int, figures))


def measure_all(options, runners, count, rounds, **more):
    """The figures of each runner, a list of one for each round."""
    results = {runner.name: [] for runner in runners}
    gone = set()
    for i in range(rounds):
        for runner in runners if i % 2 == 0 else reversed(runners):
            if runner.name in gone:
                continue
            begin = time.monotonic()
            try:
                results[runner.name].append(
                    measure(options, runner, count, **more))
            except Failed as failure:
                print("runner.py: %s" % failure, file=sys.stderr, flush=True)
                gone.add(runner.name)
            if time.monotonic() - begin > SLOW_S:
                gone.add(runner.name)
    return results


# ---- the tables ----


def ms(value_ns):
    value = value_ns / 1e6
    return "%.*f" % (2 if value < 10 else 1 if value < 100 else 0, value)


def median(figures, field):
    return statistics.median(getattr(one, field) for one in figures)


def print_row(cells, widths):
    print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                    for i, (cell, width) in enumerate(zip(cells, widths)))
          .rstrip(), flush=True)


def judge(ours, bar):
    return "met" if ours <= bar else "over"


def print_bars(results, still):
    widths = (34, 9, 9, 6, 12, 5, 4)
    print_row(("cratos run", "cratos", "floor", "ratio", "spread", "bar", ""),
              widths)

    def ratio_row(label, ours, theirs, field, bar):
        pairs = [(getattr(a, field), getattr(b, field))
                 for a, b in zip(ours, theirs)]
        if not pairs:
            print_row((label, "failed"), widths)
            return
        ratios = [a / b for a, b in pairs]
        ratio = statistics.median(ratios)
        print_row((label, ms(median(ours, field)), ms(median(theirs, field)),
                   "%.2f" % ratio, "%.2f..%.2f" % (min(ratios), max(ratios)),
                   "%.2f" % bar, judge(ratio, bar)), widths)

    for count, result in results.items():
        children = "%d child%s" % (count, "" if count == 1 else "ren")
        ratio_row("start of %s, ms" % children, result["cratos run"],
                  result["floor"], "start", START_BAR)
        ratio_row("stop of %s, ms" % children, result["cratos run"],
                  result["floor"], "stop", STOP_BAR)
    for count, result in still.items():
        ours, theirs = result["cratos run"], result["floor"]
        if not ours or not theirs:
            continue
        ratio_row("restart of one of %d, ms" % count, ours, theirs, "restart",
                  RESTART_BAR)
        memory, bar = median(ours, "memory"), \
            MEMORY_BAR_B + count * MEMORY_BAR_CHILD_B
        print_row(("memory with %d, KiB" % count, "%d" % (memory / 1024),
                   "%d" % (median(theirs, "memory") / 1024), "", "",
                   "%d" % (bar / 1024), judge(memory, bar)), widths)
        for field in "ticks", "switches":
            print_row(("%s at rest with %d" % (field, count),
                       "%d" % median(ours, field),
                       "%d" % median(theirs, field), "", "", "0",
                       judge(median(ours, field), 0)), widths)


def print_others(runners, results, still):
    widths = [12] + [15] * len(results) + [12, 10, 14]
    print("\nAll of them: start / stop in ms for N children; with the most, "
          "memory in MiB,\nrestart in ms, and ticks / switches at rest.")
    print_row(["runner"] + ["N=%d" % count for count in results] +
              ["memory", "restart", "at rest"], widths)
    for runner in runners:
        cells = [runner.name]
        for result in results.values():
            figures = result.get(runner.name)
            cells.append("%s / %s" % (ms(median(figures, "start")),
                                      ms(median(figures, "stop")))
                         if figures else "-")
        for count, result in reversed(still.items()):
            figures = result.get(runner.name)
            if not figures:
                continue
            cells += ["%.2f (N=%d)" % (median(figures, "memory") / 2 ** 20,
                                       count),
                      ms(median(figures, "restart"))
                      if runner.restarts else "-",
                      "%d / %d" % (median(figures, "ticks"),
                                   median(figures, "switches"))]
            break
        print_row(cells, widths)


# ---- main ----


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", default="build/bench",
                        help="the folder with the programs")
    parser.add_argument("--cratos", default="build/cratos")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS,
                        metavar="N")
    parser.add_argument("--only", default="", metavar="REGEX",
                        help="the runners whose name matches, and the floor")
    parser.add_argument("--rest-ms", type=int, default=3000)
    parser.add_argument("--restarts", type=int, default=21)
    parser.add_argument("--part", choices=("times", "still", "all"),
                        default="all", help="starts and stops, or the rest")
    parser.add_argument("--folder", help="where service folders are made")
    options = parser.parse_args()
    programs = os.path.abspath(options.programs)
    options.cratos = os.path.abspath(options.cratos)
    for name in "drive", "floor", "child":
        setattr(options, name, os.path.join(programs, "runner_" + name))
    return options


def main():
    options = parse_options()
    only = re.compile(options.only)
    runners = [runner for runner in RUNNERS
               if runner.name == "floor" or only.search(runner.name)]
    for runner in list(runners):
        if runner.needs and not shutil.which(runner.needs):
            print("%s is not installed: make deps-bench" % runner.needs)
            runners.remove(runner)
    results, still = {}, {}
    for count in options.counts:
        able = [one for one in runners if count <= (one.most or count)]
        if options.part != "still":
            results[count] = measure_all(options, able, count, options.rounds)
        if options.part != "times" and count in (1, max(options.counts)):
            still[count] = measure_all(
                options, able, count, min(options.rounds, 3),
                rest_ms=options.rest_ms, restarts=options.restarts)
    if any(one.name == "cratos run" for one in runners):
        print_bars(results, still)
    print_others(runners, results, still)
    return 0


if __name__ == "__main__":
    sys.exit(main())
