/* The connection to authsvc that revocations come by (RevocationService.Watch), and their file. */
#ifndef SIDECAR_MAIN_REVOCATION_FEED_H
#define SIDECAR_MAIN_REVOCATION_FEED_H

#include "common/rpc/client.h"
#include "sidecar/main/feed.h"
#include "sidecar/revocation/revocations.h"

struct revocation_feed;

/* A set with what the file in `state_dir` holds; how long ago the feed was heard is the file's age.
 * NULL without memory. */
struct revocations *revocation_feed_restore(const char *state_dir, int64_t max_stale_ms);

/* The place is not needed any longer afterwards; `revocations` is borrowed and kept on disk in
 * `state_dir`. */
CW_MUST_USE enum cw_err revocation_feed_new(struct cw_rpc_runtime *runtime,
                                            const struct authsvc_place *authsvc,
                                            const char *state_dir, struct revocations *revocations,
                                            struct revocation_feed **ret_feed);
/* Not on a poller. NULL is fine. */
void revocation_feed_free(struct revocation_feed *feed);

#endif
