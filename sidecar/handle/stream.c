/* ValidateStream: a gateway worker's batches. All that can be answered at once leaves in one
 * message; misses are answered by the verifiers in messages of their own, so that a miss never
 * holds a hit. */
#include <stdlib.h>
#include <string.h>

#include "common/crypto/sha256.h"
#include "common/rpc/unpack.h"
#include "sidecar/handle/expect.h"
#include "sidecar/handle/job.h"
#include "sidecar/handle/validate.h"

enum {
    STREAM_FLUSH = 96 * 1024, /* bytes of an answer after which another is begun */
    STREAM_COALESCE = 64 * 1024,
    RULE_MEMORY = 256 * 1024, /* bytes that one definition may unpack into */
};

struct stream_state {
    struct handle *handle;
    uint64_t source;
    struct rule **rules; /* by number; grown as they are defined */
    size_t n_rules;
    struct cw_buf out;
    struct cw_buf scratch;
    /* Of the batch under way; here and not on the stack, where they would be cleared each time. */
    unsigned results;
    uint64_t hits;
    int64_t wall_s;
    int64_t mono_ms;
    struct tenants_set *set;
    const struct tenant *tenant; /* the entry's */
    struct wire_batch batch;
    struct cache_hit hit;
};

static void on_open(struct cw_rpc_stream *stream, void *ctx)
{
    struct stream_state *state = malloc(sizeof(*state));

    if (!state) {
        cw_rpc_stream_finish(stream, CW_NO_MEMORY, NULL);
        return;
    }
    memset(state, 0, offsetof(struct stream_state, batch));
    state->handle = ctx;
    state->source = (uint64_t)(uintptr_t)stream;
    state->out.max = 2 * WIRE_BATCH_MAX;
    state->scratch.max = IDENTITY_MAX;
    cw_rpc_stream_set_data(stream, state);
}

static void on_close(struct cw_rpc_stream *stream, enum cw_rpc_end how)
{
    struct stream_state *state = cw_rpc_stream_data(stream);

    (void)how;
    if (!state) {
        return;
    }
    for (size_t i = 0; i < state->n_rules; i++) {
        rule_unref(state->rules[i]);
    }
    free((void *)state->rules);
    cw_buf_done(&state->out);
    cw_buf_done(&state->scratch);
    free(state);
}

/* ---- rules ---- */

static enum cw_err make_place(struct stream_state *state, size_t number)
{
    size_t n = CW_MAX(state->n_rules, (size_t)16);

    if (number < state->n_rules) {
        return CW_OK;
    }
    while (n <= number) {
        n *= 2;
    }
    struct rule **rules = realloc((void *)state->rules, n * sizeof(struct rule *));
    ENSURE(rules, CW_NO_MEMORY);
    memset((void *)(rules + state->n_rules), 0, (n - state->n_rules) * sizeof(struct rule *));
    state->rules = rules;
    state->n_rules = n;
    return CW_OK;
}

static enum cw_err define(struct stream_state *state, struct cw_str packed)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(RULE_MEMORY);
    const Clinicwave__Token__V1__RuleDefinition *definition =
        (const Clinicwave__Token__V1__RuleDefinition *)cw_rpc_message_unpack(
            &clinicwave__token__v1__rule_definition__descriptor, packed, &arena);
    struct rule *rule = NULL;
    enum cw_err err = CW_REQUEST_MALFORMED;

    ENSURE(definition, CW_REQUEST_MALFORMED);
    uint32_t number = definition->rule;
    if (number > 0 && number <= RULE_NUMBER_MAX) {
        err = rule_new(definition->requirement, definition->claims, definition->n_claims, &rule);
    }
    if (err == CW_OK) {
        err = make_place(state, number);
    }
    if (err != CW_OK) {
        rule_unref(rule);
        return err;
    }
    rule_unref(state->rules[number]);
    state->rules[number] = rule;
    return CW_OK;
}

static struct rule *find_rule(const struct stream_state *state, uint32_t number)
{
    if (number == 0) {
        return rule_none();
    }
    return number < state->n_rules ? state->rules[number] : NULL;
}

/* ---- answers ---- */

static void flush(struct cw_rpc_stream *stream, struct stream_state *state)
{
    if (state->results == 0) {
        return;
    }
    if (state->out.failed || cw_rpc_stream_send(stream, cw_buf_str(&state->out)) == CW_RPC_FULL) {
        cw_rpc_stream_finish(stream, CW_VALIDATOR_OVERLOADED, NULL);
    }
    cw_buf_clear(&state->out);
    state->results = 0;
}

static void added(struct cw_rpc_stream *stream, struct stream_state *state)
{
    if (++state->results >= WIRE_ENTRIES_MAX || state->out.n >= STREAM_FLUSH) {
        flush(stream, state);
    }
}

static void add_undecided(struct cw_rpc_stream *stream, struct stream_state *state, uint64_t id,
                          enum cw_err err)
{
    struct wire_undecided undecided;
    bool full = cw_err_info(err)->grpc == CW_GRPC_RESOURCE_EXHAUSTED;

    handle_count(state->handle, err);
    identity_undecided(err, full ? 1 : 0, &undecided);
    wire_add_undecided(&state->out, id, &undecided);
    added(stream, state);
}

