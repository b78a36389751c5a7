#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sends photographs over the loopback at every SNR and offset that the link is meant for, and judges what arrives.
# Usage: scripts/acceptance.sh [OPTIONS]; `scripts/acceptance.sh --help` lists them. Writes results/loopback/CODEC.json.
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"

setup >&2
exec "$PYTHON" "$ROOT/scripts/lib/acceptance.py" "$@"
