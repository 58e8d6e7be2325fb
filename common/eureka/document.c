/* Walks a server's full or delta document: finds each instance's text and has it parsed on its own,
 * since the tree of a large registry would take ten times the memory of its text. */
#include <string.h>

#include "common/eureka/parse.h"

enum { DEPTH_MAX = 64 };

/* What is left to read. Every step is an error at the end of the text. */
struct walk {
    const char *p, *end;
};

static void blank(struct walk *w)
{
    while (w->p < w->end && strchr(" \t\r\n", *w->p) != NULL) {
        w->p++;
    }
}

static bool take(struct walk *w, char c)
{
    blank(w);
    bool is = w->p < w->end && *w->p == c;
    w->p += is;
    return is;
}

/* The inside of a string, escapes as they are. */
static enum cw_err string(struct walk *w, struct cw_str *ret_inside)
{
    ENSURE(take(w, '"'), CW_REQUEST_MALFORMED);
    const char *begin = w->p;
    while (w->p < w->end && *w->p != '"') {
        w->p += *w->p == '\\' ? 2 : 1;
    }
    ENSURE(w->p < w->end, CW_REQUEST_MALFORMED);
    *ret_inside = (struct cw_str){begin, (size_t)(w->p - begin)};
    w->p++;
    return CW_OK;
}

/* The text of any value, its brackets matched. */
static enum cw_err value(struct walk *w, struct cw_str *ret_text)
{
    char open[DEPTH_MAX];
    size_t depth = 0;
    struct cw_str inside;
    blank(w);
    const char *begin = w->p;
    do {
        ENSURE(w->p < w->end, CW_REQUEST_MALFORMED);
        char c = *w->p;
        if (c == '"') {
            TRY(string(w, &inside));
        } else if (c == '{' || c == '[') {
            ENSURE(depth < DEPTH_MAX, CW_REQUEST_MALFORMED);
            open[depth++] = c == '{' ? '}' : ']';
            w->p++;
        } else if (depth > 0 && c == open[depth - 1]) {
            depth--;
            w->p++;
        } else {
            ENSURE(depth > 0 || strchr(",:}]", c) == NULL, CW_REQUEST_MALFORMED);
            ENSURE(c != '}' && c != ']', CW_REQUEST_MALFORMED);
            w->p++;
            /* a bare word or number goes on to what ends it */
            while (depth == 0 && w->p < w->end && strchr(" \t\r\n,}]", *w->p) == NULL) {
                w->p++;
            }
        }
    } while (depth > 0);
    *ret_text = (struct cw_str){begin, (size_t)(w->p - begin)};
    return CW_OK;
}

typedef enum cw_err each(void *ctx, struct cw_str name, struct cw_str text);

/* The members of an object, or the elements of a list, as text. */
static enum cw_err walk_all(struct cw_str text, bool object, each *do_each, void *ctx)
{
    struct walk w = {text.p, text.p + text.n};
    char end = object ? '}' : ']';
    ENSURE(take(&w, object ? '{' : '['), CW_REQUEST_MALFORMED);
    if (take(&w, end)) {
        return CW_OK;
    }
    do {
        struct cw_str name = CW_STR(""), member;
        if (object) {
            TRY(string(&w, &name));
            ENSURE(take(&w, ':'), CW_REQUEST_MALFORMED);
        }
        TRY(value(&w, &member));
        TRY(do_each(ctx, name, member));
    } while (take(&w, ','));
    ENSURE(take(&w, end), CW_REQUEST_MALFORMED);
    return CW_OK;
}

/* Servers of the XStream age write a list of one as the bare object. Anything else holds none. */
static enum cw_err walk_list(struct cw_str text, each *do_each, void *ctx)
{
    if (cw_str_starts(text, CW_STR("["))) {
        return walk_all(text, false, do_each, ctx);
    }
    return cw_str_starts(text, CW_STR("{")) ? do_each(ctx, CW_STR(""), text) : CW_OK;
}

/* ---- the document ---- */

