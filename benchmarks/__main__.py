"""`python -m benchmarks`: every benchmark, one after the other; the exit code says whether all goals were met."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    missed = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem.startswith("__"):
            continue
        print(f"== {path.stem}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{path.stem}"], check=False).returncode:
            missed.append(path.stem)
    print(f"goals missed in: {', '.join(missed)}" if missed else "every goal was met")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
