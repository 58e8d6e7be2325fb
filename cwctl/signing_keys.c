/* `cwctl signing-keys …`: the keys that cw-authsvc signs a tenant's tokens with. */
#include "cwctl/admin.h"
#include "cwctl/when.h"
#include "proto/clinicwave/identity/v1/admin.pb-c.h"

typedef Clinicwave__Identity__V1__SigningKey key_message;

static void print_keys(key_message *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("%s  %s  %-7s", REMOTE_CLEAN(keys[i]->key_id), REMOTE_CLEAN(keys[i]->algorithm),
               REMOTE_CLEAN(keys[i]->state));
        if (keys[i]->active_at > 0) {
            printf("  signs from %s", WHEN_TEXT(keys[i]->active_at));
        }
        if (keys[i]->published_until > 0) {
            printf("  published until %s", WHEN_TEXT(keys[i]->published_until));
        }
        printf("\n");
    }
}

static void print_list(const ProtobufCMessage *response)
{
    const Clinicwave__Identity__V1__ListSigningKeysResponse *r =
        (const Clinicwave__Identity__V1__ListSigningKeysResponse *)response;
    print_keys(r->keys, r->n_keys);
}

static void print_rotated(const ProtobufCMessage *response)
{
    const Clinicwave__Identity__V1__RotateSigningKeyResponse *r =
        (const Clinicwave__Identity__V1__RotateSigningKeyResponse *)response;
    if (r->withdrawn > 0) {
        printf("withdrawn: %lld; their tokens are refused from now on\n", (long long)r->withdrawn);
    }
    print_keys(r->keys, r->n_keys);
}

static const struct ask list = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("ListSigningKeys"),
    .request = &clinicwave__identity__v1__list_signing_keys_request__descriptor,
    .response = &clinicwave__identity__v1__list_signing_keys_response__descriptor,
    .arguments = {ADMIN_TENANT},
    .change = true,
    .print = print_list,
};

static const struct ask rotate = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("RotateSigningKey"),
    .request = &clinicwave__identity__v1__rotate_signing_key_request__descriptor,
    .response = &clinicwave__identity__v1__rotate_signing_key_response__descriptor,
    .arguments = {ADMIN_TENANT,
                  {"emergency", "--emergency", NULL,
                   "a key is known to others: withdraw all of the tenant's keys at once", false}},
    .change = true,
    .print = print_rotated,
};

const struct command command_signing_keys_list = {
    .group = "signing-keys",
    .name = "list",
    .arguments = "--tenant NAME",
    .summary = "The signing keys of a tenant of cw-authsvc, in the order in which they sign.",
    .run = ask_run,
    .ask = &list,
};

const struct command command_signing_keys_rotate = {
    .group = "signing-keys",
    .name = "rotate",
    .arguments = "--tenant NAME [--emergency]",
    .summary =
        "Makes and publishes the tenant's next signing key, which signs when its time comes.",
    .text =
        "Verifiers get `authsvc.keys.publish-ahead` to fetch it; where one waits already, nothing "
        "happens.\nWith --emergency every access and ID token of the tenant is refused at once; "
        "sessions go on\nwith the next refresh.",
    .run = ask_run,
    .ask = &rotate,
};
