"""What the parts of the acceptance share: running a program, saying how it goes, and the count of checks."""

import subprocess
import sys

results = {"passed": 0, "failed": 0}


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def check(what, holds, said=""):
    results["passed" if holds else "failed"] += 1
    say(("ok    " if holds else "FAIL  ") + what + (f": {said}" if said else ""))
