/* A tenant's settings as they are stored: a JSON object whose names are those below `tenants[]` in
 * docs/CONFIG.md, so that one table checks the tenants of the configuration file and these.
 *
 *   {"domains": ["a.com", "www.a.com"], "issuer": "https://a.com", "clients[0].id": "portal"}
 *
 * Secrets stand in a document of their own, which is stored sealed. */
#ifndef AUTHSVC_ADMIN_DOCUMENT_H
#define AUTHSVC_ADMIN_DOCUMENT_H

#include "authsvc/tenants/tenants.h"
#include "common/base/buf.h"
#include "common/config/config.h"

enum {
    DOCUMENT_BYTES_MAX = 256 * 1024, /* of its JSON */
    DOCUMENT_SETTINGS_MAX = 4096,    /* names, and values of all lists together */
};

struct document;

/* Empty; NULL without memory. */
struct document *document_new(void);
void document_free(struct document *document);
/* From its JSON; an empty text is an empty document. CW_STORE_UNAVAILABLE: it is none. */
CW_MUST_USE enum cw_err document_parse(struct cw_str json, struct document **ret_document);
/* Appended. CW_NO_MEMORY, also past the buffer's bound. */
CW_MUST_USE enum cw_err document_write(const struct document *document, struct cw_buf *ret_json);

/* Sets a value, or a list of several; with n = 0 the name and all below it (`clients[1]`) go.
 * CW_TENANT_INVALID: no name, no UTF-8, or a NUL in it. `schema` (may be NULL) has the aliases of
 * names. */
CW_MUST_USE enum cw_err document_set(struct document *document,
                                     const struct cw_config_schema *schema, struct cw_str name,
                                     const struct cw_str *values, size_t n);
/* Adds what stands below `prefix` (`tenants[3].`) in a configuration, secrets and the name
 * excepted. */
CW_MUST_USE enum cw_err document_add_config(struct document *document,
                                            const struct cw_config *config, const char *prefix);
/* Adds the settings of a text in YAML or JSON as it would stand in the list `tenants`.
 * CW_TENANT_INVALID with lines in `problems`. */
CW_MUST_USE enum cw_err document_add_text(struct document *document, struct cw_str text,
                                          const struct cw_config_schema *schema,
                                          struct cw_buf *problems);
/* Calls `each` per setting, in the order in which they were set. */
CW_MUST_USE enum cw_err document_each(const struct document *document,
                                      enum cw_err (*each)(void *ctx, const char *name,
                                                          const char *const *values, size_t n),
                                      void *ctx);

/* The tenant that the settings amount to; one reference to the caller. CW_TENANT_INVALID with one
 * line per problem ("issuer: is required"). Paths are refused: whoever may write settings may not
 * choose files of this host. */
CW_MUST_USE enum cw_err document_tenant(const struct document *document,
                                        const struct document *secrets, struct cw_str name,
                                        const struct cw_config_schema *schema,
                                        struct cw_buf *problems, struct tenant **ret_tenant);

#endif
