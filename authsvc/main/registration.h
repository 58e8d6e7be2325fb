/* authsvc's own entry in the registry of its host, where authsvc.registry.socket names one. */
#ifndef AUTHSVC_MAIN_REGISTRATION_H
#define AUTHSVC_MAIN_REGISTRATION_H

#include "common/config/config.h"
#include "common/rpc/runtime.h"

struct registration;

/* Registers, once the doors stand. *ret is NULL where the configuration does not ask for it. The
 * configuration outlives it. */
CW_MUST_USE enum cw_err registration_start(const struct cw_config *config,
                                           struct cw_rpc_runtime *runtime,
                                           struct cw_buf *ret_message, struct registration **ret);
/* Any thread; false for NULL. */
bool registration_stands(const struct registration *registration);
/* OUT_OF_SERVICE, and waits for authsvc.registry.shutdown-delay: readers learn of it while the
 * doors still stand. NULL is fine, here and below. */
void registration_drain(struct registration *registration);
void registration_free(struct registration *registration);

#endif
