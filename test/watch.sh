#!/bin/sh
# Runs one test file, and again whenever something under src or test has changed. It is run by node alone, without the
# runner, which takes longer than most tests do. Usage: npm run test:watch -- test/ike/rekey.test.ts
set -eu
[ $# -gt 0 ] || { echo 'usage: npm run test:watch -- test/ROOM/FILE.test.ts' >&2; exit 2; }
mark=$(mktemp)
trap 'rm -f "$mark"' EXIT
trap 'exit 130' INT TERM
while :; do
  touch "$mark"
  for file; do
    # Of what went well only the last line is of interest.
    node --enable-source-maps --import=./test/helpers/load-typescript.mjs "$file" >"$mark.out" &&
      echo "$(date +%T) $file: passes" || { grep -v '^ *ok ' "$mark.out"; echo "$(date +%T) $file: FAILS"; }
  done
  rm -f "$mark.out"
  until [ -n "$(find src test -newer "$mark" -name '*.ts' -print -quit)" ]; do sleep 0.5; done
done
