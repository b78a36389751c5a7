#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Everything that must hold before a change is kept: build, installation, flowgraphs, tests, the simulation half in a plain
# environment (GENED_PLAIN=0 leaves it out), lint, types and documentation.
# Usage: scripts/test.sh [PYTEST OPTIONS]
#
# Installs what is missing first. Every step runs even when an earlier one failed, under a time limit; the table at the
# end says which failed, and so does the exit status.
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
# shellcheck source=scripts/lib/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/steps.sh"
# shellcheck source=scripts/lib/plain.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/plain.sh"

STAGING="$ROOT/.staging"
BUILD="$ROOT/build"

main() {
  setup
  cd "$ROOT"
  rm -rf "$STAGING" "$BUILD"
  step "cmake configure" 120 cmake -S . -B "$BUILD" -DCMAKE_INSTALL_PREFIX="$STAGING" -DGENED_PYTHON="$PYTHON"
  step "cmake build" 300 cmake --build "$BUILD" --parallel "$(nproc)"
  step "cmake install" 120 cmake --install "$BUILD"
  step "ctest" 900 ctest --test-dir "$BUILD" --output-on-failure --timeout 300 --no-tests=error
  step "grcc" 600 compile_flowgraphs
  step "pytest" 2700 pytest_coverage "$@"
  plain_steps
  lint_steps
  docs_steps
  finish
}

# Every .grc, against the blocks as they were installed. grcc evaluates the flowgraph's imports, so it runs in our environment.
compile_flowgraphs() {
  local flowgraphs=(flowgraphs/*.grc) out
  [ -e "${flowgraphs[0]}" ] || die "there is no flowgraph in flowgraphs/"
  out="$(mktemp -d)"
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$out'" RETURN
  for flowgraph in "${flowgraphs[@]}"; do
    echo "$flowgraph"
    GRC_BLOCKS_PATH="$STAGING/share/gnuradio/grc/blocks" QT_QPA_PLATFORM=offscreen \
      timeout -k 10 100 "$PYTHON" "$(command -v grcc)" --output "$out" "$flowgraph" >"$out/log" 2>&1 || {
      cat "$out/log"
      return 1
    }
  done
}

main "$@"
