/* `cwctl keys list` and `cwctl keys refresh`: which keys the sidecar holds, and fetching them now.
 */
#include "common/base/clock.h"
#include "cwctl/ask.h"
#include "proto/clinicwave/token/v1/admin.pb-c.h"

#define ADMIN "/clinicwave.token.v1.TokenAdminService/"

static void print_issuer(const Clinicwave__Token__V1__IssuerKeys *issuer)
{
    int64_t now = cw_clock_wall_s(&cw_clock_system);
    printf("%s  %s\n", REMOTE_CLEAN(issuer->tenant), REMOTE_CLEAN(issuer->issuer));
    printf("  from     %s\n", REMOTE_CLEAN(issuer->source));
    printf("  fetched  %s%s, %llu fetches, %llu failed", issuer->fetched_at ? "" : "never",
           issuer->fetched_at ? REMOTE_AGE(CW_MAX(now - issuer->fetched_at, 0)) : "",
           (unsigned long long)issuer->fetches, (unsigned long long)issuer->failures);
    if (issuer->refresh_at) {
        printf(", next in %s", REMOTE_AGE(CW_MAX(issuer->refresh_at - now, 0)));
    }
    printf("\n");
    if (issuer->error[0]) {
        printf("  error    %s\n", REMOTE_CLEAN(issuer->error));
    }
    for (size_t i = 0; i < issuer->n_keys; i++) {
        const Clinicwave__Token__V1__Key *key = issuer->keys[i];
        printf("  key      %s  %s %u ", key->key_id[0] ? REMOTE_CLEAN(key->key_id) : "(no kid)",
               REMOTE_CLEAN(key->key_type), key->bits);
        for (size_t k = 0; k < key->n_algorithms; k++) {
            printf("%s%s", k ? "," : " ", REMOTE_CLEAN(key->algorithms[k]));
        }
        printf("\n");
    }
    for (size_t i = 0; i < issuer->n_skipped; i++) {
        printf("  note     %s\n", REMOTE_CLEAN(issuer->skipped[i]));
    }
}

static void print_all(const ProtobufCMessage *response)
{
    const Clinicwave__Token__V1__ListKeysResponse *all =
        (const Clinicwave__Token__V1__ListKeysResponse *)response;
    for (size_t i = 0; i < all->n_issuers; i++) {
        print_issuer(all->issuers[i]);
    }
}

static void print_begun(const ProtobufCMessage *response)
{
    const Clinicwave__Token__V1__RefreshKeysResponse *begun =
        (const Clinicwave__Token__V1__RefreshKeysResponse *)response;
    if (begun->started || begun->limited) {
        printf("%u begun, %u not yet again\n", begun->started, begun->limited);
    } else {
        printf("no such issuer\n");
    }
}

/* No issuer of that name. */
static int exit_of_refresh(const ProtobufCMessage *response)
{
    const Clinicwave__Token__V1__RefreshKeysResponse *begun =
        (const Clinicwave__Token__V1__RefreshKeysResponse *)response;
    return begun->started || begun->limited ? COMMAND_OK : COMMAND_REFUSED;
}

static const struct ask list = {
    .socket = "admin.sock",
    .method = ADMIN "ListKeys",
    .request = &clinicwave__token__v1__list_keys_request__descriptor,
    .response = &clinicwave__token__v1__list_keys_response__descriptor,
    .arguments = {{"tenant", "--tenant", "NAME", "only this tenant's issuers", false}},
    .print = print_all,
};

static const struct ask refresh = {
    .socket = "admin.sock",
    .method = ADMIN "RefreshKeys",
    .request = &clinicwave__token__v1__refresh_keys_request__descriptor,
    .response = &clinicwave__token__v1__refresh_keys_response__descriptor,
    .arguments = {{"issuer", "--issuer", "ISSUER", "only this issuer's keys", false}},
    .print = print_begun,
    .exit_code = exit_of_refresh,
};

const struct command command_keys_list = {
    .group = "keys",
    .name = "list",
    .arguments = "[OPTION...]",
    .summary = "The keys that the sidecar holds, per issuer.",
    .run = ask_run,
    .ask = &list,
};

const struct command command_keys_refresh = {
    .group = "keys",
    .name = "refresh",
    .arguments = "[--issuer ISSUER]",
    .summary = "Fetches keys now, within the limits that guard the issuer.",
    .run = ask_run,
    .ask = &refresh,
};
