/* `cwctl cache stats` and `cwctl cache flush`: what the sidecar remembers of verified tokens. */
#include "cwctl/remote.h"
#include "proto/clinicwave/token/v1/admin.pb-c.h"

#define ADMIN "/clinicwave.token.v1.TokenAdminService/"

static void print_stats(const Clinicwave__Token__V1__GetCacheStatsResponse *s)
{
    uint64_t lookups = s->hits + s->misses;
    printf("  entries      %llu of %llu\n", (unsigned long long)s->entries,
           (unsigned long long)s->max_entries);
    printf("  bytes        %llu of %llu\n", (unsigned long long)s->bytes,
           (unsigned long long)s->max_bytes);
    printf("  hits         %llu (%.1f %%)\n", (unsigned long long)s->hits,
           lookups ? 100.0 * (double)s->hits / (double)lookups : 0.0);
    printf("  misses       %llu\n", (unsigned long long)s->misses);
    printf("  evictions    %llu\n", (unsigned long long)s->evictions);
    printf("  expirations  %llu\n", (unsigned long long)s->expirations);
    printf("  withdrawals  %llu\n", (unsigned long long)s->withdrawals);
}

static int run_stats(const struct command *command, int argc, char **argv)
{
    const char *run_dir = NULL;
    bool json = false;
    const struct option_row rows[] = {
        {"--json", OPTION_FLAG, NULL, "one JSON object as answer", &json},
        REMOTE_RUN_DIR_OPTION(&run_dir),
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (operands.n) {
        return command_usage(command, "takes no argument");
    }
    Clinicwave__Token__V1__GetCacheStatsRequest request;
    clinicwave__token__v1__get_cache_stats_request__init(&request);
    struct cw_rpc_answer answer;
    code = COMMAND_OK;
    if (remote_call(run_dir, "admin.sock", ADMIN "GetCacheStats", &request.base,
                    &clinicwave__token__v1__get_cache_stats_response__descriptor,
                    &answer) != CW_OK) {
        code = remote_failed(command, run_dir, "admin.sock", &answer);
    } else if (json) {
        remote_print_json(answer.response);
    } else {
        print_stats((const Clinicwave__Token__V1__GetCacheStatsResponse *)answer.response);
    }
    cw_rpc_answer_done(&answer);
    return code;
}

static int run_flush(const struct command *command, int argc, char **argv)
{
    const char *run_dir = NULL, *tenant = NULL;
    bool json = false;
    const struct option_row rows[] = {
        {"--tenant", OPTION_TEXT, "NAME", "only this tenant's tokens", &tenant},
        {"--json", OPTION_FLAG, NULL, "one JSON object as answer", &json},
        REMOTE_RUN_DIR_OPTION(&run_dir),
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (operands.n) {
        return command_usage(command, "takes no argument");
    }
    Clinicwave__Token__V1__FlushCacheRequest request;
    clinicwave__token__v1__flush_cache_request__init(&request);
    char name[256];
    if (tenant) {
        snprintf(name, sizeof name, "%s", tenant);
        request.tenant = name;
    }
    struct cw_rpc_answer answer;
    code = COMMAND_OK;
    if (remote_call(run_dir, "admin.sock", ADMIN "FlushCache", &request.base,
                    &clinicwave__token__v1__flush_cache_response__descriptor, &answer) != CW_OK) {
        code = remote_failed(command, run_dir, "admin.sock", &answer);
    } else if (json) {
        remote_print_json(answer.response);
    } else {
        const Clinicwave__Token__V1__FlushCacheResponse *response =
            (const Clinicwave__Token__V1__FlushCacheResponse *)answer.response;
        printf("%llu dropped\n", (unsigned long long)response->dropped);
    }
    cw_rpc_answer_done(&answer);
    return code;
}

const struct command command_cache_stats = {
    .group = "cache",
    .name = "stats",
    .arguments = "[OPTION...]",
    .summary = "Figures of the sidecar's token cache.",
    .run = run_stats,
};

const struct command command_cache_flush = {
    .group = "cache",
    .name = "flush",
    .arguments = "[--tenant NAME]",
    .summary = "Forgets verified tokens; the next request verifies again.",
    .run = run_flush,
};
