/* Requests to Eureka servers: JSON asked for by name, since everything else is answered in XML or
 * with 406; gzip always, since some servers refuse those who cannot read it. */
#include "sidecar/registry/eureka_http.h"

#include <stdlib.h>

enum { URL_SIZE = 4096 };

struct get {
    eureka_answered *done;
    void *arg;
};

static void fetched(void *ctx, const struct cw_http_result *result)
{
    struct get *get = ctx;
    get->done(get->arg, &(struct eureka_answer){
                            .err = result->err,
                            .status = result->status,
                            .body = result->body,
                            .content_type = result->content_type,
                            .detail = result->detail,
                        });
    free(get);
}

static enum cw_err start(void *ctx, const struct eureka_server *server,
                         const struct eureka_request *request, eureka_answered *done, void *arg)
{
    struct eureka_http *http = ctx;
    /* the name by which the server's rate limiter knows the Java client */
    static const char *const reading[] = {"Accept: application/json",
                                          "DiscoveryIdentity-Name: DefaultClient", NULL};
    static const char *const writing[] = {"Accept: application/json",
                                          "DiscoveryIdentity-Name: DefaultClient",
                                          "Content-Type: application/json", NULL};
    struct cw_buf url = CW_BUF_INIT(URL_SIZE);
    cw_buf_addf(&url, "%s%s", server->base, request->path);
    char *text = cw_buf_take(&url);
    struct get *get = malloc(sizeof(*get));
    enum cw_err err = CW_NO_MEMORY;
    if (text != NULL && get != NULL) {
        *get = (struct get){done, arg};
        err = cw_http_client_start(http->client,
                                   &(struct cw_http_fetch){
                                       .method = request->method,
                                       .url = text,
                                       .headers = request->headers != NULL ? request->headers
                                                  : request->body.n > 0    ? writing
                                                                           : reading,
                                       .body = request->body,
                                       .plain = CW_HTTP_PLAIN_PRIVATE,
                                       .ca_file = server->ca_file,
                                       .cert_file = server->cert_file,
                                       .key_file = server->key_file,
                                       .user = server->user,
                                       .password = server->password.p,
                                       .gzip = true,
                                       .connect_ms = http->config->connect_ms,
                                       .total_ms = http->config->total_ms,
                                       .max_body = request->max_body,
                                   },
                                   fetched, get, NULL);
    }
    if (err != CW_OK) {
        free(get);
    }
    free(text);
    return err;
}

struct eureka_transport eureka_http_transport(struct eureka_http *http)
{
    return (struct eureka_transport){start, http};
}
