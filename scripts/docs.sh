#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The documentation as a site in site/: the pages of docs/ and an API page per package. Warnings and broken links are errors.
# Usage: scripts/docs.sh
#
# Installs what is missing first. To read the site with its search: .venv/bin/python -m http.server --directory site
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
# shellcheck source=scripts/lib/steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/steps.sh"

setup
cd "$ROOT"
docs_steps
finish
say "open $ROOT/site/index.html"
