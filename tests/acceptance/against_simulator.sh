# Three clients grant, AWS's SDK and psql look, one client revokes. Sourced by run, when `dev` serves.
# shellcheck shell=bash disable=SC2154

image=111122223333/eu-central-1/wsi-basewin11
by_reflection=210987654321 by_cli=777788889999 by_buf=000011112222

# accepted RECIPIENT STATE: reads an answer, and remembers its change for the comparison with the ledger.
accepted() { python3 "$here/accepted.py" "$@" >>"$work/changes" || die "an answer"; }

shared_with() { python3 "$here/shared_with.py" "$simulator" AKIA111122223333 "$image" "$@"; }

python3 "$here/grant_by_reflection.py" "$server" "$image" "$by_reflection" >"$work/answer" ||
  die "a Python client that knows the service by reflection only"
accepted "$by_reflection" SHARED <"$work/answer"
ok "a grant by a Python client that knows the service by reflection only"

sharewarden grant "$server" "$image" "$by_cli" >"$work/answer" || die "sharewarden grant"
accepted "$by_cli" SHARED <"$work/answer"
ok "a grant by sharewarden's own client"

buf curl --protocol grpc --http2-prior-knowledge --reflect --timeout 30s -H 'x-sharewarden-principal: acceptance' \
  -d '{"accountId": "111122223333", "region": "eu-central-1", "imageId": "wsi-basewin11",
       "sharedAccountId": "'"$by_buf"'", "reason": "acceptance test"}' \
  "$server/sharewarden.v1.SharePermissionService/GrantSharePermission" >"$work/answer" || die "buf curl"
accepted "$by_buf" SHARED <"$work/answer"
ok "a grant by buf curl"

shared_with "$by_reflection" "$by_cli" "$by_buf" || die "the simulator does not hold the three shares"
ok "boto3 sees the three shares"

for recipient in "$by_reflection" "$by_cli" "$by_buf"; do
  sharewarden revoke "$server" "$image" "$recipient" >"$work/answer" || die "sharewarden revoke --with $recipient"
  accepted "$recipient" NOT_SHARED <"$work/answer"
done
shared_with || die "the simulator holds shares after the revokes"
ok "boto3 sees none after the revokes"

# A change is two lines: asked for, and done, with the id that AWS gave its call.
while read -r action recipient change aws_request_id; do
  printf '%s|change.requested|%s|%s|\n' "$action" "$recipient" "$change"
  printf '%s|change.succeeded|%s|%s|%s\n' "$action" "$recipient" "$change" "$aws_request_id"
done <"$work/changes" >"$work/expected"
psql "$database" --no-psqlrc -qAt -v ON_ERROR_STOP=1 >"$work/found" -c "
  SELECT action, kind, shared_account_id, change_id, aws_request_id FROM audit_entry ORDER BY log_index" || die "psql"
[ "$(wc -l <"$work/found")" = 12 ] || die "six changes are not twelve entries in the ledger: $(cat "$work/found")"
diff "$work/expected" "$work/found" || die "what psql finds (>) is not what the clients were told (<)"
ok "psql finds each change as change.requested, then as change.succeeded with its AWS request id, in order"

python3 "$here/simulator_boto3.py" "$simulator" >"$work/simulator.out" || die "boto3 against the simulator"
ok "the simulator is as AWS to boto3 ($(wc -l <"$work/simulator.out") checks)"
