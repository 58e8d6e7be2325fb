/* cw_json_parse_object and the checks of claims: whatever JSON comes, what is accepted keeps the
 * bounds that the policy sets. */
#include <stdint.h>
#include <stdlib.h>

#include "common/jose/claims.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const json_t *json)
{
    enum { NOW = 1700000000 };
    static const struct cw_str audiences[] = {CW_STR_INIT("api")};
    struct cw_claims_policy policy = {
        .issuer = CW_STR_INIT("i"),
        .audiences = audiences,
        .audience_count = 1,
        .leeway = 30,
        .max_lifetime = 86400,
        .map.roles = {{CW_STR_INIT("realm_access"), CW_STR_INIT("roles")}, 2},
    };
    const struct cw_claim_kept kept[] = {{CW_STR("x"), {{CW_STR_INIT("x")}, 1}}};
    policy.map.kept = kept;
    policy.map.kept_count = 1;
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    struct cw_claims claims;
    if (cw_claims_check_times(json, &policy, NOW, NULL, &claims) == CW_OK &&
        (claims.expires_at <= NOW - 30 || claims.not_before > NOW + 30 ||
         claims.issued_at > NOW + 30 || claims.not_before > claims.expires_at)) {
        abort();
    }
    if (cw_claims_check(json, &policy, NULL, &arena, &claims) == CW_OK &&
        (!claims.subject.n || !cw_str_list_has(&claims.audiences, audiences[0]) ||
         claims.roles.n > CW_CLAIM_VALUES_MAX)) {
        abort();
    }
    cw_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = NULL;
    struct cw_claim_path path;
    struct cw_str text = {(const char *)data, size};
    (void)!cw_claim_path_parse(text, &path);
    if (cw_json_parse_object(text, CW_CLAIMS_MALFORMED, &json) == CW_OK) {
        judge(json);
        json_decref(json);
    }
    return 0;
}
