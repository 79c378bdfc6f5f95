#!/usr/bin/env bash
# Runs the Python tests that have this script's name. (The other scripts of this folder are links to this one.)
# Skipped without Python: 77.
command -v python3 >/dev/null || { echo "python3 is not installed"; exit 77; }
exec python3 -B "${0%.sh}_test.py"
