#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Reproduces the reports under results/radio/: pictures over virtual Plutos with the real drivers. Usage: scripts/results/radio.sh
#
# Three photographs at 15 and at 4 dB over one Pluto that receives its own transmission; then one picture per second for
# a minute over a pair whose carriers differ by 2 and by 25 ppm of 2449.5 MHz. Run it on an idle machine: the samples are
# paced by its clock.
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/setup.sh"
# shellcheck source=scripts/lib/measure.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/measure.sh"

OUT="results/radio"
PHOTOGRAPHS="out/photographs"

over() {
  local name="$1"
  shift
  say "$name"
  timeout -k 30 600 "$PYTHON" -m gened loopback "$PHOTOGRAPHS"/*.png --radio virtual-pluto --quiet --out "out/radio/$name" "$@" >/dev/null
  cp "out/radio/$name/report.json" "$OUT/$name.json"
  "$PYTHON" - "$OUT/$name.json" <<'EOF'
import json, sys
report = json.load(open(sys.argv[1]))
frames = report["frames"]
whole = [frame for frame in frames if frame["received"] is not None]
mean = lambda key: sum(frame[key] for frame in whole) / max(len(whole), 1)
print(
    f"   {len(whole)} of {len(frames)} frames, {sum(bool(frame['crc_ok']) for frame in frames)} captions whole, "
    f"PSNR {mean('psnr_db'):.2f} dB, SNR {mean('snr_est_db'):.2f} dB, offset {mean('cfo_est_hz'):.0f} Hz, "
    f"causes {report['meta']['causes']}"
)
EOF
}

main() {
  setup >&2
  cd "$ROOT"
  require_clean
  mkdir -p "$OUT"
  free_photographs "$PHOTOGRAPHS"
  local snr ppm
  for snr in 15 4; do
    over "three-${snr}db" --snr "$snr" --max-side 512
  done
  for ppm in 2 25; do
    over "minute-${ppm}ppm" --snr 15 --freq-offset "$((ppm * 24495 / 10))" --set rx.address=ip:127.0.0.1:30432 --max-side 256 --frames 60 --interval 1
  done
}

main "$@"
