#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What ./test runs, in order, and the sum of it.

Each step has a budget of time: it is printed beside the time used, and tells where time goes; no test fails for it. A step adds the tests that
it ran (a check, a cmocka test, a fuzzer, a pytest) to one tally. With NAME only the tests whose names hold it run. Whatever is started here is
ended by its process id."""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
OTHERS = ROOT / "build-test"
CORES = os.cpu_count() or 2
SETARCH = ["setarch", "-R"]  # sanitizers need their addresses free
UNIT_ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}


class Tally:
    """Everything that was tried, by full name ("unit/base: a_text_is_trimmed")."""

    def __init__(self):
        self.passed = 0
        self.failed = []  # (name, what was said)
        self.skipped = []  # (name, reason)
        self.steps = []  # (name, seconds, budget)

    def passes(self, _name):
        self.passed += 1

    def fails(self, name, said):
        self.failed.append((name, said))
        lines = said.rstrip().splitlines()
        print(f"  FAILED {name}", *("    | " + line for line in lines[-25:]), sep="\n", flush=True)

    def skips(self, name, reason):
        self.skipped.append((name, reason or "no reason given"))

    def counts(self):
        return self.passed, len(self.failed), len(self.skipped)


@contextlib.contextmanager
def step(tally, name, budget):
    before, began = tally.counts(), time.monotonic()
    print(f"==> {name} (budget {budget} s)", flush=True)
    try:
        yield
    except subprocess.CalledProcessError as error:
        tally.fails(name, f"{' '.join(map(str, error.cmd))} ended with {error.returncode}\n{error.output or ''}")
    used = time.monotonic() - began
    tally.steps.append((name, used, budget))
    passed, failed, skipped = (after - earlier for after, earlier in zip(tally.counts(), before))
    print(f"    {passed} passed, {failed} failed, {skipped} skipped in {used:.0f} of {budget} s", flush=True)


# --- running programs --------------------------------------------------------------------------------------------------------------------

running = {}  # process id -> Popen, each the leader of its own group


def start(command, **options):
    process = subprocess.Popen(command, cwd=options.pop("cwd", ROOT), stdin=subprocess.DEVNULL, stdout=options.pop("stdout", subprocess.PIPE),
                               stderr=subprocess.STDOUT, start_new_session=True, text=True, errors="replace", **options)
    running[process.pid] = process
    return process


def finish(process, timeout=None):
    """Its output; when the time is over it and what it started are ended."""
    try:
        said, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        said += f"\nended after {timeout} s without a result"
    running.pop(process.pid, None)
    return said or ""


def run(command, timeout=None, **options):
    """(exit status, output)"""
    process = start([str(word) for word in command], **options)
    said = finish(process, timeout)
    return process.returncode, said


def must(command, timeout=None, **options):
    status, said = run(command, timeout, **options)
    if status != 0:
        raise subprocess.CalledProcessError(status, command, said)
    return said


def end_what_runs():
    """An interrupt first: pytest then stops the servers that it started."""
    for number, patience in ((signal.SIGINT, 30), (signal.SIGKILL, 5)):
        for pid in list(running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
        end = time.monotonic() + patience
        while running and time.monotonic() < end:
            for pid, process in list(running.items()):
                if process.poll() is not None:
                    del running[pid]
            time.sleep(0.05)


# --- a: checks -----------------------------------------------------------------------------------------------------------------------------

def checks(tally, wanted, after_build):
    """Each program in tests/checks is one check: it prints what is wrong and where, and ends with 1. Those whose usage begins with PORTIERE come
    after the build and get the program."""
    for path in sorted((ROOT / "tests" / "checks").glob("*.py")):
        name = f"checks/{path.stem}"
        needs_build = f"usage: {path.name} PORTIERE" in path.read_text("utf-8")
        if needs_build != after_build or not wanted(name):
            continue
        status, said = run(["/usr/bin/python3", path, *([BUILD / "portiere"] if needs_build else [])], timeout=300)
        if status == 0:
            tally.passes(name)
        else:
            tally.fails(name, said)


# --- b: builds -----------------------------------------------------------------------------------------------------------------------------

def set_up(folder, options, compiler=None):
    """The folder of a build; one that was set up otherwise, or half, is made anew. build/ is also the one of ./run, and stays as it is."""
    stamp = folder / "options-of-test"
    wanted = json.dumps([compiler, options])
    if folder != BUILD and folder.exists() and (not stamp.exists() or stamp.read_text() != wanted):
        shutil.rmtree(folder)
    if not (folder / "build.ninja").exists():
        environment = {**os.environ, **({"CC": compiler} if compiler else {})}
        must(["meson", "setup", folder, *options], timeout=300, env=environment)
    if folder != BUILD:
        stamp.write_text(wanted)


def build(folder, targets=()):
    must(["ninja", "-C", folder, "--quiet", *targets], timeout=1800)


def builds(tally, name, folder, options, compiler=None):
    set_up(folder, options, compiler)
    build(folder)
    tally.passes(name)


# --- c: unit tests -------------------------------------------------------------------------------------------------------------------------

TAP_POINT = re.compile(r"^\s*(not )?ok\b\s*(\d+)?\s*(?:- )?\s*(.*?)\s*(?:#\s*(SKIP|TODO)\b\s*:?\s*(.*))?$", re.I)


def tap_points(said):
    """(name, "passed" | "failed" | "skipped", lines said for it) of each test of a TAP output; cmocka skips with "not ok N # SKIP name"."""
    notes = []
    for line in said.splitlines():
        found = TAP_POINT.match(line)
        if not found:
            if line.strip() and not re.match(r"^\s*(1\.\.\d+|TAP version \d+)", line):
                notes.append(line.strip().removeprefix("#").strip())
            continue
        failed, _, name, mark, rest = found.groups()
        if (mark or "").upper() == "SKIP":
            yield name or rest, "skipped", [rest] if name and rest else notes
        else:
            yield name, "failed" if failed else "passed", notes
        notes = []


def meson_tests(folder, suite, name_filter):
    """The tests of a suite with what has to be built for them; of a name, those whose sources hold it."""
    targets = json.loads(must(["meson", "introspect", "--targets", folder]))
    by_id = {target["id"]: target for target in targets}
    by_file = {target["filename"][0]: target for target in targets}
    for test in json.loads(must(["meson", "introspect", "--tests", folder])):
        if not any(word.endswith(f":{suite}") for word in test["suite"]):
            continue
        target = by_file[test["cmd"][0]]
        sources = [path for group in target["target_sources"] for path in group.get("sources", [])]
        if name_filter and name_filter not in test["name"] and not any(name_filter in pathlib.Path(path).read_text("utf-8") for path in sources):
            continue
        test["files"] = [target["filename"][0], *(by_id[needed]["filename"][0] for needed in test["depends"])]
        yield test


def unit_tests(tally, suite, name_filter, long):
    folder = OTHERS / "san"
    set_up(folder, ["-Dtests=true", "-Db_sanitize=address,undefined", "-Db_lundef=false", "--buildtype=debugoptimized"])
    waiting, active = list(meson_tests(folder, suite, name_filter)), {}
    if name_filter and not waiting:
        return
    build(folder, sorted({os.path.relpath(file, folder) for test in waiting for file in test["files"]}) if name_filter else ())
    while waiting or active:
        while waiting and len(active) < CORES:
            test = waiting.pop(0)
            environment = {**os.environ, **UNIT_ENVIRONMENT, **test["env"], "PORTIERE_LONG": "1" if long else ""}
            output = tempfile.TemporaryFile("w+", errors="replace")
            process = start([*SETARCH, *test["cmd"]], env=environment, stdout=output, cwd=test["workdir"] or folder)
            active[process.pid] = (test, process, output, time.monotonic() + (40 if long else 3) * max(test["timeout"], 60))
        time.sleep(0.05)
        for pid, (test, process, output, deadline) in list(active.items()):
            if process.poll() is None and time.monotonic() < deadline:
                continue
            if process.poll() is None:
                os.killpg(pid, signal.SIGKILL)
                process.wait()
            del active[pid]
            running.pop(pid, None)
            output.seek(0)
            count_unit_test(tally, suite, test, process.returncode, output.read(), name_filter)
            output.close()


def count_unit_test(tally, suite, test, status, said, name_filter):
    points, has_failed = list(tap_points(said)), False
    for name, result, notes in points:
        full = f"{suite}/{test['name']}: {name}"
        if name_filter and name_filter not in full:
            continue
        if result == "passed":
            tally.passes(full)
        elif result == "skipped":
            tally.skips(full, " ".join(notes))
        else:
            has_failed = True
            tally.fails(full, "\n".join(notes))
    planned = sum(int(count) for count in re.findall(r"^1\.\.(\d+)", said, re.M))
    if (status != 0 and not has_failed) or not points or planned != len(points):
        tally.fails(f"{suite}/{test['name']}", f"{said}\nit ended with {status} after {len(points)} of {planned} tests")


# --- d: fuzzers ----------------------------------------------------------------------------------------------------------------------------

def fuzz_seeds(name, corpus):
    """tests/fuzz/SUBJECT, where SUBJECT_fuzz (or PART_SUBJECT_fuzz) is the program; the server's seeds are the conversations."""
    subject = name.removesuffix("_fuzz")
    for folder in sorted(path for path in (ROOT / "tests" / "fuzz").iterdir() if path.is_dir()):
        if folder.name == subject or subject.startswith(folder.name + "_") or subject.endswith("_" + folder.name):
            for seed in folder.iterdir():
                shutil.copy(seed, corpus)
    if subject in ("server", "smtp_server"):
        must(["/usr/bin/python3", "tests/fuzz/conversation_seeds.py", corpus])


