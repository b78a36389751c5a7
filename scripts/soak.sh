#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The link for thousands of frames: is all delivered that the air let through, is memory flat, does everything end in order, and what
# does a receiver cost that is killed and started again? Some four minutes; the figures go to results/link/soak.json.
# Usage: scripts/soak.sh [--frames 2000] [--drop 0.02] [--snr 6] [--restart-frames 400] [--sample-rate 1e5] [--seed 1] [--out FILE]
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"

setup >&2
cd "$ROOT"
OMP_NUM_THREADS=1 exec "$PYTHON" scripts/lib/soak.py "$@"
