/* The feed of tenants for the sidecars: TenantService.Watch on authsvc.sock (docs/AUTHSVC.md). */
#ifndef AUTHSVC_RPC_FEED_H
#define AUTHSVC_RPC_FEED_H

#include "authsvc/keys/keyring.h"
#include "authsvc/tenants/tenants.h"
#include "common/rpc/server.h"

struct feed;

/* Starts a thread that sends the heartbeats. keys and store are borrowed. */
CW_MUST_USE enum cw_err feed_new(struct store *store, struct keyring *keys, struct feed **ret_feed);
/* After the server that serves its methods has stopped. NULL is fine. */
void feed_free(struct feed *feed);

/* Makes the set what watchers get, with a higher generation if it says anything new, and waits up
 * to wait_ms until all have applied it. One thread at a time, not a poller. */
CW_MUST_USE enum cw_err feed_publish(struct feed *feed, const struct tenant_set *set,
                                     unsigned wait_ms);
/* Ends all streams; no further ones are taken. */
void feed_stop(struct feed *feed);
/* Streams now. */
size_t feed_watchers(struct feed *feed);

extern const struct cw_rpc_method feed_methods[]; /* ctx: the feed */
extern const size_t feed_n_methods;

#endif
