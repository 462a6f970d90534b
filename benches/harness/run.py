"""Compares the program with the usual alternatives on the same pages: see harness.toml.

    python3 benches/harness/run.py [--scenario NAME] [--rows N] [--rounds N]

Builds the program, installs the alternatives into the target directory, starts the sandbox as a
process of its own, runs every contender round after round, and reads what each wrote with pyarrow.
Prints the results as Markdown; they are also in `harness/results.md` and `harness/results.json` of
the target directory. What cannot be installed or fails is named as not measured. The exit code is 1
if the program itself did not write every row. Needs Python 3.11 and Linux.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from processes import HERE, Packages, Sandbox, last_line, measured
from report import machine, markdown, summary

# what check.py needs, whatever is measured
CHECKER_PACKAGES = ["pyarrow==26.0.1"]


def arguments():
    parser = argparse.ArgumentParser(description="Compares cxbackfill with the usual alternatives.")
    parser.add_argument("--scenario", help="a [scenario.NAME] of harness.toml; default: the first")
    parser.add_argument("--rows", type=int, help="about so many rows, not the configured number")
    parser.add_argument("--rounds", type=int, help="rounds of every contender")
    parser.add_argument("--only", action="append", help="only this contender, beside the first")
    parser.add_argument("--binary", type=Path, help="measure this program, and build none")
    parser.add_argument("--python", type=Path, help="use this interpreter, and install nothing")
    parser.add_argument("--folder", type=Path, help="where to write, not the target directory")
    return parser.parse_args()


def target_folder():
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    found = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE).stdout
    return Path(json.loads(found)["target_directory"])


def built_program():
    command = ["cargo", "build", "--release", "--bin", "cxbackfill"]
    subprocess.run(command, cwd=HERE, check=True)
    return target_folder() / "release" / "cxbackfill"


def settings(given):
    """The configuration with the keys of the scenario and of the command line."""
    config = tomllib.loads((HERE / "harness.toml").read_text(encoding="utf-8"))
    scenarios = config["scenario"]
    name = given.scenario or next(iter(scenarios))
    if name not in scenarios:
        raise SystemExit(f"no scenario `{name}`: expected one of {', '.join(scenarios)}")
    config |= scenarios[name] | {"name": name}
    if given.rows:
        config["conversations_per_day"] = max(1, given.rows // config["days"])
    if given.only:
        first, *others = config["contender"]
        config["contender"] = [first, *(one for one in others if one["name"] in given.only)]
    for contender in config["contender"]:
        rounds = min(config["rounds"], contender.get("rounds", config["rounds"]))
        contender["rounds"] = given.rounds or rounds
        contender["days"] = min(config["days"], contender.get("days", config["days"]))
    return config


def run_once(contender, places, timeout):
    """One run of a contender: its figures, and as `fault` why it does not count, or None."""
    for folder in (places["output"], places["state"]):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    log = places["folder"] / "contender.log"
    first, truth = places["from"], places["folder"] / f"truth-{contender['days']}.ndjson"
    own = places | {"to": first + timedelta(contender["days"])}
    command = [word.format_map(own) for word in contender["command"]]
    run = measured(command, timeout, log)
    if run["exit_code"] != 0:
        said = last_line(log.read_text(encoding="utf-8", errors="replace"))
        took = f"{run['seconds']:.0f} s"
        return run | {"fault": f"it ended with {run['exit_code']} after {took}: {said}"}
    check = [places["python"], HERE / "check.py", places["output"], truth]
    run |= json.loads(subprocess.run(check, check=True, stdout=subprocess.PIPE).stdout)
    run["rows_per_second"] = run["rows"] / run["seconds"]
    run["rows_per_cpu_second"] = run["rows"] / run["cpu_seconds"]
    return run


def run_all(contenders, places, timeout):
    """The runs of every contender, by its name and the number of the round. One that failed is not
    run again."""
    runs = {contender["name"]: {} for contender in contenders}
    for number in range(max(contender["rounds"] for contender in contenders)):
        # another order in each round, so that none always follows the same one
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            own = runs[contender["name"]]
            failed = any(run["fault"] for run in own.values())
            if not failed and number < contender["rounds"]:
                print(f"round {number + 1}: {contender['name']}", file=sys.stderr)
                own[number] = run_once(contender, places, timeout)
    return runs


def output_of(command):
    """The line that a command prints, or an empty one if it cannot be run."""
    try:
        said = subprocess.run(command, cwd=HERE, check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return said.stdout.strip()


def main():
    given = arguments()
    config = settings(given)
    folder = (given.folder or target_folder() / "harness").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    program = (given.binary or built_program()).resolve()
    packages = Packages(folder / "venv", given.python)
    if fault := packages.fault(CHECKER_PACKAGES):
        raise SystemExit(f"pyarrow, which reads the results, cannot be had: {fault}")
    faults = {one["name"]: one["reason"] for one in config["not_measured"]}
    for contender in config["contender"]:
        if wanted := contender.get("packages"):
            fault = packages.fault(wanted)
            faults |= {contender["name"]: fault} if fault else {}
    contenders = [one for one in config["contender"] if one["name"] not in faults]

    first = date.fromisoformat(config["from"])
    per_day = f"sandbox.conversations_per_day={config['conversations_per_day']}"
    started = machine()
    with Sandbox(program, [*config["sandbox"], per_day], folder) as sandbox:
        places = {
            "cxbackfill": program,
            "python": packages.python,
            "url": sandbox.url,
            "from": first,
            "folder": folder,
            "output": folder / "output",
            "state": folder / "state",
        }
        for days in {config["days"], *(contender["days"] for contender in contenders)}:
            sandbox.save_truth(first, first + timedelta(days), folder / f"truth-{days}.ndjson")
        runs = run_all(contenders, places, config["timeout_seconds"])

    reference = runs[contenders[0]["name"]]
    entries = [summary(name, own, reference) for name, own in runs.items()]
    entries += [{"name": name, "fault": fault} for name, fault in faults.items()]
    truth = folder / f"truth-{config['days']}.ndjson"
    with open(truth, "rb") as lines:
        rows = sum(1 for _ in lines)
    results = {
        "scenario": config["name"],
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": started,
        "version": output_of([program, "--version"]),
        "revision": output_of(["git", "rev-parse", "--short", "HEAD"]) or "unknown",
        "days": config["days"],
        "rows": rows,
        "bytes_per_row": truth.stat().st_size / max(1, rows),
        "contenders": entries,
        "runs": runs,
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    table = markdown(results)
    (folder / "results.md").write_text(table, encoding="utf-8")
    print(table, end="")
    for scratch in (places["output"], places["state"]):
        shutil.rmtree(scratch)
    return 1 if entries[0]["fault"] else 0


if __name__ == "__main__":
    sys.exit(main())
