#!/usr/bin/env bash
# pkg_config.sh PREFIX LIBDIR COMPILER SCRATCH: builds and runs the consumer with pkg-config alone, from the installed
# tree and again from where that tree was moved to.
set -euo pipefail
prefix=$1 libdir=$2 compiler=$3 scratch=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v pkg-config >/dev/null || { echo "pkg-config is not installed"; exit 77; }

try() {
  export PKG_CONFIG_PATH=$1/$libdir/pkgconfig
  pkg-config --exists --print-errors 'ipcq >= 0.1'
  # shellcheck disable=SC2046 # the flags are several words
  "$compiler" -std=c++20 -Wall -Wextra -Werror "$here/main.cpp" -o "$scratch/consumer" $(pkg-config --cflags --libs ipcq)
  LD_LIBRARY_PATH=$1/$libdir bash "$here/run_consumer.sh" "$scratch/consumer"
}

rm -rf "$scratch"
mkdir -p "$scratch"
try "$prefix"
cp -a "$prefix" "$scratch/moved"
try "$scratch/moved"
