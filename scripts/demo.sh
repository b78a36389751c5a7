#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sends one photograph over the air of a simulated radio and shows what came out. Usage: scripts/demo.sh [OPTIONS]
#
# Installs what is missing first. The options are those of `gened loopback`: scripts/demo.sh --snr 4 --channel rayleigh-block
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"

OUT="$ROOT/out/demo"
CAPTION="a cup of coffee on a red saucer with a spoon, on a wooden table"

main() {
  setup
  # "Coffee", photographed by Rachel Michetti, CC0; it ships inside scikit-image, so nothing is fetched.
  local photo
  photo="$("$PYTHON" -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data" / "coffee.png")')"
  [ -s "$photo" ] || die "scikit-image came without its photographs; remove .venv and run again"

  say "gened loopback: transmitter, air and receiver are three processes; 10 dB SNR, 2 kHz carrier offset"
  timeout -k 30 300 "$VENV/bin/gened" loopback "$photo" --caption "$CAPTION" --snr 10 --freq-offset 2000 --seed 1 --out "$OUT" "$@"

  local name
  for name in sent.png received.png side_by_side.png constellation.png report.json; do
    [ -s "$OUT/$name" ] || die "the link ran, but left no $OUT/$name"
  done
  say "look at these:"
  printf '   %-46s %s\n' \
    "$OUT/side_by_side.png" "what was sent beside what was received, with the caption and the figures" \
    "$OUT/constellation.png" "the symbols as they arrived: the caption's keep to a grid, the picture's fill the plane" \
    "$OUT/report.json" "every figure of every frame"
}

main "$@"