def fuzzers(tally, wanted, seconds):
    folder = OTHERS / "fuzz"
    set_up(folder, ["-Dfuzzers=true", "-Db_sanitize=address,undefined", "-Db_lundef=false", "--buildtype=debugoptimized"], "clang")
    targets = json.loads(must(["meson", "introspect", "--targets", folder]))
    programs = [target for target in targets if target["type"] == "executable" and target["name"].endswith("_fuzz") and wanted(f"fuzz/{target['name']}")]
    if not programs:
        return
    build(folder, [os.path.relpath(target["filename"][0], folder) for target in programs])
    waiting, active = list(programs), []
    while waiting or active:
        while waiting and len(active) < CORES:
            target = waiting.pop(0)
            found = folder / "found" / target["name"]
            shutil.rmtree(found, ignore_errors=True)
            (found / "corpus").mkdir(parents=True)
            fuzz_seeds(target["name"], found / "corpus")
            process = start([*SETARCH, target["filename"][0], f"-max_total_time={seconds}", "-timeout=25", "-rss_limit_mb=3000", "-max_len=65536", "-print_final_stats=1",
                             f"-artifact_prefix={found}/", str(found / "corpus")],
                            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"})
            active.append((target, process))
        target, process = active.pop(0)
        said = finish(process, timeout=seconds * 4 + 120)
        name = f"fuzz/{target['name']}"
        runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
        if process.returncode == 0 and runs and int(runs[1]) > 0:
            tally.passes(name)
            print(f"    {name}: {int(runs[1]):,} inputs in {seconds} s", flush=True)
        else:
            tally.fails(name, said)


# --- e, f: from outside --------------------------------------------------------------------------------------------------------------------

def pytest_start(label, path, name_filter, environment, marks):
    """(report, process) of one file's tests: each file has a process of its own, so that files run side by side."""
    report = OTHERS / f"{label}-{path.stem}.xml"
    report.unlink(missing_ok=True)
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "--durations=3", f"--junitxml={report}",
               "-o", "junit_family=xunit1", str(path), *(["-k", name_filter] if name_filter else []), *(["-m", marks] if marks else [])]
    output = tempfile.TemporaryFile("w+", errors="replace")
    return report, output, start(command, stdout=output, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment})


