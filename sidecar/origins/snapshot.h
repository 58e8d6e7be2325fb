/* What gateways are told of a set of tenants. */
#ifndef SIDECAR_ORIGINS_SNAPSHOT_H
#define SIDECAR_ORIGINS_SNAPSHOT_H

#include "common/crypto/sha256.h"
#include "proto/clinicwave/token/v1/origin.pb-c.h"
#include "sidecar/tenants/tenants.h"

typedef Clinicwave__Token__V1__WatchResponse snapshot_message;

/* The tenants that have origins, each with those of its domains that are its own in the set; all
 * of the arena. What would make the message larger than `max` bytes is left out and counted.
 * CW_NO_MEMORY. */
CW_MUST_USE enum cw_err snapshot_make(const struct tenants_set *set, size_t max,
                                      struct cw_arena *arena, snapshot_message *ret_message,
                                      size_t *ret_left_out);

/* SHA-256 over the packed message: equal ones say the same. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err snapshot_digest(const snapshot_message *message,
                                        unsigned char ret_digest[CW_SHA256_SIZE]);

#endif
