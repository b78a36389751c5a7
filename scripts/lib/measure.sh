# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by the scripts that make the figures of the pages; OUT is the folder for them. WORKERS (2) processes share the pictures.

# measure NAME OPTIONS...: one evaluation, into OUT/NAME.json. What was measured already comes out of runs/cache.
measure() {
  local name="$1"
  shift
  say "$name"
  "$PYTHON" -m gened evaluate --quiet --cache runs/cache --workers "${WORKERS:-2}" --out "$OUT/$name.json" "$@" >/dev/null
}

# free_photographs FOLDER: four photographs that may be shown to anybody (public domain or CC0), out of scikit-image.
free_photographs() {
  local name from
  from="$("$PYTHON" -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data")')"
  mkdir -p "$1"
  for name in astronaut.png chelsea.png coffee.png rocket.jpg; do
    cp "$from/$name" "$1/$name"
  done
}
