/* ngx_http_cw_result_next and ngx_http_cw_who_read: what they accept protobuf-c reads in the
 * same way, and joined values never outgrow their message. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clinicwave/token/v1/token.pb-c.h"
#include "edge-gateway/ngx_http_cw_result.h"
#include "edge-gateway/ngx_http_cw_who.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition) {
        abort();
    }
}

static void same(ngx_str_t ours, const char *theirs)
{
    /* protobuf-c ends its strings with NUL: one within is where its reader stops, too */
    require(ours.len >= strlen(theirs));
    require(ours.len == 0 || memcmp(ours.data, theirs, strlen(theirs)) == 0);
}

static void check_identity(ngx_str_t *raw, Clinicwave__Token__V1__Identity *theirs)
{
    ngx_http_cw_who_t who;
    u_char *joined = malloc(raw->len + 1);
    joined[raw->len] = 0xa5;
    if (ngx_http_cw_who_read(raw, joined, &who) == NGX_OK && theirs) {
        same(who.tenant, theirs->tenant);
        same(who.subject, theirs->subject);
        same(who.issuer, theirs->issuer);
        same(who.client, theirs->client_id);
        same(who.session, theirs->session_id);
        require(who.expires == theirs->expires_at);
        require((who.scopes.len > 0) <= (theirs->n_scopes > 0));
        require((who.roles.len > 0) <= (theirs->n_roles > 0));
    }
    require(joined[raw->len] == 0xa5);
    free(joined);
    ngx_str_t name = {5, (u_char *)"email"}, value;
    if (ngx_http_cw_who_claim(raw, &name, &value) == NGX_OK) {
        require(value.len == 0 || (value.data >= raw->data && value.data < raw->data + raw->len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char *bytes = malloc(size ? size : 1);
    memcpy(bytes, data, size);
    Clinicwave__Token__V1__ValidateStreamResponse *theirs =
        clinicwave__token__v1__validate_stream_response__unpack(NULL, size, bytes);
    ngx_str_t message = {size, bytes};
    ngx_http_cw_result_t ours;
    size_t n = 0;
    while (ngx_http_cw_result_next(&message, &ours) == NGX_OK) {
        Clinicwave__Token__V1__ValidateResult *r =
            theirs && n < theirs->n_results ? theirs->results[n] : NULL;
        Clinicwave__Token__V1__Identity *identity = NULL;
        if (r) {
            require(r->id == ours.id);
            require((r->outcome_case == CLINICWAVE__TOKEN__V1__VALIDATE_RESULT__OUTCOME_VERDICT) ==
                    ours.verdict);
            if (ours.verdict) {
                require((uint32_t)r->verdict->decision == (uint32_t)ours.decision);
                require((r->verdict->identity != NULL) == ours.has_identity);
                same(ours.reason, r->verdict->reason);
                identity = r->verdict->identity;
            } else {
                require((uint32_t)r->undecided->cause == (uint32_t)ours.cause);
                same(ours.reason, r->undecided->reason);
            }
        }
        if (ours.has_identity) {
            check_identity(&ours.identity, identity);
        }
        n++;
    }
    if (theirs) {
        clinicwave__token__v1__validate_stream_response__free_unpacked(theirs, NULL);
    }
    free(bytes);
    return 0;
}
