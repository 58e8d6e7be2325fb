/* `cwctl cache stats` and `cwctl cache flush`: what the sidecar remembers of verified tokens. */
#include "cwctl/ask.h"
#include "proto/clinicwave/token/v1/admin.pb-c.h"

#define ADMIN "/clinicwave.token.v1.TokenAdminService/"

static void print_stats(const ProtobufCMessage *response)
{
    const Clinicwave__Token__V1__GetCacheStatsResponse *s =
        (const Clinicwave__Token__V1__GetCacheStatsResponse *)response;
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

static void print_flushed(const ProtobufCMessage *response)
{
    const Clinicwave__Token__V1__FlushCacheResponse *flushed =
        (const Clinicwave__Token__V1__FlushCacheResponse *)response;
    printf("%llu dropped\n", (unsigned long long)flushed->dropped);
}

static const struct ask stats = {
    .socket = "admin.sock",
    .method = ADMIN "GetCacheStats",
    .request = &clinicwave__token__v1__get_cache_stats_request__descriptor,
    .response = &clinicwave__token__v1__get_cache_stats_response__descriptor,
    .print = print_stats,
};

static const struct ask flush = {
    .socket = "admin.sock",
    .method = ADMIN "FlushCache",
    .request = &clinicwave__token__v1__flush_cache_request__descriptor,
    .response = &clinicwave__token__v1__flush_cache_response__descriptor,
    .arguments = {{"tenant", "--tenant", "NAME", "only this tenant's tokens", false}},
    .change = true,
    .print = print_flushed,
};

const struct command command_cache_stats = {
    .group = "cache",
    .name = "stats",
    .arguments = "[OPTION...]",
    .summary = "Figures of the sidecar's token cache.",
    .run = ask_run,
    .ask = &stats,
};

const struct command command_cache_flush = {
    .group = "cache",
    .name = "flush",
    .arguments = "[--tenant NAME]",
    .summary = "Forgets verified tokens; the next request verifies again.",
    .run = ask_run,
    .ask = &flush,
};
