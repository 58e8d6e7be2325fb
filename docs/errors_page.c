/* Prints docs/ERRORS.md from the error table. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"

static const struct {
    enum cw_err_category category;
    const char *heading;
    const char *about;
} sections[] = {
    {CW_CATEGORY_TOKEN, "Verdicts: the token is no good",
     "The token was looked at and refused. Another try with the same token ends the same way."},
    {CW_CATEGORY_POLICY, "Verdicts: not with this token",
     "The token is good, but it does not carry what the route demands."},
    {CW_CATEGORY_UNDECIDED, "Nobody could decide",
     "Neither allowed nor refused: the answer is 503 with `Retry-After`, and nothing is said about "
     "the token."},
    {CW_CATEGORY_REQUEST, "The request", "Refused for what it is, whoever sends it."},
    {CW_CATEGORY_LOGIN, "Login and refresh", "Answers of the login API."},
    {CW_CATEGORY_UPSTREAM, "The service behind the gateway",
     "The token was good; the service is not."},
    {CW_CATEGORY_INTERNAL, "Ours", "Faults of ClinicWave Gate itself."},
};

static const char *const grpc_names[] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

static void print_error(const struct cw_err_info *info)
{
    printf("### %s\n\n**%s.** %s\n\n", info->code, info->title, info->meaning);
    printf("HTTP %d, gRPC %s", info->http, grpc_names[info->grpc]);
    if (*info->bearer) {
        printf(", `WWW-Authenticate: Bearer error=\"%s\"`", info->bearer);
    }
    printf(".");
    if (*info->remedy) {
        printf(" %s", info->remedy);
    }
    printf("\n\n");
}

int main(void)
{
    printf(
        "# Errors and reasons\n\n"
        "Every answer of 4xx and 5xx is `application/problem+json` (RFC 9457); its `reason` is one "
        "of the codes below and its `type` a link to the paragraph here. gRPC answers carry the "
        "same code as `reason` of `google.rpc.ErrorInfo`, verdicts as `reason`. A code never "
        "changes its meaning; new ones may come.\n\n"
        "This page is made from `common/base/err.def`; `./dev fmt` writes it.\n\n");
    for (size_t s = 0; s < CW_ARRAY_SIZE(sections); s++) {
        printf("## %s\n\n%s\n\n", sections[s].heading, sections[s].about);
        for (size_t i = 1; i < cw_err_count(); i++) {
            const struct cw_err_info *info = cw_err_info((enum cw_err)i);
            if (info->category == sections[s].category) {
                print_error(info);
            }
        }
    }
    return fflush(stdout) == 0 ? 0 : 2;
}
