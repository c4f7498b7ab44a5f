#!/usr/bin/env bash
# Makes the virtual environment $1 with exactly the packages of $2, each checked by its hash, and the launcher `platformbus`.
# Run by `make install`. Does nothing when the same list is installed already; says what it does while it works.
set -euo pipefail
venv=$1
requirements=$2
python=${PYTHON:-python3.11}

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
  echo "platformbus needs Python 3.11: '$python' is not it. Name one with: make install PYTHON=/path/to/python3.11" >&2
  exit 1
fi

list=$(cat "$requirements" "${BASH_SOURCE[0]}" | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.installed" 2>/dev/null)" = "$list" ]; then
  touch "$venv/.installed"
  exit 0
fi

if [ ! -x "$venv/bin/python" ]; then
  echo "making $venv with $("$python" --version)"
  "$python" -m venv "$venv"
fi
count=$(grep -c '==' "$requirements")
echo "installing $count locked packages into $venv (a minute or two the first time)"
# Lines of pip are shortened to what is being fetched, so that a slow network is seen to move.
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --require-hashes \
  -r "$requirements" 2>&1 | awk '
    /^(Collecting|Downloading) / { n++; if (n % 10 == 0) { printf "  %s %s\n", tolower($1), $2; fflush() } next }
    /^Requirement already|^  |^Using cached|^Looking in/ { next }
    { $0 = substr($0, 1, 100) }
    { print; fflush() }'

cat > "$venv/bin/platformbus" <<'LAUNCHER'
#!/bin/sh
# The project is not a package: its folder goes onto the path, wherever the command is called from.
here=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
exec env PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" "$here/.venv/bin/python" -m services.cli "$@"
LAUNCHER
chmod +x "$venv/bin/platformbus"
echo "$list" > "$venv/.installed"
echo "installed"
