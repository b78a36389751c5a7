# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by the scripts that check: `step NAME LIMIT_S COMMAND...` runs one thing under a time limit, `finish` prints what
# became of all of them and returns 1 when one has failed.

RESULTS=()
N_FAILED=0
# All steps together. Each limit alone is for a busy machine with two cores, where pytest takes 20 minutes instead of six.
TOTAL_S=4800
# Limit of the step that runs, for the functions among them; what is left of the total is the most.
STEP_LIMIT_S=0

step() {
  local name="$1" limit_s="$2" start="$SECONDS" status=0 outcome=ok left_s
  shift 2
  left_s=$((TOTAL_S - SECONDS))
  [ "$limit_s" -le "$left_s" ] || limit_s=$((left_s > 1 ? left_s : 1))
  STEP_LIMIT_S="$limit_s"
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
  OMP_NUM_THREADS=1 timeout -k 30 "$STEP_LIMIT_S" "$PYTHON" -m pytest --numprocesses auto --dist loadfile "$@"
}

# Lines that the tests reach, in their own processes:
#   GENED_COVERAGE=0          not counted; 15 to 20 % less computing time
#   GENED_COVERAGE=children   counted in the link's processes and the workers, too, for 40 % more time
pytest_coverage() {
  local status=0 options=(--cov --cov-report=)
  case "${GENED_COVERAGE:-1}" in
    0) options=() ;;
    1) ;;
    children) export GENED_COVERAGE_PATCH=subprocess ;;
    *) die "GENED_COVERAGE is ${GENED_COVERAGE}; it can be 0, 1 or children" ;;
  esac
  pytest_parallel "${options[@]}" "$@" || status=$?
  [ ${#options[@]} -ne 0 ] || return "$status"
  say "coverage: the ten modules of which the tests reach least, and the total"
  "$PYTHON" -m coverage report --sort=cover --skip-empty | sed -n '1,12p;/^TOTAL/p'
  return "$status"
}

lint_steps() {
  step "ruff check" 120 "$PYTHON" -m ruff check .
  step "ruff format" 120 "$PYTHON" -m ruff format --check .
  step "codespell" 120 "$PYTHON" -m codespell_lib
  step "mypy" 900 "$PYTHON" -m mypy
  step "mypy tests" 900 "$PYTHON" -m mypy --config-file tests/mypy.ini
}

# The site in site/, from the pages and the docstrings; nothing is fetched. Material announces its successor at each start.
docs_steps() {
  NO_MKDOCS_2_WARNING=1 step "docs" 600 "$PYTHON" -m mkdocs build --strict --quiet
  step "docs links" 120 "$PYTHON" scripts/lib/check_site.py site
}
