#!/usr/bin/env bash
# library.sh LIBRARY COMPILER SCRATCH: what the shared library shows and needs. It exports names of namespace ipcq only
# (code and type information), carries its SONAME and nodelete, and needs the C and C++ runtime and nothing else.
set -euo pipefail
library=$1 compiler=$2 scratch=$3

strangers() {
  nm -D --defined-only "$1" | c++filt | sed -E 's/^[0-9a-f]* *[A-Za-z] //; s/@@?IPCQ_0$//' |
    grep -vE '^(((typeinfo( name)?|vtable) for )?ipcq::|IPCQ_0$)' || true
}
fail() {
  printf '%s\n' "$@"
  exit 1
}

# The check can fail: a library with one name too many is told from a good one.
mkdir -p "$scratch"
printf 'namespace ipcq { int one() { return 1; } }\nint stray() { return ipcq::one(); }\n' |
  "$compiler" -x c++ -shared -fPIC -o "$scratch/stray.so" -
[[ $(strangers "$scratch/stray.so") == "stray()" ]] || fail "this check does not see a stray symbol"

found=$(strangers "$library")
[[ -z $found ]] || fail "exported, and not of namespace ipcq:" "$found"
exported=$(nm -D --defined-only "$library" | c++filt)  # whole: grep -q ends early, which would fail a pipe
grep -q ' ipcq::error_category()' <<<"$exported" || fail "the public functions are not exported"

dynamic=$(readelf --dynamic --wide "$library")
grep -q 'SONAME.*\[libipcq\.so\.0\]' <<<"$dynamic" || fail "not libipcq.so.0:" "$dynamic"
grep -q 'NODELETE' <<<"$dynamic" || fail "may be unloaded (no -z nodelete)"
needed=$(sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p' <<<"$dynamic" | grep -vE '^(libstdc\+\+|libm|libgcc_s|libc|ld-linux.*)\.so\.[0-9]+$' || true)
[[ -z $needed ]] || fail "needs more than the C and C++ runtime:" "$needed"
