/* Writes and reads the registry's state file. */
#include "sidecar/registry/state.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/eureka/parse.h"

static void text_member(struct cw_buf *out, const char *name, const char *value)
{
    if (value != NULL) {
        cw_buf_addf(out, "\"%s\":", name);
        cw_buf_add_json(out, cw_str(value));
        cw_buf_add_char(out, ',');
    }
}

static const char *origin_name(enum registry_source origin)
{
    return origin == REGISTRY_REST ? "rest" : registry_source_name(origin);
}

/* What the next start cannot know otherwise. A static instance comes back by configuration, but not
 * that the servers hold an override of ours. */
static bool is_kept(const struct registry_item *item)
{
    const struct registry_instance *instance = item->instance;
    return !item->gone &&
           (instance->source != REGISTRY_STATIC ||
            (instance->published && (instance->eureka.status == CW_EUREKA_OUT_OF_SERVICE ||
                                     item->override != CW_EUREKA_UNKNOWN)));
}

void registry_state_encode(const struct registry_snapshot *snapshot, enum registry_part part,
                           struct cw_buf *out)
{
    const char *comma = "";
    cw_buf_add_cstr(out, "{\"version\":1,\"instances\":[");
    for (size_t a = 0; a < snapshot->n; a++) {
        for (size_t i = 0; i < snapshot->apps[a]->n; i++) {
            const struct registry_item *item = &snapshot->apps[a]->items[i];
            const struct registry_instance *instance = item->instance;
            if (!is_kept(item) || registry_part_of(instance) != part) {
                continue;
            }
            struct cw_eureka_instance eureka = instance->eureka;
            if (registry_instance_is_own(instance)) {
                eureka.overridden = item->override; /* an administrator's */
            }
            struct cw_eureka_entry entry = {&eureka, atomic_load(&item->instance->renewal_ms),
                                            item->action};
            cw_buf_addf(out, "%s\n{", comma);
            text_member(out, "origin", origin_name(instance->origin));
            text_member(out, "socketPath", instance->socket_path);
            text_member(out, "healthPath", instance->health_path);
            cw_buf_add_cstr(out, "\"registration\":");
            cw_eureka_encode_instance(CW_EUREKA_JSON, &entry, out);
            cw_buf_add_char(out, '}');
            comma = ",";
        }
    }
    cw_buf_add_cstr(out, "\n]}\n");
}

static bool origin_parse(const char *name, enum registry_source *ret_origin)
{
    static const enum registry_source origins[] = {REGISTRY_LOCAL, REGISTRY_REST, REGISTRY_EUREKA,
                                                   REGISTRY_STATIC};
    for (size_t i = 0; name != NULL && i < CW_ARRAY_SIZE(origins); i++) {
        if (strcmp(name, origin_name(origins[i])) == 0) {
            *ret_origin = origins[i];
            return true;
        }
    }
    return false;
}

static enum cw_err restore(struct registry_store *store, const json_t *object)
{
    struct registry_spec spec = {.source = REGISTRY_RESTORED};
    ENSURE(origin_parse(json_string_value(json_object_get(object, "origin")), &spec.origin),
           CW_REQUEST_MALFORMED);
    spec.socket_path = json_string_value(json_object_get(object, "socketPath"));
    spec.health_path = json_string_value(json_object_get(object, "healthPath"));
    char *text = json_dumps(json_object_get(json_object_get(object, "registration"), "instance"),
                            JSON_COMPACT);
    ENSURE(text != NULL, CW_REQUEST_MALFORMED);
    struct cw_arena arena = CW_ARENA_INIT(CW_EUREKA_INSTANCE_MAX);
    enum cw_err err = cw_eureka_parse_instance(&arena, cw_str(text), &spec.eureka);
    if (err == CW_OK) {
        err = registry_store_restore(store, &spec);
    }
    cw_arena_done(&arena);
    free(text);
    return err;
}

enum cw_err registry_state_decode(struct registry_store *store, struct cw_str json,
                                  size_t *ret_restored, size_t *ret_skipped)
{
    *ret_restored = *ret_skipped = 0;
    json_t *root = memchr(json.p, '\0', json.n) == NULL
                       ? json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL)
                       : NULL;
    const json_t *list = json_object_get(root, "instances");
    if (!json_is_array(list) || json_integer_value(json_object_get(root, "version")) != 1) {
        json_decref(root);
        return CW_REQUEST_MALFORMED;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (restore(store, json_array_get(list, i)) == CW_OK) {
            (*ret_restored)++;
        } else {
            (*ret_skipped)++;
        }
    }
    json_decref(root);
    return CW_OK;
}

enum cw_err registry_state_save(const char *path, const struct registry_snapshot *snapshot,
                                enum registry_part part)
{
    struct cw_buf out CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(REGISTRY_STATE_MAX);
    registry_state_encode(snapshot, part, &out);
    ENSURE(cw_buf_check(&out) == CW_OK, CW_IO);
    return cw_file_replace(path, cw_buf_str(&out));
}

enum cw_err registry_state_load(const char *path, struct registry_store *store,
                                size_t *ret_restored, size_t *ret_skipped)
{
    *ret_restored = *ret_skipped = 0;
    struct cw_buf text CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(REGISTRY_STATE_MAX);
    TRY(cw_file_read(path, &text));
    return registry_state_decode(store, cw_buf_str(&text), ret_restored, ret_skipped);
}
