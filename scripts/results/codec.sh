#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Reproduces the figures of docs/codec.md: every evaluation under results/codec/ and its plots.
# Usage: scripts/results/codec.sh EVAL_DATA [PART...]
#
# EVAL_DATA holds kodak/ (24 pictures) and sod/ (images/, masks/). Parts: the codecs gened, deepjscc, softcast and
# hevc-ldpc, and figures, the plots of their results; without a part, all of them. Scores are kept in runs/cache, so a
# picture is measured once per weights. The first run takes about an hour on two cores; WORKERS (2) sets the processes.
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/setup.sh"
# shellcheck source=scripts/lib/measure.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/measure.sh"

OUT="results/codec"
RATE_SNRS="-2,1,4,7,10,13,20"

# of_codec CODEC DATA OPTIONS...: the evaluations that all codecs have in common.
of_codec() {
  local codec="$1" data="$2"
  shift 2
  local kodak=(--codec "$codec" --data "$data/kodak" "$@") small=(--resize 256)
  measure "$codec-kodak-256" "${kodak[@]}" "${small[@]}" --metrics psnr,ms_ssim,st_lpips
  measure "$codec-kodak-full" "${kodak[@]}"
  measure "$codec-kodak-256-rayleigh-fast" "${kodak[@]}" "${small[@]}" --channel rayleigh-fast --metrics psnr
  measure "$codec-kodak-256-rayleigh-block" "${kodak[@]}" "${small[@]}" --channel rayleigh-block --seeds 4 --metrics psnr
  measure "$codec-kodak-256-rayleigh-block-estimated" "${kodak[@]}" "${small[@]}" --channel rayleigh-block --seeds 2 \
    --over loopback --metrics psnr
  measure "$codec-sod-256" --codec "$codec" --data "$data/sod" "${small[@]}" --metrics psnr,masks # at its own focus
}

# by_symbols CODEC DATA RATE...: foreground PSNR and ST-LPIPS at 10 dB, for the plots against payload symbols, which count
# a caption as the paper does.
by_symbols() {
  local codec="$1" data="$2" rate
  shift 2
  for rate in "$@"; do
    measure "$codec-sod-256-rate-${rate#1/}" --codec "$codec" --data "$data/sod" --resize 256 --rate "$rate" --snr 10 \
      --metrics psnr,masks,st_lpips --captions paper
  done
}

# of_gened DATA: rates, masks, erasures, SNR mismatch and refinement, which only gened has.
of_gened() {
  local data="$1" rate
  local kodak=(--codec gened --data "$data/kodak" --resize 256 --focus 1 --metrics psnr)
  for rate in 1/48 1/36 1/24 1/12; do
    measure "gened-kodak-256-rate-${rate#1/}" "${kodak[@]}" --rate "$rate" --snr="$RATE_SNRS" --captions paper
  done
  measure gened-kodak-full-rate-48 --codec gened --data "$data/kodak" --focus 1 --rate 1/48 --metrics psnr
  measure gened-sod-256-truth --codec gened --data "$data/sod" --resize 256 --mask truth --metrics psnr,masks
  measure gened-kodak-256-erasure "${kodak[@]}" --erasure 0.1 --snr 7
  measure gened-kodak-256-told-more "${kodak[@]}" --snr-error 3
  measure gened-kodak-256-told-less "${kodak[@]}" --snr-error=-3
  measure gened-kodak-256-rayleigh-block-estimated-margin "${kodak[@]}" --channel rayleigh-block --seeds 2 --over loopback \
    --side-margin 12
  say "the sheet with masks"
  free_photographs out/photographs
  "$PYTHON" -m gened plot --sheet --data out/photographs --resize 256 --codec gened --codec deepjscc --draw-mask --quiet \
    --out docs/figures/sheet-masks.jpg
  measure gened-kodak-256-refine "${kodak[@]}" --refine 50 --snr 1,10 --limit 8
}

# drawn NAME OPTIONS... FILE...: one plot of results, into docs/figures/NAME.png.
drawn() {
  local name="$1"
  shift
  "$PYTHON" -m gened plot --quiet --out "docs/figures/$name.png" "$@"
}

figures() {
  say "the plots"
  local fast="kodak-256-rayleigh-fast.json" block="kodak-256-rayleigh-block.json"
  drawn psnr-snr --y psnr_db "$OUT"/{gened,deepjscc,softcast,hevc-ldpc}-kodak-256.json
  drawn st-lpips-snr --y st_lpips "$OUT"/{gened,deepjscc,hevc-ldpc}-kodak-256.json
  drawn psnr-symbols --x payload_symbols --y psnr_db "$OUT"/gened-kodak-256-rate-{12,24,36,48}.json
  drawn foreground-snr --y psnr_fg_db "$OUT"/{gened,deepjscc,hevc-ldpc}-sod-256.json
  drawn foreground-symbols --x payload_symbols --y psnr_fg_db "$OUT"/{deepjscc,gened,hevc-ldpc}-sod-256-rate-*.json
  drawn st-lpips-symbols --x payload_symbols --y st_lpips "$OUT"/{deepjscc,gened,hevc-ldpc}-sod-256-rate-*.json
  drawn fading --y psnr_db "$OUT"/{gened,deepjscc,hevc-ldpc}-"$fast" "$OUT"/{gened,deepjscc,hevc-ldpc}-"$block"
}

main() {
  [ $# -ge 1 ] || die "usage: scripts/results/codec.sh EVAL_DATA [PART...]"
  local data codec
  data="$(realpath --canonicalize-existing --relative-to="$ROOT" "$1")" || die "there is no folder $1"
  shift
  [ $# -gt 0 ] || set -- gened deepjscc softcast hevc-ldpc figures
  setup >&2
  cd "$ROOT"
  require_clean
  mkdir -p "$OUT" runs/cache
  for codec in "$@"; do
    if [ "$codec" = figures ]; then
      figures
    elif [ "$codec" = gened ]; then
      of_codec gened "$data" --focus 1
      of_gened "$data"
      by_symbols gened "$data" 1/48 1/36 1/24 1/12
    else
      of_codec "$codec" "$data"
      case "$codec" in
        deepjscc) by_symbols deepjscc "$data" 1/24 ;;
        hevc-ldpc) by_symbols hevc-ldpc "$data" 1/48 1/36 1/24 1/12 ;;
      esac
    fi
  done
}

main "$@"
