#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Reproduces the figures of docs/editor.md: every evaluation under results/editor/ and its plots.
# Usage: scripts/results/editor.sh EVAL_DATA [PART...]
#
# EVAL_DATA holds kodak/, sod/ (images/, masks/) and captioned/ (with captions.jsonl). Parts: embedded, hevc-ldpc, words,
# symbols, realesrgan, captions, figures; without a part, all of them. Scores are kept in runs/cache, so a picture is
# measured once per weights.
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/setup.sh"
# shellcheck source=scripts/lib/measure.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/measure.sh"

OUT="results/editor"
METRICS="psnr,ms_ssim,masks,st_lpips,brisque,kid,recognition"
FEW=8 # pictures for Real-ESRGAN, which takes half a minute per picture

# compared NAME DATA OPTIONS...: one evaluation at 256x256, rate 1/24, AWGN, 1, 4, 7 and 10 dB.
compared() {
  local name="$1" data="$2"
  shift 2
  measure "$name" --data "$data" --resize 256 --metrics "$METRICS" "$@"
}

part() {
  local data="$1"
  case "$2" in
    embedded)
      compared gened-kodak-256-embedded "$data/kodak" --codec gened --editor embedded
      compared gened-sod-256-embedded "$data/sod" --codec gened --editor embedded
      compared deepjscc-kodak-256-embedded "$data/kodak" --codec deepjscc --editor embedded
      ;;
    hevc-ldpc)
      compared hevc-ldpc-kodak-256 "$data/kodak" --codec hevc-ldpc
      compared hevc-ldpc-sod-256 "$data/sod" --codec hevc-ldpc
      ;;
    words) # human captions: the picture's own, none, another picture's
      local words
      for words in right none other; do
        measure "gened-captioned-256-words-$words" --data "$data/captioned" --resize 256 --codec gened --editor embedded \
          --edit-words "$words" --snr 1,7 --limit 60 --metrics psnr,st_lpips
      done
      ;;
    symbols) # quality against what was sent, at 4 dB
      local rate
      for rate in 1/48 1/36 1/24 1/12; do
        measure "gened-sod-256-embedded-rate-${rate#1/}" --data "$data/sod" --resize 256 --codec gened --editor embedded --rate "$rate" \
          --snr 4 --limit 40 --metrics psnr,masks,st_lpips,brisque
      done
      ;;
    realesrgan) # both editors on the same few pictures
      compared gened-kodak-256-realesrgan "$data/kodak" --codec gened --editor realesrgan --editor-option threads=1 --limit "$FEW"
      compared gened-kodak-256-embedded-few "$data/kodak" --codec gened --editor embedded --limit "$FEW"
      ;;
    captions)
      say captions
      "$PYTHON" -m gened.models.evaluation.run.captions --data "$data/captioned" --captioner layout,neighbour --resize 256 --train "$data/../train" \
        --out "$OUT/captions.json" >/dev/null
      ;;
    figures)
      local y
      for y in st_lpips brisque kid; do
        "$PYTHON" -m gened plot "$OUT"/{gened,deepjscc}-kodak-256-embedded.json "$OUT"/hevc-ldpc-kodak-256.json --y "$y" \
          --out "docs/figures/editor-$y.png"
      done
      "$PYTHON" -m gened plot "$OUT"/gened-sod-256-embedded.json "$OUT"/hevc-ldpc-sod-256.json --y psnr_fg_db \
        --out docs/figures/editor-psnr_fg_db.png
      "$PYTHON" -m gened plot "$OUT"/gened-sod-256-embedded-rate-*.json --x payload_symbols --y st_lpips --out docs/figures/editor-symbols.png
      free_photographs out/photographs
      "$PYTHON" -m gened plot --sheet --data out/photographs --resize 256 --codec gened --editor embedded --snr 1,7 --quiet \
        --out docs/figures/sheet-edited.jpg
      ;;
    *) die "a part '$2'; known are embedded, hevc-ldpc, words, symbols, realesrgan, captions, figures" ;;
  esac
}

main() {
  [ $# -ge 1 ] || die "usage: scripts/results/editor.sh EVAL_DATA [PART...]"
  local data name
  data="$(realpath --canonicalize-existing --relative-to="$ROOT" "$1")" || die "there is no folder $1"
  shift
  [ $# -gt 0 ] || set -- embedded hevc-ldpc words symbols realesrgan captions figures
  setup >&2
  cd "$ROOT"
  require_clean
  mkdir -p "$OUT" runs/cache
  for name in "$@"; do
    part "$data" "$name"
  done
}

main "$@"
