/* Structs → Eureka's documents, in the member order and the mix of strings and numbers of the real
 * server. */
#ifndef CW_EUREKA_ENCODE_H
#define CW_EUREKA_ENCODE_H

#include "common/eureka/instance.h"

enum cw_eureka_format {
    CW_EUREKA_JSON = 0,
    CW_EUREKA_XML,
};

/* An instance as it stands now: what changes from heartbeat to heartbeat lies beside it. */
struct cw_eureka_entry {
    const struct cw_eureka_instance *instance;
    int64_t renewal_ms; /* Unix milliseconds of the last renewal */
    enum cw_eureka_action action;
};

struct cw_eureka_app {
    const char *name;
    const struct cw_eureka_entry *entries;
    size_t n;
};

/* `{"instance":{…}}`. Failure shows in the buffer, here and below. */
void cw_eureka_encode_instance(enum cw_eureka_format format, const struct cw_eureka_entry *entry,
                               struct cw_buf *out);
/* `{"application":{…}}`. */
void cw_eureka_encode_app(enum cw_eureka_format format, const struct cw_eureka_app *app,
                          struct cw_buf *out);
/* `{"applications":{…}}` with the hash of a whole registry, which a delta does not hold itself. */
void cw_eureka_encode_document(enum cw_eureka_format format, int64_t version,
                               const struct cw_eureka_hash *hash, const struct cw_eureka_app *apps,
                               size_t n, struct cw_buf *out);

/* The XML halves, called by those above. */
void cw_eureka_xml_instance(const struct cw_eureka_entry *entry, struct cw_buf *out);
void cw_eureka_xml_app(const struct cw_eureka_app *app, struct cw_buf *out);
void cw_eureka_xml_document(int64_t version, const struct cw_eureka_hash *hash,
                            const struct cw_eureka_app *apps, size_t n, struct cw_buf *out);

#endif
