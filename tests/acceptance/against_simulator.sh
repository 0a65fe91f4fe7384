# Three clients grant, AWS's SDK and psql check the results, and one client revokes. Sourced by run while `dev` serves.
# shellcheck shell=bash disable=SC2154

image=111122223333/eu-central-1/wsi-basewin11
by_reflection=210987654321 by_cli=777788889999 by_buf=000011112222

# accepted RECIPIENT STATE: checks an answer, and stores its change for the comparison with the ledger.
accepted() { python3 "$here/accepted.py" "$@" >>"$work/changes" || die "wrong answer"; }

shared_with() { python3 "$here/shared_with.py" "$simulator" AKIA111122223333 "$image" "$@"; }

python3 "$here/grant_by_reflection.py" "$server" "$image" "$by_reflection" >"$work/answer" ||
  die "the Python client that uses only reflection failed"
accepted "$by_reflection" SHARED <"$work/answer"
ok "a grant by a Python client that uses only reflection"

sharewarden grant "$server" "$image" "$by_cli" >"$work/answer" || die "sharewarden grant failed"
accepted "$by_cli" SHARED <"$work/answer"
ok "a grant by sharewarden's own client"

buf curl --protocol grpc --http2-prior-knowledge --reflect --timeout 30s -H 'x-sharewarden-principal: acceptance' \
  -d '{"accountId": "111122223333", "region": "eu-central-1", "imageId": "wsi-basewin11",
       "sharedAccountId": "'"$by_buf"'", "reason": "acceptance test"}' \
  "$server/sharewarden.v1.SharePermissionService/GrantSharePermission" >"$work/answer" || die "buf curl failed"
accepted "$by_buf" SHARED <"$work/answer"
ok "a grant by buf curl"

shared_with "$by_reflection" "$by_cli" "$by_buf" || die "the simulator does not have the three shares"
ok "boto3 sees the three shares"

for recipient in "$by_reflection" "$by_cli" "$by_buf"; do
  sharewarden revoke "$server" "$image" "$recipient" >"$work/answer" || die "sharewarden revoke --with $recipient failed"
  accepted "$recipient" NOT_SHARED <"$work/answer"
done
shared_with || die "the simulator has shares after the revokes"
ok "boto3 sees no share after the revokes"

# A change has two entries: requested, and succeeded with the request id of its call to AWS.
while read -r action recipient change aws_request_id; do
  printf '%s|change.requested|%s|%s|\n' "$action" "$recipient" "$change"
  printf '%s|change.succeeded|%s|%s|%s\n' "$action" "$recipient" "$change" "$aws_request_id"
done <"$work/changes" >"$work/expected"
psql "$database" --no-psqlrc -qAt -v ON_ERROR_STOP=1 >"$work/found" -c "
  SELECT action, kind, shared_account_id, change_id, aws_request_id FROM audit_entry ORDER BY log_index" || die "psql failed"
[ "$(wc -l <"$work/found")" = 12 ] || die "six changes do not have twelve entries in the ledger: $(cat "$work/found")"
diff "$work/expected" "$work/found" || die "the entries in psql (>) differ from the answers to the clients (<)"
ok "psql finds each change as change.requested, then as change.succeeded with its AWS request id, in order"

python3 "$here/simulator_boto3.py" "$simulator" >"$work/simulator.out" || die "boto3 with the simulator failed"
ok "the simulator behaves like AWS for boto3 ($(wc -l <"$work/simulator.out") checks)"

# The lines of the help with plain curl, as they stand.
curl -sf "$simulator/_simulator" | sed -n 's/^  \(curl .*\)/\1/p' >"$work/recipes"
[ "$(wc -l <"$work/recipes")" = 7 ] || die "the help of the simulator has other commands than expected: $(cat "$work/recipes")"
while read -r recipe; do
  eval "$recipe --silent --show-error --fail" >/dev/null </dev/null || die "the help of the simulator has a wrong command: $recipe"
done <"$work/recipes"
curl -sf "$simulator/_simulator/state" | grep -q '"team": *"desktop"' || die "the help of the simulator set no tags"
image_of_help=$simulator/_simulator/images/eu-central-1/wsi-basewin11
curl -sf -X DELETE "$simulator/_simulator/faults" && curl -sf -X PUT -d AVAILABLE "$image_of_help/state" &&
  curl -sf -X PUT -d stage=released "$image_of_help/tags" || die "the simulator is not as it was"
ok "the curl commands of the simulator's help work"
