#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sends one photograph over the air of a simulated radio, edits what came out, and shows all three. Usage: scripts/demo.sh [OPTIONS]
#
# Installs what is missing first. The options are those of `gened loopback`: scripts/demo.sh --snr 4 --channel rayleigh-block
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"

OUT="$ROOT/out/demo"

main() {
  setup
  # "Coffee", photographed by Rachel Michetti, CC0; it ships inside scikit-image, so nothing is fetched.
  local photo
  photo="$("$PYTHON" -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data" / "coffee.png")')"
  [ -s "$photo" ] || die "scikit-image came without its photographs; remove .venv and run again"

  say "gened loopback: transmitter, air and receiver are three processes, the editor a fourth; 4 dB SNR, 2 kHz carrier offset"
  timeout -k 30 300 "$VENV/bin/gened" loopback "$photo" --snr 4 --freq-offset 2000 --seed 1 --editor embedded --out "$OUT" "$@"

  local name names=(sent.png received.png side_by_side.png constellation.png report.json)
  [[ " $* " == *" --editor"* ]] || names+=(edited.png)
  for name in "${names[@]}"; do
    [ -s "$OUT/$name" ] || die "the link ran, but left no $OUT/$name"
  done
  say "look at these:"
  printf '   %-46s %s\n' \
    "$OUT/side_by_side.png" "sent, received and edited, with the caption that the machine wrote and the figures" \
    "$OUT/constellation.png" "the symbols as they arrived: the caption's keep to a grid, the picture's fill the plane" \
    "$OUT/report.json" "every figure of every frame"
}

main "$@"
