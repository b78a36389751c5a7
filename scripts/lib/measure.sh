# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Functions for scripts/results/*.sh. OUT is the folder of the results; WORKERS (2) is the number of processes.

# measure NAME OPTIONS...: one evaluation into OUT/NAME.json, with the scores in runs/cache.
measure() {
  local name="$1"
  shift
  say "$name"
  "$PYTHON" -m gened evaluate --quiet --cache runs/cache --workers "${WORKERS:-2}" --out "$OUT/$name.json" "$@" >/dev/null
}

# require_clean: published figures name the commit that they were measured with, so the source must be that commit. What
# the scripts write (results/, docs/figures/) may differ. GENED_DIRTY=1 measures all the same, for a trial.
require_clean() {
  local commit
  [ "${GENED_DIRTY:-0}" != 1 ] || return 0
  commit="$("$PYTHON" -c 'from gened.provenance import commit; print(commit() or "")')" || die "the commit cannot be read"
  case "$commit" in
    *+) die "files differ from the commit ${commit%+} (git status); commit them, or try with GENED_DIRTY=1" ;;
  esac
}

# free_photographs FOLDER: copies four photographs in the public domain or under CC0 from scikit-image.
free_photographs() {
  local name from
  from="$("$PYTHON" -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data")')"
  mkdir -p "$1"
  for name in astronaut.png chelsea.png coffee.png rocket.jpg; do
    cp "$from/$name" "$1/$name"
  done
}