def pytest_count(tally, label, path, report, status, said, may_be_none):
    """Adds the tests of one file; a pytest that could not even begin is a failure."""
    (OTHERS / f"{label}-{path.stem}.txt").write_text(said)
    if status == 5 and may_be_none:  # no test of that name or mark
        return
    count = 0
    if report.exists():
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            count += 1
            name = f"{label}/{path.stem}: {case.get('name')}"
            problem = case.find("failure") if case.find("failure") is not None else case.find("error")
            skip = case.find("skipped")
            if problem is not None:
                tally.fails(name, problem.text or problem.get("message", ""))
            elif skip is not None:
                tally.skips(name, skip.get("message"))
            else:
                tally.passes(name)
    if status not in (0, 1) or count == 0:
        tally.fails(f"{label}/{path.stem}", said)
    for line in said.splitlines():
        found = re.match(r"^(\d+)\.\d\ds (call|setup|teardown) +(\S+)", line)
        if found and int(found[1]) >= 10:
            print(f"    {found[1]:>4} s {found[3].rpartition('/')[2]}", flush=True)


def pytest(tally, label, paths, name_filter, environment, marks=None, timeout=3600, at_once=1):
    OTHERS.mkdir(exist_ok=True)
    if name_filter and not re.fullmatch(r"[\w:+./\[\]\\-]+( (and|or|not|and not|or not) [\w:+./\[\]\\-]+)*", name_filter):
        return  # not what pytest -k can read: none of its tests is called so
    waiting, active = sorted(paths, key=lambda path: -path.stat().st_size), []
    while waiting or active:
        while waiting and len(active) < at_once:
            path = waiting.pop(0)
            active.append((path, time.monotonic() + timeout, *pytest_start(label, path, name_filter, environment, marks)))
        time.sleep(0.05)
        for item in list(active):
            path, deadline, report, output, process = item
            if process.poll() is None and time.monotonic() < deadline:
                continue
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            active.remove(item)
            running.pop(process.pid, None)
            output.seek(0)
            pytest_count(tally, label, path, report, process.returncode, output.read(), name_filter or marks)
            output.close()


# --- g: threads ----------------------------------------------------------------------------------------------------------------------------

