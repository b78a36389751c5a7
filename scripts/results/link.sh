#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Reproduces the figures of docs/link.md and docs/digital.md: the files under results/link/ and their plots.
# It takes about a quarter of an hour on one core.
# Usage: [DATA=FOLDER] [MORE=N] [WORKERS=N] scripts/results/link.sh [PART...]
#
# Parts: offsets, fading, faults, many, false, gnuradio, costs, ldpc (docs/digital.md, six minutes), whiteness
# (docs/architecture.md, needs pictures in DATA), figures; without a part, all of them but whiteness. MORE multiplies the numbers of frames and samples. Rows do not depend on WORKERS (1), timings do:
# measure costs and ldpc separately, on an idle machine.
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/setup.sh"
# shellcheck source=scripts/lib/measure.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/measure.sh"

OUT="results/link"
MORE="${MORE:-1}"
export OMP_NUM_THREADS=1

# link NAME OPTIONS...: one run of the bench into OUT/NAME.json.
link() {
  local name="$1"
  shift
  say "$name"
  "$PYTHON" -m gened bench link --quiet --workers "${WORKERS:-1}" --out "$OUT/$name.json" "$@" >/dev/null
}

rows() {
  local name="$1" frames="$2"
  shift 2
  link "$name" --no-gnuradio --no-costs --noise-samples 0 --frames $((frames * MORE)) "$@"
}

part() {
  local tdl="tdl-a-0.1,tdl-a-0.3,tdl-a-1,tdl-a-1.5,tdl-b-0.1,tdl-b-0.3,tdl-b-1,tdl-b-1.5,tdl-c-0.1,tdl-c-0.3,tdl-c-1,tdl-c-1.5"
  case "$1" in
    offsets)
      rows offsets 50 --conditions awgn,offsets-20ppm --snr=-2,0,1,4,7,10,20
      rows clocks 30 --conditions carrier,clocks-20ppm,clocks-50ppm,offsets-50ppm --snr 4,10
      ;;
    fading)
      rows fading 30 --conditions "rayleigh,rician,multipath,$tdl" --snr 4,10,20
      rows doppler 30 --conditions doppler-10,doppler-50,tdl-a-1-doppler-10,tdl-a-1-doppler-50 --snr 4,10,20
      ;;
    faults) rows faults 30 --conditions linewidth-10,linewidth-100,iq,dc,pluto,12-bit,8-bit,clipping,collision,narrow-band --snr 4,10,20 ;;
    many) # many short frames: detection, headers, captions; and a link without noise
      rows many 2000 --conditions short --snr=-2,0
      rows many-clean 10000 --conditions short-200ppm --snr 60
      ;;
    false)
      link false-noise --conditions none --no-gnuradio --no-costs --signals noise --noise-samples $((100000000 * MORE))
      link false-signals --conditions none --no-gnuradio --no-costs --signals tone,chirp,ofdm,silence --noise-samples $((100000000 * MORE))
      ;;
    gnuradio) link gnuradio --conditions none --no-costs --noise-samples 0 --gnuradio --packets $((40 * MORE)) ;;
    costs) link costs --conditions none --no-gnuradio --noise-samples 0 ;;
    ldpc)
      say ldpc
      "$PYTHON" -m gened bench ldpc --quiet --workers "${WORKERS:-1}" --frames $((500 * MORE)) --blocks 0 --broken 0 --out "$OUT/ldpc.json" >/dev/null
      "$PYTHON" -m gened bench ldpc --quiet --modes none --out "$OUT/ldpc-decoders.json" >/dev/null
      "$PYTHON" -m gened.bench.ldpc_figures "$OUT/ldpc.json" --out docs/figures
      ;;
    whiteness)
      [ -n "${DATA:-}" ] || die "the part whiteness needs DATA, a folder of pictures"
      say whiteness
      "$PYTHON" -m gened.bench.whiteness --data "$DATA" --limit 4 --out "$OUT/whiteness.json" >/dev/null
      ;;
    figures) "$PYTHON" -m gened.bench.link_figures "$OUT"/*.json --out docs/figures ;;
    *) die "a part '$1'; known are offsets, fading, faults, many, false, gnuradio, costs, ldpc, whiteness, figures" ;;
  esac
}

main() {
  [ $# -gt 0 ] || set -- offsets fading faults many false gnuradio costs ldpc figures
  setup >&2
  cd "$ROOT"
  require_clean
  mkdir -p "$OUT"
  local name
  for name in "$@"; do
    part "$name"
  done
}

main "$@"
