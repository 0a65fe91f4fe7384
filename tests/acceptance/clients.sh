# The clients of docs/api.md. Sourced by run, after compose.sh.
# shellcheck shell=bash disable=SC2154

export PYTHONDONTWRITEBYTECODE=1
python3 -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation --target "$work/python" clients/python ||
  die "pip cannot install clients/python"
share() { PYTHONPATH=$work/python python3 clients/python/examples/share.py "$@"; }
image=111122223333/eu-central-1/wsi-basewin11
# with CLIENT...: runs a client with a principal in the header.
with() { SHAREWARDEN_SERVER=$service SHAREWARDEN_PRINCIPAL=example "$@"; }

with share "$image" 000011112222 'a new account' >"$work/answer" || die "share.py failed"
grep -q ' STATE_SUCCEEDED example$' "$work/answer" || die "wrong answer from share.py: $(cat "$work/answer")"
refused=$(with share "$image" nobody 'a new account' 2>&1) && die "share.py accepted an invalid recipient"
[[ $refused == *'(INVALID_FIELDS); shared_account_id: '* ]] || die "share.py gives no reason: $refused"
refused=$(SHAREWARDEN_SERVER=http://127.0.0.1:1 share "$image" 777788889999 'a new account' 2>&1) && die "share.py accepted without a service"
[[ $refused == 'cannot connect to http://127.0.0.1:1: '* && $refused != *$'\n'* ]] || die "share.py does not say so in one line: $refused"
ok "the client of clients/python shares an image, and prints the reason of an error"

with "$client" "$service" "$image" 777788889999 'a new account' >"$work/answer" || die "examples/client failed"
grep -q ' STATE_SUCCEEDED example$' "$work/answer" || die "wrong answer from examples/client: $(cat "$work/answer")"
refused=$(with "$client" "$service" "$image" nobody 'a new account' 2>&1) && die "examples/client accepted an invalid recipient"
[[ $refused == error:*'(INVALID_FIELDS); shared_account_id: '* ]] || die "examples/client gives no reason: $refused"
# fails_with SENTENCE ARGUMENT...: the client must end with one line.
fails_with() {
  local sentence=$1 said
  shift
  said=$(with "$client" "$@" 2>&1) && die "examples/client accepted: $*"
  [[ $said == "error: "*"$sentence"* && $said != *$'\n'* ]] || die "examples/client does not say $sentence in one line: $said"
}
fails_with 'usage: share-image <URL>'
fails_with 'usage: share-image <URL>' "$service"
fails_with 'is not account/region/image' "$service" wsi-basewin11 777788889999 'a new account'
fails_with 'is not a URL' 'http://a b' "$image" 777788889999 'a new account'
fails_with 'cannot connect to http://127.0.0.1:1/: ' http://127.0.0.1:1 "$image" 777788889999 'a new account'
fails_with 'is not UTF-8' "$service" "$image" 777788889999 $'\xff'
SHAREWARDEN_PRINCIPAL=$'a\nb' "$client" "$service" "$image" 777788889999 why 2>"$work/answer" && die "examples/client accepted a principal of two lines"
grep -q '^error: .*variable SHAREWARDEN_PRINCIPAL has' "$work/answer" || die "wrong message from examples/client: $(cat "$work/answer")"
ok "the client of examples/client fails with one sentence"
ok "the client of examples/client shares an image, and prints the reason of an error"