THREADED = ("portiere-front", "portiere-relay", "portiere-queue")


def threads(tally, name, environment):
    """The roles with threads, built with ThreadSanitizer, beside the others in a real server. Its reports come with offsets, which the test makes
    lines of: in the sandbox no symbolizer can be started."""
    subject = ROOT / "tests" / "end_to_end" / "test_threads.py"
    if name and name not in subject.read_text("utf-8"):
        return
    folder, mixed = OTHERS / "tsan", OTHERS / "tsan-mixed"
    set_up(folder, ["-Db_sanitize=thread", "-Db_lundef=false", "--buildtype=debugoptimized"], "clang")
    build(folder, [f"src/roles/{program}" for program in THREADED])
    shutil.rmtree(mixed, ignore_errors=True)
    mixed.mkdir(parents=True)
    for program in [*BUILD.glob("portiere"), *BUILD.glob("portiere-*"), *(folder / "src" / "roles" / program for program in THREADED)]:
        if program.is_file():
            shutil.copy(program, mixed)
    pytest(tally, "threads", [subject], name, {**environment, "PORTIERE_BUILD": str(mixed), "PORTIERE_SANITIZED": "1", "TSAN_OPTIONS": "symbolize=0"})


# -------------------------------------------------------------------------------------------------------------------------------------------

def arguments():
    parser = argparse.ArgumentParser(prog="./test", description="Runs every test, or those whose names hold NAME.")
    parser.add_argument("--long", action="store_true", help="more rounds: fuzzers 120 s each, 10,000 kills, 1,000 reloads ...")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="only tests whose names hold this")
    return parser.parse_args()


def everything(tally, options):
    name = options.name

    def wanted(full):
        return name in full

    environment = {"PORTIERE_BUILD": str(BUILD), "PORTIERE_LONG": "1" if options.long else "", "PORTIERE_SANITIZED": ""}
    with step(tally, "checks of the sources", 20):
        checks(tally, wanted, after_build=False)
    with step(tally, "build with gcc", 100):
        if name:
            set_up(BUILD, ["--buildtype=release"])
            build(BUILD)
        else:
            builds(tally, "build/gcc", BUILD, ["--buildtype=release"])
    with step(tally, "checks of what was built", 20):
        checks(tally, wanted, after_build=True)
    if wanted("run/check"):
        with step(tally, "./run --check", 30):
            status, said = run(["./run", "--check"], timeout=300)
            if status == 0:
                tally.passes("run/check")
            else:
                tally.fails("run/check", said)
    if wanted("build/clang"):
        with step(tally, "build with clang", 80):
            builds(tally, "build/clang", OTHERS / "clang", ["--buildtype=release"], "clang")
    with step(tally, "unit tests under ASan and UBSan", 360):
        unit_tests(tally, "unit", name, options.long)
    with step(tally, "fuzzers", 3600 if options.long else 130):
        fuzzers(tally, wanted, 120 if options.long else 20)
    outside = list((ROOT / "tests" / "end_to_end").glob("test_*.py"))
    with step(tally, "from outside", 3600 if options.long else 300):
        pytest(tally, "end_to_end", outside, name, environment, at_once=CORES)
    sanitized = {**environment, "PORTIERE_BUILD": str(OTHERS / "san"), "PORTIERE_SANITIZED": "1"}
    with step(tally, "from outside, under ASan and UBSan", 70):
        marked = [path for path in outside if "mark.sanitized" in path.read_text("utf-8")]
        pytest(tally, "sanitized", marked, name, sanitized, marks="sanitized", at_once=CORES)
    with step(tally, "threads, under ThreadSanitizer", 900 if options.long else 80):
        threads(tally, name, environment)
    with step(tally, "crash tests", 14400 if options.long else 260):
        unit_tests(tally, "crash", name, options.long)
        pytest(tally, "crash", list((ROOT / "tests" / "crash").glob("test_*.py")), name, environment, timeout=4 * 3600)


def main():
    options = arguments()
    tally, began = Tally(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        everything(tally, options)
    finally:
        end_what_runs()
    print("\ntime used, and the budget:")
    for name, used, budget in tally.steps:
        print(f"  {used:6.0f} of {budget:5d} s  {name}")
    print(f"  {time.monotonic() - began:6.0f} of {sum(budget for _, _, budget in tally.steps):5d} s  in all")
    if tally.skipped:
        print("\nskipped:", *(f"  {name}: {' '.join(reason.split())}" for name, reason in tally.skipped), sep="\n")
    if tally.failed:
        print("\nfailed:", *(f"  {name}" for name, _ in tally.failed), sep="\n")
    passed, failed, skipped = tally.counts()
    if options.name and not passed and not failed and not skipped:
        print(f"\nno test has {options.name} in its name")
        failed = 1
    print()
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
