#!/usr/bin/env bash
# Runs a program that makes a queue, in a queue directory of its own, and demands that it worked.
set -euo pipefail
IPCQ_DIR=$(mktemp -d /dev/shm/ipcq-install.XXXXXX)
export IPCQ_DIR
trap 'rm -rf "$IPCQ_DIR"' EXIT
[[ $("$@") == "sent and received" ]]
