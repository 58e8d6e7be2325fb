/* Eureka's JSON documents → structs, with the tolerance that every serious client has: each scalar
 * may be a string, a number or a boolean, a list of one may be the bare object, unknown members are
 * skipped. No network, no clock. */
#ifndef CW_EUREKA_PARSE_H
#define CW_EUREKA_PARSE_H

#include "common/eureka/instance.h"

/* Why a registration was refused, in the words of the real server, for the client that reads them.
 */
struct cw_eureka_refusal {
    char text[2 * CW_EUREKA_NAME_MAX + 64];
};

/* A registration, `{"instance":{…}}`, for the application that the path names. Texts go to the
 * arena. CW_REQUEST_MALFORMED with *ret_refusal set; CW_NO_MEMORY. Any thread. */
CW_MUST_USE enum cw_err cw_eureka_parse_registration(struct cw_arena *arena, struct cw_str path_app,
                                                     struct cw_str json,
                                                     struct cw_eureka_instance *ret_instance,
                                                     struct cw_eureka_refusal *ret_refusal);

/* A full or delta document of a server: `{"applications":{…}}`. */
struct cw_eureka_document {
    char hash[CW_EUREKA_HASH_MAX]; /* apps__hashcode, "" where absent */
    int64_t version;               /* versions__delta */
    size_t instances;              /* how many were visited */
    size_t skipped; /* entries without an id, an application or an address, or past a bound */
};

/* Called once for each instance, in the order of the document; `instance` and its texts live until
 * it returns. An error ends the parse and is passed on. */
typedef enum cw_err cw_eureka_visit(void *ctx, const struct cw_eureka_instance *instance);

/* The document is walked, not built: beside its text there is never more in memory than one
 * instance, for which the arena is used and reset. CW_REQUEST_MALFORMED when it is no such
 * document, possibly after some visits. One broken instance is skipped and counted, so that it does
 * not hide the others. */
CW_MUST_USE enum cw_err cw_eureka_parse_document(struct cw_arena *arena, struct cw_str json,
                                                 cw_eureka_visit *visit, void *ctx,
                                                 struct cw_eureka_document *ret_document);

/* A server's answer for one instance, `{"instance":{…}}`. */
CW_MUST_USE enum cw_err cw_eureka_parse_lookup(struct cw_arena *arena, struct cw_str json,
                                               struct cw_eureka_instance *ret_instance);

/* One instance object, the member of a registration or of a document. */
CW_MUST_USE enum cw_err cw_eureka_parse_instance(struct cw_arena *arena, struct cw_str json,
                                                 struct cw_eureka_instance *ret_instance);

#endif