static void add_verdict(struct cw_rpc_stream *stream, struct stream_state *state, uint64_t id,
                        const struct identity *identity, const struct rule *rule,
                        enum cw_err reason)
{
    struct wire_verdict verdict;

    handle_count(state->handle, reason);
    identity_verdict(identity, rule, state->tenant, reason, identity != NULL, &state->scratch,
                     &verdict);
    wire_add_verdict(&state->out, id, &verdict);
    added(stream, state);
}

/* ---- entries ---- */

static bool look_up(struct cw_rpc_stream *stream, struct stream_state *state,
                    const struct wire_entry *entry, const struct rule *rule,
                    const unsigned char *digest)
{
    struct cache_key key = {state->tenant->generation, digest};

    if (!cache_get(state->handle->config.cache, &key, state->wall_s, state->mono_ms, &state->hit)) {
        return false;
    }
    struct identity view = identity_view(&state->hit.parts, state->hit.blob);
    state->hits++;
    enum cw_err err = identity_decide(&view, rule, state->tenant, state->handle->config.revocations,
                                      state->mono_ms);
    if (cw_err_info(err)->category == CW_CATEGORY_UNDECIDED) {
        add_undecided(stream, state, entry->id, err);
    } else {
        add_verdict(stream, state, entry->id, &view, rule, err);
    }
    return true;
}

static void take_token(struct cw_rpc_stream *stream, struct stream_state *state,
                       const struct wire_entry *entry, struct rule *rule)
{
    unsigned char digest[CW_SHA256_SIZE];
    struct handle *handle = state->handle;
    struct job_target target = {
        .stream = stream,
        .id = entry->id,
        .source = state->source ^ state->tenant->generation << 48,
    };

    if (entry->value.n == 0 || entry->value.n > CW_JWS_TOKEN_MAX) {
        add_verdict(stream, state, entry->id, NULL, rule,
                    entry->value.n ? CW_TOKEN_TOO_LARGE : CW_TOKEN_MISSING);
        return;
    }
    enum cw_err err = cw_sha256(entry->value, digest);
    if (err == CW_OK && look_up(stream, state, entry, rule, digest)) {
        return;
    }
    if (err == CW_OK) {
        int64_t timeout = entry->timeout_ms ? entry->timeout_ms : handle->config.timeout_ms;
        err = job_submit(handle, state->set, state->tenant, rule, entry->value, digest, timeout,
                         &target);
    }
    if (err != CW_OK) {
        add_undecided(stream, state, entry->id, err);
    }
}

static void take_entry(struct cw_rpc_stream *stream, struct stream_state *state,
                       const struct wire_entry *entry)
{
    struct rule *rule = find_rule(state, entry->rule);

    if (!rule || entry->subject == WIRE_NOTHING ||
        (entry->subject == WIRE_DIGEST && entry->value.n != CACHE_DIGEST_SIZE)) {
        add_undecided(stream, state, entry->id, CW_REQUEST_MALFORMED);
    } else if (!state->tenant) {
        add_undecided(stream, state, entry->id, CW_TENANT_UNKNOWN);
    } else if (entry->subject == WIRE_TOKEN) {
        take_token(stream, state, entry, rule);
    } else if (!look_up(stream, state, entry, rule, (const unsigned char *)entry->value.p)) {
        add_undecided(stream, state, entry->id, CW_DIGEST_UNKNOWN);
    }
}

static void take_some(struct cw_rpc_stream *stream, struct stream_state *state,
                      const struct wire_entry *entries, size_t n)
{
    const struct tenant *tenants[EXPECT_MAX];

    expect_entries(state->handle->config.cache, state->set, entries, n, tenants);
    for (size_t i = 0; i < n; i++) {
        state->tenant = tenants[i];
        take_entry(stream, state, &entries[i]);
    }
}

static void on_bytes(struct cw_rpc_stream *stream, struct cw_str message)
{
    struct stream_state *state = cw_rpc_stream_data(stream);
    struct cw_str rest = message;
    struct cw_str rule;
    enum cw_err err = wire_batch_decode(message, &state->batch);

    while (err == CW_OK && wire_next_rule(&rest, &rule)) {
        err = define(state, rule);
    }
    if (err != CW_OK) {
        cw_rpc_stream_finish(stream, err, NULL);
        return;
    }
    if (state->batch.n_entries > 1) {
        cw_rpc_runtime_several();
    }
    const struct handle_config *config = &state->handle->config;
    state->set = tenants_get(config->tenants);
    state->wall_s = cw_clock_wall_s(config->clock);
    state->mono_ms = cw_clock_monotonic_ms(config->clock);
    state->hits = 0;
    for (size_t i = 0; i < state->batch.n_entries; i += EXPECT_MAX) {
        take_some(stream, state, &state->batch.entries[i],
                  CW_MIN(state->batch.n_entries - i, (size_t)EXPECT_MAX));
    }
    flush(stream, state);
    if (state->hits) {
        cw_series_add(config->hits, state->hits);
    }
    tenants_set_unref(state->set);
    state->set = NULL;
    state->tenant = NULL;
}

const struct cw_rpc_stream_ops validate_stream_ops = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_close = on_close,
    .coalesce = STREAM_COALESCE,
};
