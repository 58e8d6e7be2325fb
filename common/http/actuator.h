/* Spring Boot's management endpoints in the shape that its tools read: /actuator,
 * /actuator/health{,/liveness,/readiness,/COMPONENT}, /actuator/info, /actuator/prometheus. */
#ifndef CW_HTTP_ACTUATOR_H
#define CW_HTTP_ACTUATOR_H

#include "common/http/server.h"
#include "common/metrics/metrics.h"

/* Rising: a group has the worst status of its components. */
enum cw_health { CW_HEALTH_UP = 0, CW_HEALTH_UNKNOWN, CW_HEALTH_OUT_OF_SERVICE, CW_HEALTH_DOWN };

enum { CW_HEALTH_LIVENESS = 1, CW_HEALTH_READINESS = 2 };

struct cw_health_component {
    const char *name; /* "keys" */
    unsigned groups;  /* that it counts for, beside /actuator/health itself; 0: a detail there */
    bool informative; /* shown, but never worsens /actuator/health */
    /* Adds what explains the status to `details` (an object). Must not block; server thread. */
    enum cw_health (*check)(void *ctx, json_t *details);
    void *ctx;
};

struct cw_actuator_options {
    const char *application; /* "cw-sidecar"; label of every metric */
    const char *version;
    const struct cw_health_component *components; /* borrowed */
    size_t n_components;
    struct cw_metrics *metrics; /* borrowed; NULL: the process only */
};

struct cw_actuator;

/* NULL without memory. Must outlive the server that serves its routes. */
struct cw_actuator *cw_actuator_new(const struct cw_actuator_options *options);
void cw_actuator_free(struct cw_actuator *actuator);
struct cw_http_routes cw_actuator_routes(struct cw_actuator *actuator);

#endif
