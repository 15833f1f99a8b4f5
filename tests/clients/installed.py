"""The clients, installed in the versions that are pinned here, below the build directory.

Python's packages go into an environment of their own, Node's beside a copy of the senders. What is
there already in these versions is left alone.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OHA = "1.16.0"
NODE = 20


def versions():
    """A digest of what is to be installed."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements.txt", "package-lock.json"):
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()


class Clients:
    """Where each client is, and how it is called."""

    def __init__(self, build):
        self.place = build / "clients"
        self.senders = self.place / "senders"
        self.python = self.place / "venv" / "bin" / "python"
        self.oha = self.place / "oha" / "bin" / "oha"

    def install(self):
        for program in ("node", "npm", "curl"):
            if shutil.which(program) is None:
                sys.exit(f"there is no {program}, which this needs")
        said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        if int(said.stdout.strip("v\n").split(".")[0]) < NODE:
            sys.exit(f"node {said.stdout.strip()} is too old: got needs {NODE} or later")
        stamp = self.place / "installed"
        if not stamp.exists() or stamp.read_text("ascii") != versions():
            shutil.rmtree(self.place / "venv", ignore_errors=True)
            self.place.mkdir(parents=True, exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, self.place)
            call(sys.executable, "-m", "venv", self.place / "venv")
            pip = [self.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            call(*pip, "--no-deps", "-r", HERE / "requirements.txt")
            call("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=self.place)
            stamp.write_text(versions(), "ascii")
        shutil.copytree(HERE / "senders", self.senders, dirs_exist_ok=True)

    def install_oha(self):
        """Minutes of building: only where it is asked for."""
        command = ["cargo", "install", "--locked", "oha", "--version", OHA]
        command += ["--root", self.place / "oha"]
        call(*command, "--target-dir", self.place / "oha-build")

    def commands(self):
        """The command of each client that goes through a plan, without its arguments."""
        python = [str(self.python), "-B"]
        return {
            "requests": [*python, str(self.senders / "with_requests.py")],
            "got": ["node", str(self.senders / "with_got.mjs")],
            "axios": ["node", str(self.senders / "with_axios.mjs")],
            "curl": [*python, str(self.senders / "with_curl.py")],
        }


def call(*command, cwd=None):
    print("+", *command, flush=True)
    subprocess.run([str(word) for word in command], cwd=cwd, check=True, stdin=subprocess.DEVNULL)
