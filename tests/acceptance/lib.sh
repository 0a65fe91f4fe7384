# What the acceptance scripts share: programs in the background, waits for conditions, and what is said about them.
# `work` is the folder of this run: a program NAME writes to NAME.out and NAME.err there.
# shellcheck shell=bash

declare -A pids=()

ok() { echo "ok: $*"; }

# Says why, with what the programs said last.
die() {
  echo "FAILED: $*" >&2
  local log
  for log in "$work"/*.err; do
    [ ! -s "$log" ] || { echo "--- the end of $(basename "$log")"; tail -n 30 "$log"; } >&2
  done
  exit 1
}

# Nothing of this machine's: no AWS account, no settings of the client, no proxy before loopback.
own_environment() {
  local name
  for name in $(compgen -e | grep -E '^(AWS_|SHAREWARDEN_|PG)' || true); do
    unset "$name"
  done
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  export PGCONNECT_TIMEOUT=10
  export no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost
}

# start NAME COMMAND...: in the background.
start() {
  local name=$1
  shift
  : >"$work/$name.out" >"$work/$name.err" # there before anyone looks
  "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
  pids[$name]=$!
}

# wait_for NAME TEXT: until the program has said it, for at most a minute (a busy machine is slow).
wait_for() {
  local deadline=$((SECONDS + 60))
  until grep -qF "$2" "$work/$1.out" "$work/$1.err"; do
    kill -0 "${pids[$1]}" 2>/dev/null || die "$1 ended before it said \"$2\""
    [ "$SECONDS" -lt "$deadline" ] || die "$1 has not said \"$2\" within a minute"
    sleep 0.05
  done
}

# ended NAME: waits until it is gone, for at most half a minute.
ended() {
  local deadline=$((SECONDS + 30))
  while kill -0 "${pids[$1]}" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

# stop NAME SIGNAL: it must end by itself, and well.
stop() {
  local status=0
  kill -s "$2" "${pids[$1]}" 2>/dev/null || die "$1 ended too early"
  ended "$1" || die "$1 still runs half a minute after SIG$2"
  wait "${pids[$1]}" || status=$?
  unset "pids[$1]"
  [ "$status" = 0 ] || die "$1 ends with $status at SIG$2"
}

# Whatever still runs, because something failed.
end_all() {
  local name
  for name in "${!pids[@]}"; do
    kill -s TERM "${pids[$name]}" 2>/dev/null || true
    ended "$name" || kill -s KILL "${pids[$name]}" 2>/dev/null || true
    wait "${pids[$name]}" 2>/dev/null || true
  done
}

# sharewarden VERB SERVER IMAGE RECIPIENT [OPTION...]: a grant or a revoke by the program's own client, as JSON.
# IMAGE is account/region/image.
sharewarden() {
  local verb=$1 url=$2 recipient=$4 account region image
  IFS=/ read -r account region image <<<"$3"
  shift 4
  "$program" "$verb" --server "$url" --principal acceptance -o json --account "$account" --region "$region" \
    --image "$image" --with "$recipient" --reason 'acceptance test' "$@"
}
