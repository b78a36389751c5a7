#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The set-up of docs/editor.md on one machine: a network namespace for the radio, another for the editor, CURVE between them.
# Usage: scripts/two_machines.sh [OPTIONS OF gened loopback]
#
# Half way through the frames the editor is killed; the frames that follow are delivered as they were received. Needs root and `ip`.
set -euo pipefail
# shellcheck source=scripts/lib/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"

RADIO=gened-radio EDITOR=gened-editor
RADIO_IP=10.77.0.1 EDITOR_IP=10.77.0.2
OUT="$ROOT/out/two-machines"
KEYS="$OUT/keys"
FRAMES=6

clean() {
  [ -z "${SERVER:-}" ] || kill -KILL "$SERVER" 2>/dev/null || true
  ip netns del "$RADIO" 2>/dev/null || true
  ip netns del "$EDITOR" 2>/dev/null || true
}

machines() {
  ip netns add "$RADIO"
  ip netns add "$EDITOR"
  ip link add radio0 netns "$RADIO" type veth peer name editor0 netns "$EDITOR"
  ip -n "$RADIO" addr add "$RADIO_IP/24" dev radio0
  ip -n "$EDITOR" addr add "$EDITOR_IP/24" dev editor0
  ip -n "$RADIO" link set radio0 up
  ip -n "$EDITOR" link set editor0 up
  ip -n "$RADIO" link set lo up
  ip -n "$EDITOR" link set lo up
}

# Lines of the report: frame, edited or why not.
told() {
  "$PYTHON" - "$OUT/report.json" <<'PYTHON'
import json, sys
for frame in json.load(open(sys.argv[1]))["frames"]:
    what = f"edited in {frame['editor_ms']:.0f} ms" if frame["edited"] else f"as received: {frame['edit_reason']}"
    print(f"   frame {frame['frame']}: {what}")
PYTHON
}

main() {
  [ "$(id -u)" -eq 0 ] || die "network namespaces need root"
  command -v ip >/dev/null || die "ip is missing: apt-get install iproute2"
  setup
  trap clean EXIT
  clean
  rm -rf "$OUT"
  mkdir -p "$OUT"
  machines
  "$VENV/bin/gened" editor keys "$KEYS"
  say "editor: in $EDITOR, at tcp://$EDITOR_IP:5560"
  ip netns exec "$EDITOR" "$VENV/bin/gened" editor serve --bind "tcp://$EDITOR_IP:5560" --keys "$KEYS/server" \
    2> >(tee "$OUT/editor.log" >&2) &
  SERVER=$!
  local waited
  for waited in $(seq 60); do
    ! grep -q ready "$OUT/editor.log" 2>/dev/null || break
    sleep 1
  done
  [ "$waited" -lt 60 ] || die "the editor did not start"
  ip netns exec "$RADIO" "$VENV/bin/gened" editor status --address "tcp://$EDITOR_IP:5560" --keys "$KEYS/client" >"$OUT/status.json"

  local photo
  photo="$("$PYTHON" -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data" / "coffee.png")')"
  say "radio: in $RADIO; after the third edited picture the editor is killed"
  (
    while [ "$(find "$OUT" -name 'edited-*.png' | wc -l)" -lt 3 ]; do sleep 0.1; done
    kill -KILL "$SERVER"
  ) &
  ip netns exec "$RADIO" timeout -k 30 300 "$VENV/bin/gened" loopback "$photo" --max-side 256 --frames "$FRAMES" --interval 2 --snr 7 \
    --editor "tcp://$EDITOR_IP:5560" --editor-keys "$KEYS/client" --out "$OUT" "$@"
  say "what became of the frames:"
  told
  local edited
  edited="$(find "$OUT" -name 'edited-*.png' | wc -l)"
  [ "$(find "$OUT" -name 'received-*[0-9].png' | wc -l)" -eq "$FRAMES" ] || die "frames were lost"
  [ "$edited" -ge 3 ] && [ "$edited" -lt "$FRAMES" ] || die "$edited pictures were edited; some, not all, were expected"
}

main "$@"
