/* The registry on disk, so that a restart does not begin with nothing. A JSON document for each
 * part: the own one is small and changes with every service, that of the Eureka servers may be
 * large and is written seldom. What they say is restored as provisional and checked like everything
 * that comes from outside. */
#ifndef SIDECAR_REGISTRY_STATE_H
#define SIDECAR_REGISTRY_STATE_H

#include "sidecar/registry/store.h"

enum { REGISTRY_STATE_MAX = 64 << 20 }; /* bytes of the file */

/* All of the part that configuration does not say itself, gone ones left out. Failure shows in the
 * buffer. */
void registry_state_encode(const struct registry_snapshot *snapshot, enum registry_part part,
                           struct cw_buf *out);
/* Restores what can be restored, skipping the rest. CW_REQUEST_MALFORMED when it is no such
 * document. */
CW_MUST_USE enum cw_err registry_state_decode(struct registry_store *store, struct cw_str json,
                                              size_t *ret_restored, size_t *ret_skipped);

/* Writes the file whole or not at all (0600, renamed into place); CW_IO. Blocks: not on a poller.
 */
CW_MUST_USE enum cw_err registry_state_save(const char *path,
                                            const struct registry_snapshot *snapshot,
                                            enum registry_part part);
/* CW_NOT_FOUND without a file, else as registry_state_decode; CW_IO. */
CW_MUST_USE enum cw_err registry_state_load(const char *path, struct registry_store *store,
                                            size_t *ret_restored, size_t *ret_skipped);

#endif
