/* A server and a client for tests of the client. Everything here asserts. */
#ifndef CW_TESTS_CLIENT_WORLD_H
#define CW_TESTS_CLIENT_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/http/client.h"
#include "common/http/server.h"

/* /plain, /echo, /redirect, /large, and /slow, which waits for world_release (10 s at most). */
struct cw_http_server *world_start_server(void);
extern _Atomic bool world_release; /* false when a server starts */
/* Good until the next call. */
const char *world_url(const struct cw_http_server *server, const char *path);

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t came;
    int times;
    enum cw_err err;
    int status;
    char body[8192];
    char etag[64];
    char cache_control[64];
};

struct cw_http_client *world_client(size_t max_active);
void world_answer_init(struct answer *answer);
/* A callback of the client; ctx is the answer. */
void world_on_answer(void *ctx, const struct cw_http_result *result);
void world_wait(struct answer *answer);
/* Starts it and waits for its answer. */
void world_fetch(struct cw_http_client *client, struct cw_http_fetch *fetch, struct answer *answer);

#endif
