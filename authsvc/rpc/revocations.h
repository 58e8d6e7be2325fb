/* The feed of revocations for the sidecars: RevocationService.Watch on authsvc.sock
 * (docs/AUTHSVC.md). */
#ifndef AUTHSVC_RPC_REVOCATIONS_H
#define AUTHSVC_RPC_REVOCATIONS_H

#include "authsvc/store/store.h"
#include "authsvc/tenants/tenants.h"
#include "common/rpc/server.h"

struct revocations;

/* Starts the thread that reads the store and sends. Both are borrowed. */
CW_MUST_USE enum cw_err revocations_new(struct store *store, struct tenant_current *tenants,
                                        struct revocations **ret_revocations);
/* After the server that serves its methods has stopped. NULL is fine. */
void revocations_free(struct revocations *revocations);

/* Something was revoked: sends it, and returns when all connected sidecars have applied it, or
 * after `wait_ms`. Any thread but a poller. */
void revocations_announce(struct revocations *revocations, unsigned wait_ms);
/* Another process may have revoked something: looks soon. Any thread. */
void revocations_poke(struct revocations *revocations);
/* Ends all streams; no further ones are taken. */
void revocations_stop(struct revocations *revocations);

extern const struct cw_rpc_method revocations_methods[]; /* ctx: the revocations */
extern const size_t revocations_n_methods;

#endif
