# The clients of docs/api.md. Sourced by run, after compose.sh.
# shellcheck shell=bash disable=SC2154

mkdir "$work/stubs"
python3 -m grpc_tools.protoc -I proto --python_out="$work/stubs" --grpc_python_out="$work/stubs" proto/sharewarden/v1/*.proto ||
  die "the Python code of the protos"
image=111122223333/eu-central-1/wsi-basewin11
# with CLIENT...: as a caller who says who he is.
with() { SHAREWARDEN_PRINCIPAL=example PYTHONPATH=$work/stubs PYTHONDONTWRITEBYTECODE=1 "$@"; }

with python3 docs/clients/python/share.py "${service#http://}" "$image" 000011112222 'a new account' >"$work/answer" || die "share.py"
grep -q ' STATE_SUCCEEDED example$' "$work/answer" || die "share.py says $(cat "$work/answer")"
refused=$(with python3 docs/clients/python/share.py "${service#http://}" "$image" nobody 'a new account' 2>&1) && die "share.py shares with nobody"
[[ $refused == INVALID_FIELDS:* ]] || die "share.py does not say why: $refused"
ok "the client of docs/clients/python shares an image, and tells why it cannot"

with "$client" "$service" "$image" 777788889999 'a new account' >"$work/answer" || die "examples/client"
grep -q ' STATE_SUCCEEDED example$' "$work/answer" || die "examples/client says $(cat "$work/answer")"
refused=$(with "$client" "$service" "$image" nobody 'a new account' 2>&1) && die "examples/client shares with nobody"
[[ $refused == *INVALID_FIELDS* ]] || die "examples/client does not say why: $refused"
ok "the client of examples/client shares an image, and tells why it cannot"
