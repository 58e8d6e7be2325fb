/* Any bytes as a registration and as a document: what is accepted must be written and read back as
 * the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/eureka/encode.h"
#include "common/eureka/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static enum cw_err visit(void *ctx, const struct cw_eureka_instance *instance)
{
    (void)ctx;
    must(cw_eureka_instance_id(instance) != NULL && instance->app != NULL);
    return CW_OK;
}

static void registration(struct cw_str json)
{
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_instance first, second;
    struct cw_eureka_refusal refusal;
    if (cw_eureka_parse_registration(&arena, CW_STR("X"), json, &first, &refusal) == CW_OK) {
        struct cw_buf out = CW_BUF_INIT(1 << 20);
        struct cw_eureka_entry entry = {&first, first.lease.renewal_ms, first.action};
        cw_eureka_encode_instance(CW_EUREKA_JSON, &entry, &out);
        struct cw_arena again = CW_ARENA_INIT(1 << 20);
        must(cw_eureka_parse_registration(&again, CW_STR("X"), cw_buf_str(&out), &second,
                                          &refusal) == CW_OK);
        must(strcmp(cw_eureka_instance_id(&first), cw_eureka_instance_id(&second)) == 0);
        must(first.status == second.status && first.port.number == second.port.number);
        must(first.metadata.n == second.metadata.n);
        cw_buf_clear(&out);
        cw_eureka_encode_instance(CW_EUREKA_XML, &entry, &out);
        cw_buf_done(&out);
        cw_arena_done(&again);
    }
    cw_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_str json = {(const char *)data, size};
    registration(json);
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_document document;
    if (cw_eureka_parse_document(&arena, json, visit, NULL, &document) == CW_OK) {
        must(memchr(document.hash, '\0', sizeof(document.hash)) != NULL);
    }
    cw_arena_done(&arena);
    return 0;
}