struct reading {
    struct cw_arena *arena;
    cw_eureka_visit *visit;
    void *ctx;
    struct cw_eureka_document document;
    size_t found; /* members `applications` */
};

static bool is_blank(const char *text)
{
    return text == NULL || text[strspn(text, " \t")] == '\0';
}

static enum cw_err on_instance(void *ctx, struct cw_str name, struct cw_str text)
{
    struct reading *reading = ctx;
    struct cw_eureka_instance instance;
    (void)name;
    cw_arena_reset(reading->arena);
    enum cw_err err = cw_eureka_parse_instance(reading->arena, text, &instance);
    ENSURE(err != CW_NO_MEMORY, err);
    const char *id = err == CW_OK ? cw_eureka_instance_id(&instance) : NULL;
    if (id == NULL || !cw_eureka_id_is_valid(cw_str(id)) ||
        !cw_eureka_app_is_valid(cw_str(instance.app)) || is_blank(instance.ip_addr)) {
        reading->document.skipped++;
        return CW_OK;
    }
    reading->document.instances++;
    return reading->visit(reading->ctx, &instance);
}

static enum cw_err on_app_member(void *ctx, struct cw_str name, struct cw_str text)
{
    return cw_str_is(name, "instance") ? walk_list(text, on_instance, ctx) : CW_OK;
}

static enum cw_err on_app(void *ctx, struct cw_str name, struct cw_str text)
{
    (void)name;
    return cw_str_starts(text, CW_STR("{")) ? walk_all(text, true, on_app_member, ctx) : CW_OK;
}

/* A string without its quotes, or any other scalar as it is written. */
static struct cw_str scalar(struct cw_str text)
{
    return cw_str_starts(text, CW_STR("\"")) ? cw_str_slice(text, 1, text.n - 1) : text;
}

static enum cw_err on_applications_member(void *ctx, struct cw_str name, struct cw_str text)
{
    struct reading *reading = ctx;
    struct cw_eureka_document *document = &reading->document;
    uint64_t number;
    if (cw_str_is(name, "application")) {
        return walk_list(text, on_app, ctx);
    }
    if (cw_str_is(name, "apps__hashcode") && !cw_str_is(text, "null")) {
        struct cw_str hash = scalar(text);
        ENSURE(hash.n < sizeof(document->hash), CW_REQUEST_MALFORMED);
        memcpy(document->hash, hash.p, hash.n);
        document->hash[hash.n] = '\0';
    } else if (cw_str_is(name, "versions__delta") &&
               cw_str_to_u64(scalar(text), INT64_MAX, &number) == CW_OK) {
        document->version = (int64_t)number;
    }
    return CW_OK;
}

static enum cw_err on_root_member(void *ctx, struct cw_str name, struct cw_str text)
{
    struct reading *reading = ctx;
    if (!cw_str_is(name, "applications")) {
        return CW_OK;
    }
    ENSURE(reading->found++ == 0, CW_REQUEST_MALFORMED);
    return walk_all(text, true, on_applications_member, ctx);
}

enum cw_err cw_eureka_parse_document(struct cw_arena *arena, struct cw_str json,
                                     cw_eureka_visit *visit, void *ctx,
                                     struct cw_eureka_document *ret_document)
{
    struct reading reading = {.arena = arena, .visit = visit, .ctx = ctx};
    struct walk w = {json.p, json.p + json.n};
    struct cw_str root;
    for (size_t i = 0; i < json.n; i++) {
        unsigned char c = (unsigned char)json.p[i];
        ENSURE(c >= 0x20 || c == '\t' || c == '\n' || c == '\r', CW_REQUEST_MALFORMED);
    }
    /* all of it is there before any of it is believed */
    TRY(value(&w, &root));
    blank(&w);
    ENSURE(w.p == w.end, CW_REQUEST_MALFORMED);
    TRY(walk_all(root, true, on_root_member, &reading));
    ENSURE(reading.found == 1, CW_REQUEST_MALFORMED);
    *ret_document = reading.document;
    return CW_OK;
}
