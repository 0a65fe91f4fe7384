# Shared by the acceptance scripts: background programs, waits for conditions, and messages.
# `work` is the folder of this run: a program NAME writes to NAME.out and NAME.err there.
# shellcheck shell=bash

declare -A pids=()

ok() { echo "ok: $*"; }

# Ends the run with a reason, and the last output of the programs.
die() {
  echo "FAILED: $*" >&2
  local log
  for log in "$work"/*.err; do
    [ ! -s "$log" ] || { echo "--- the end of $(basename "$log")"; tail -n 30 "$log"; } >&2
  done
  exit 1
}

# Ignore settings of this machine: AWS accounts, client settings, proxies.
own_environment() {
  local name
  for name in $(compgen -e | grep -E '^(AWS_|SHAREWARDEN_|PG)' || true); do
    unset "$name"
  done
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  export PGCONNECT_TIMEOUT=10
  export no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost
}

# start NAME COMMAND...: runs a command in the background.
start() {
  local name=$1
  shift
  : >"$work/$name.out" >"$work/$name.err" # there before anyone looks
  "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
  pids[$name]=$!
}

# wait_for NAME TEXT: waits until the program has printed the text, for at most a minute (a busy machine is slow).
wait_for() {
  local deadline=$((SECONDS + 60))
  until grep -qF "$2" "$work/$1.out" "$work/$1.err"; do
    kill -0 "${pids[$1]}" 2>/dev/null || die "$1 ended before it printed \"$2\""
    [ "$SECONDS" -lt "$deadline" ] || die "$1 did not print \"$2\" within a minute"
    sleep 0.05
  done
}

# ended NAME: waits until the program has ended, for at most half a minute.
ended() {
  local deadline=$((SECONDS + 30))
  while kill -0 "${pids[$1]}" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

# stop NAME SIGNAL: the program must end after the signal, with exit status 0.
stop() {
  local status=0
  kill -s "$2" "${pids[$1]}" 2>/dev/null || die "$1 ended too early"
  ended "$1" || die "$1 still runs half a minute after SIG$2"
  wait "${pids[$1]}" || status=$?
  unset "pids[$1]"
  [ "$status" = 0 ] || die "$1 ended with exit status $status at SIG$2"
}

# Ends the programs that still run after a failure.
end_all() {
  local name
  for name in "${!pids[@]}"; do
    kill -s TERM "${pids[$name]}" 2>/dev/null || true
    ended "$name" || kill -s KILL "${pids[$name]}" 2>/dev/null || true
    wait "${pids[$name]}" 2>/dev/null || true
  done
}

# sharewarden VERB SERVER IMAGE RECIPIENT [OPTION...]: grants or revokes with the program's own client, and prints JSON.
# IMAGE is account/region/image.
sharewarden() {
  local verb=$1 url=$2 recipient=$4 account region image
  IFS=/ read -r account region image <<<"$3"
  shift 4
  "$program" "$verb" --server "$url" --principal acceptance -o json --account "$account" --region "$region" \
    --image "$image" --with "$recipient" --reason 'acceptance test' "$@"
}
