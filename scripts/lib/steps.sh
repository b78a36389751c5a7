# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by the scripts that check: `step NAME LIMIT_S COMMAND...` runs one thing under a time limit, `finish` prints what
# became of all of them and returns 1 when one has failed.

RESULTS=()
N_FAILED=0

step() {
  local name="$1" limit_s="$2" start="$SECONDS" status=0 outcome=ok
  shift 2
  say "$name"
  within "$limit_s" "$@" || status=$?
  if [ "$status" -ne 0 ]; then
    outcome="FAILED (status $status)"
    [ "$status" -eq 124 ] && outcome="FAILED (over $limit_s s)"
    N_FAILED=$((N_FAILED + 1))
  fi
  RESULTS+=("$(printf '%-18s %5d s  %s' "$name" $((SECONDS - start)) "$outcome")")
}

# `timeout` runs programs only; a shell function carries its own time limits inside.
within() {
  local limit_s="$1"
  shift
  if [ "$(type -t "$1")" = function ]; then
    "$@"
  else
    timeout -k 30 "$limit_s" "$@"
  fi
}

finish() {
  say "results"
  printf '   %s\n' "${RESULTS[@]}"
  [ "$N_FAILED" -eq 0 ] || die "$N_FAILED of ${#RESULTS[@]} steps failed"
}

# Two threads in each of two workers would fight over two cores.
pytest_parallel() {
  OMP_NUM_THREADS=1 timeout -k 30 600 "$PYTHON" -m pytest --numprocesses auto --dist loadfile "$@"
}

lint_steps() {
  step "ruff check" 60 "$PYTHON" -m ruff check .
  step "ruff format" 60 "$PYTHON" -m ruff format --check .
  step "codespell" 60 "$PYTHON" -m codespell_lib
  step "mypy" 300 "$PYTHON" -m mypy
  step "mypy tests" 300 "$PYTHON" -m mypy --config-file tests/mypy.ini
}

# The site in site/, from the pages and the docstrings; nothing is fetched. Material announces its successor at each start.
docs_steps() {
  NO_MKDOCS_2_WARNING=1 step "docs" 300 "$PYTHON" -m mkdocs build --strict --quiet
  step "docs links" 60 "$PYTHON" scripts/lib/check_site.py site
}
