/* Key documents are fetched with the client's hostile-server settings: no redirects, certificates
 * verified, bounds on size and time. */
#include "common/keys/key_getter.h"

#include <stdlib.h>

#include "common/jose/jwks.h"

enum { CONNECT_MS = 2000, TOTAL_MS = 5000 };

struct get {
    cw_key_replied *replied;
    void *arg;
};

static void fetched(void *ctx, const struct cw_http_result *result)
{
    struct get *get = ctx;

    get->replied(get->arg, &(struct cw_key_reply){
                               .err = result->err,
                               .status = result->status,
                               .body = result->body,
                               .cache_control = result->cache_control,
                               .detail = result->detail,
                           });
    free(get);
}

static void start(void *ctx, const char *url, const struct cw_key_fetch_spec *spec,
                  cw_key_replied *replied, void *arg)
{
    struct cw_http_client *client = ctx;
    struct get *get = malloc(sizeof(*get));
    static const char *const headers[] = {"Accept: application/jwk-set+json, application/json",
                                          NULL};
    struct cw_http_fetch fetch = {
        .url = url,
        .headers = headers,
        .plain = spec->plain_loopback ? CW_HTTP_PLAIN_LOOPBACK : CW_HTTP_PLAIN_NEVER,
        .ca_file = spec->ca_file[0] ? spec->ca_file : NULL,
        .connect_ms = CONNECT_MS,
        .total_ms = TOTAL_MS,
        .max_body = CW_JWKS_TEXT_MAX,
    };
    enum cw_err err = CW_NO_MEMORY;

    if (get) {
        *get = (struct get){replied, arg};
        err = cw_http_client_start(client, &fetch, fetched, get, NULL);
    }
    if (err != CW_OK) {
        free(get);
        replied(arg, &(struct cw_key_reply){.err = err, .cache_control = "", .detail = ""});
    }
}

struct cw_key_getter cw_key_getter_of(struct cw_http_client *client)
{
    return (struct cw_key_getter){start, client};
}
