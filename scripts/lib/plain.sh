# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by scripts/test.sh: the simulation half without GNU Radio, in a plain virtual environment with the newest NumPy.
#
#   GENED_PLAIN=0   leaves these steps out
#
# The environment stays in .venv-plain; it is made anew when Python, the pins or the packages change.

PLAIN="$ROOT/.venv-plain"
PLAIN_PACKAGES=(pytest pytest-timeout pytest-xdist hypothesis scikit-commpy ldpc)

# What needs no GNU Radio and no extra, and computes: the waveform, codecs, data, and the link with NumPy alone. One file is
# left out: it compares with scikit-commpy's LDPC decoder, which fails with NumPy 2.
PLAIN_TESTS=(
  tests/gr_blocks tests/models/codecs tests/models/data tests/gened/inspect
  tests/gened/link/test_numpy_receiver.py tests/gened/link/test_link_without_gnuradio.py
  tests/gened/commands/test_gnuradio_options.py
  --ignore tests/gr_blocks/phy/coding/test_ldpc.py
)

plain_steps() {
  case "${GENED_PLAIN:-1}" in
    0) say "plain: left out, as GENED_PLAIN=0 says"; return ;;
    1) ;;
    *) die "GENED_PLAIN is ${GENED_PLAIN}; it can be 0 or 1" ;;
  esac
  step "plain install" 1200 plain_install
  step "plain tests" 1200 plain_tests
  step "plain commands" 900 plain_commands
}

plain_pip() {
  timeout -k 30 1200 "$PLAIN/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# The pinned packages except NumPy, which is the newest that they accept, and PyTorch in its CPU build; then this checkout
# as a wheel.
plain_install() {
  local stamp extra pins="$PLAIN/.pins.txt"
  stamp="$({ echo "$PLAIN"; "$SYSTEM_PYTHON" -V; cat "$ROOT/constraints.txt" "$ROOT/pyproject.toml"; } | sha256sum)"
  if [ "$(cat "$PLAIN/.stamp" 2>/dev/null)" != "$stamp" ]; then
    "$SYSTEM_PYTHON" -m venv --clear "$PLAIN" || return
    (VENV="$PLAIN" PYTHON="$PLAIN/bin/python" GENED_TORCH="" && install_torch) || return
    grep -vE '^(numpy|torch)==' "$ROOT/constraints.txt" >"$pins"
    plain_pip --constraint "$pins" setuptools packaging "${PLAIN_PACKAGES[@]}" || return
    plain_wheel "$pins" --no-build-isolation || return
    echo "$stamp" >"$PLAIN/.stamp"
  else
    plain_wheel "$pins" --no-build-isolation --no-deps --force-reinstall || return
  fi
  (cd / && "$PLAIN/bin/python" - <<'PYTHON'
import importlib.util
import sys

import numpy
import torch

import gened

if importlib.util.find_spec("gnuradio") is not None:
    sys.exit("GNU Radio is in the plain environment, which must do without")
if torch.version.cuda is not None:
    sys.exit(f"PyTorch {torch.__version__} is a CUDA build")
if numpy.__version__.startswith("1."):
    sys.exit(f"NumPy is {numpy.__version__}; this environment is for NumPy 2")
print(f"== plain: NumPy {numpy.__version__}, PyTorch {torch.__version__}, gened {gened.__version__} in {gened.__path__[0]}")
PYTHON
  )
}

# Builds outside the tree: setuptools would put whatever an older build/ holds into the wheel.
plain_wheel() {
  local pins="$1" made
  shift
  made="$(mktemp -d)"
  printf '[build]\nbuild_base = %s\n' "$made" >"$made/setup.cfg"
  DIST_EXTRA_CONFIG="$made/setup.cfg" plain_pip --constraint "$pins" "$@" "$ROOT[networks,train]" || { rm -rf "$made"; return 1; }
  rm -rf "$made"
}

# CI=: skips are expected here, as the extras and GNU Radio are missing.
plain_tests() {
  CI="" GENED_NO_SKIPS=0 PYTHONPATH="$ROOT" OMP_NUM_THREADS=1 timeout -k 30 1200 "$PLAIN/bin/python" -m pytest -q \
    --numprocesses auto --dist loadfile -m "not slow" -p no:cacheprovider "${PLAIN_TESTS[@]}"
}

# The commands of the simulation half from another folder, with what the wheel has installed.
plain_commands() (
  set -e
  unset PYTHONPATH
  local folder gened="$PLAIN/bin/gened"
  folder="$(mktemp -d)"
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$folder'" EXIT
  cd "$folder"
  mkdir photos
  "$PLAIN/bin/python" - <<'PYTHON'
import pathlib

import skimage
from PIL import Image

for name in ("coffee.png", "astronaut.png"):
    with Image.open(pathlib.Path(skimage.__file__).parent / "data" / name) as picture:
        picture.convert("RGB").resize((256, 256)).save(f"photos/{name}")
PYTHON
  local recording="$ROOT/labs/01-first-picture/cup.sigmf-meta"
  run() {
    echo "gened $*"
    timeout -k 10 300 "$gened" "$@"
  }
  run evaluate --data photos --codec softcast --snr 4,10 --out result.json --json >/dev/null
  run plot result.json --out curves.png
  run inspect "$recording" --out burst.png
  run train gened-smoke --data photos --out weights --steps 2
  run receive --from "$recording" --out received
  run loopback photos/coffee.png --no-gnuradio --out link
  local name status=0
  for name in result.json curves.png burst.png weights received/received.png link/report.json link/side_by_side.png; do
    [ -e "$name" ] || { echo "$name is missing"; return 1; }
  done
  timeout 60 "$gened" loopback photos/coffee.png >told 2>&1 || status=$?
  [ "$status" -eq 11 ] && grep -q -e "--no-gnuradio" told || { cat told; echo "exit status $status, not 11"; return 1; }
)
