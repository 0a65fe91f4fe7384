# The clients of docs/api.md. Sourced by run, after compose.sh.
# shellcheck shell=bash disable=SC2154

mkdir "$work/stubs"
python3 -m grpc_tools.protoc -I proto --python_out="$work/stubs" --grpc_python_out="$work/stubs" proto/sharewarden/v1/*.proto ||
  die "grpc_tools.protoc failed"
image=111122223333/eu-central-1/wsi-basewin11
# with CLIENT...: runs a client with a principal in the header.
with() { SHAREWARDEN_PRINCIPAL=example PYTHONPATH=$work/stubs PYTHONDONTWRITEBYTECODE=1 "$@"; }

with python3 docs/clients/python/share.py "${service#http://}" "$image" 000011112222 'a new account' >"$work/answer" || die "share.py failed"
grep -q ' STATE_SUCCEEDED example$' "$work/answer" || die "wrong answer from share.py: $(cat "$work/answer")"
refused=$(with python3 docs/clients/python/share.py "${service#http://}" "$image" nobody 'a new account' 2>&1) && die "share.py accepted an invalid recipient"
[[ $refused == INVALID_FIELDS:* ]] || die "share.py gives no reason: $refused"
ok "the client of docs/clients/python shares an image, and prints the reason of an error"

with "$client" "$service" "$image" 777788889999 'a new account' >"$work/answer" || die "examples/client failed"
grep -q ' STATE_SUCCEEDED example$' "$work/answer" || die "wrong answer from examples/client: $(cat "$work/answer")"
refused=$(with "$client" "$service" "$image" nobody 'a new account' 2>&1) && die "examples/client accepted an invalid recipient"
[[ $refused == *INVALID_FIELDS* ]] || die "examples/client gives no reason: $refused"
ok "the client of examples/client shares an image, and prints the reason of an error"
