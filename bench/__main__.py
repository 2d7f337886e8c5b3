"""Every benchmark, one after the other.

python -m bench [--short] [--results FOLDER]
"""

import argparse
import subprocess
import sys
from pathlib import Path

SCRIPTS = ("calls", "options", "endpoints", "journeys", "verification", "costs")


def main() -> int:
    """Run them, each in a process of its own; how many failed."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--short", action="store_true", help="in a few minutes")
    parser.add_argument("--results", type=Path, help="write a JSON file for each to this folder")
    options = parser.parse_args()
    failed = 0
    for script in SCRIPTS:
        command = [sys.executable, "-m", f"bench.{script}"]
        command += ["--short"] if options.short else []
        command += ["--json", str(options.results / f"{script}.json")] if options.results else []
        failed += subprocess.run(command, check=False).returncode != 0  # noqa: S603 - our own modules
    return failed


if __name__ == "__main__":
    sys.exit(main())
