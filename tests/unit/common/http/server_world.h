/* A server for tests, with a route for each thing that one can do, and what it has seen. */
#ifndef CW_TESTS_SERVER_WORLD_H
#define CW_TESTS_SERVER_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/http/server.h"

struct world {
    struct cw_http_server *server;
    uint16_t port;
    _Atomic int ended;
    _Atomic int done;
    _Atomic int last_status;
    _Atomic size_t streamed;
    _Atomic bool in_handler;
    pthread_t late;
    bool late_started;
};

/* The caller says what is bounded; address, routes and `done` are set here. Asserts. */
void world_start_with(struct world *world, struct cw_http_server_options options);
void world_start(struct world *world, bool thread_per_connection);
void world_stop(struct world *world);

#endif
