"""What run.py starts: the sandbox, the contenders, and the interpreter that they need."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent


# prints the first requirement that an interpreter does not meet
LACKING = """
import sys, importlib.metadata as installed
for wanted in sys.argv[1:]:
    name, version = wanted.split("==")
    if installed.version(name) != version:
        sys.exit(f"{name} is {installed.version(name)}, not {version}")
"""


class Packages:
    """A virtual environment, or an interpreter that somebody else has prepared."""

    def __init__(self, folder, given=None):
        self.given = given is not None
        self.python = given or folder / "bin" / "python"
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)

    def fault(self, packages):
        """Installs the packages. Why they cannot be had, or None."""
        # pip from outside: the virtual environment of Debian has none
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.python]
        command = [*pip, "install", "--quiet"]
        if self.given:
            command = [self.python, "-c", LACKING]
        found = subprocess.run([*command, *packages], check=False, capture_output=True, text=True)
        return None if found.returncode == 0 else last_line(found.stderr) or "pip failed"


class Sandbox:
    """`cxbackfill sandbox` as a process of its own, until the block ends."""

    def __init__(self, program, settings, folder):
        sets = [word for setting in settings for word in ("--set", setting)]
        # a folder without a configuration of its own
        self.process = subprocess.Popen(
            [program, "sandbox", *sets], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().strip().removeprefix("listening on ")
        if not self.url:
            raise SystemExit(f"the sandbox ended with {self.process.wait()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()

    def save_truth(self, first, end, path):
        """Saves every conversation of the interval, a line each."""
        query = {"platform": "genesys-cloud", "dataset": "conversations"}
        query |= {"from": f"{first}T00:00:00Z", "to": f"{end}T00:00:00Z"}
        url = f"{self.url}/sandbox/truth?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url) as reply, open(path, "wb") as file:
            shutil.copyfileobj(reply, file)


def measured(command, timeout, log):
    """Runs a command in this folder to its end: exit code, seconds by the clock and of processor
    time, and the most memory that one of its processes held. Processes that it waits for count
    with it."""
    # a contender tells nobody about its use, and prints no progress
    environment = os.environ | {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUST_LOG": "warn"}
    with open(log, "wb") as output:
        begin = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=HERE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        previous = signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
        signal.alarm(timeout)
        _, status, used = os.wait4(process.pid, 0)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "exit_code": process.returncode,
        "seconds": time.monotonic() - begin,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        # kilobytes on Linux
        "peak_bytes": used.ru_maxrss * 1024,
    }


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
