"""Run a command that needs Chromium: find it, install Debian's, or say loudly that there is none.

browser.py COMMAND...    with CHROMIUM set to the browser's path; exit 77 where there is none
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
NOT_RUN = 77  # the exit code that says: nothing was run; tools/check.py knows it too
PLACES = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
]


def find() -> str | None:
    """The path of a Chromium or Chrome on this machine."""
    given = os.environ.get("CHROMIUM")
    if given:
        return given
    found = [w for w in map(shutil.which, NAMES) if w] + [p for p in PLACES if Path(p).exists()]
    return found[0] if found else None


def install() -> None:
    """Install Debian's Chromium where apt is at hand."""
    apt = shutil.which("apt-get")
    if apt is None:
        return
    sudo = []
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        if shutil.which("sudo") is None:
            return
        sudo = ["sudo", "-n"]
    print("browser: installing Debian's chromium", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-qq", "-y", "chromium"]):
        subprocess.run([*sudo, apt, *words], env=env, stdout=subprocess.DEVNULL)


def main(command: list[str]) -> int:
    """Run the command with the browser."""
    if find() is None:
        install()
    path = find()
    if path is None:
        print("!" * 78)
        print("!! NOT RUN: no Chromium or Chrome on this machine, and none could be installed.")
        print("!! No page of the book was looked at. Set CHROMIUM to a browser's path to run this.")
        print("!" * 78)
        return NOT_RUN
    return subprocess.run(command, env={**os.environ, "CHROMIUM": path}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
