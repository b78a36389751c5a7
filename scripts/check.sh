#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The quick look while one works: lint, types and the tests that are not marked slow. Usage: scripts/check.sh [PYTEST OPTIONS]
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
# shellcheck source=scripts/lib/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/steps.sh"

setup
cd "$ROOT"
lint_steps
step "pytest" 2700 pytest_parallel -m "not slow" "$@"
finish
