#!/usr/bin/env bash
# Skipped without Python: 77.
command -v python3 >/dev/null || { echo "python3 is not installed"; exit 77; }
exec python3 -B "$IPCQ_SOURCE_DIR/tests/examples/check_includes_test.py"
