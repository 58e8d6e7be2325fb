/* Health checks of static instances: what cannot register by itself (an nginx) is asked how it is,
 * and its status in the store is the answer.
 *
 *   2xx ──▶ UP      503 ──▶ OUT_OF_SERVICE      all else, and silence three times ──▶ DOWN
 */
#ifndef SIDECAR_REGISTRY_CHECKS_H
#define SIDECAR_REGISTRY_CHECKS_H

#include "sidecar/registry/store.h"

enum { REGISTRY_CHECKS_MAX = 256 };

struct registry_checks;

/* Both are borrowed. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err registry_checks_new(struct registry_store *store,
                                            const struct cw_clock *clock,
                                            struct registry_checks **ret_checks);
/* Those of the specs that have a check_url, each every `every_ms`, in place of those before. Not
 * from a check's answer. CW_REGISTRY_FULL past the bound, CW_NO_MEMORY: those before stay. */
CW_MUST_USE enum cw_err registry_checks_set(struct registry_checks *checks,
                                            const struct registry_spec *specs, size_t n,
                                            int64_t every_ms);
/* Starts what is due. Returns the milliseconds until something is due again, INT64_MAX for never.
 * Always on the same thread. */
int64_t registry_checks_tick(struct registry_checks *checks);
/* Waits for the answers on their way. NULL is fine. */
void registry_checks_free(struct registry_checks *checks);

#endif
