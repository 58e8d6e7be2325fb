/* `cwctl token verify`: one token judged, by the sidecar or by the validator in this process. */
#include <string.h>

#include "common/base/clock.h"
#include "cwctl/command.h"
#include "cwctl/input.h"
#include "cwctl/offline.h"
#include "cwctl/online.h"
#include "cwctl/verdict.h"
#include "cwctl/when.h"

struct request {
    struct offline offline;
    struct online online;
    bool is_offline;
    bool json;
    const char *at;
    const char *file;
};

static int judge_offline(const struct command *command, const struct request *request,
                         struct cw_str token, json_t *verdict, bool *ret_judged)
{
    char message[256];
    int code = offline_verify(token, &request->offline, verdict, message);
    *ret_judged = !message[0];
    if (!message[0]) {
        return code;
    }
    return code == COMMAND_USAGE ? command_usage(command, "%s", message)
                                 : command_failed(command, code, "%s", message);
}

static int judge(const struct command *command, const struct request *request, struct cw_str token)
{
    json_t *verdict = verdict_new();
    bool judged = false;
    int code = request->is_offline
                   ? judge_offline(command, request, token, verdict, &judged)
                   : online_verify(command, token, &request->online, verdict, &judged);
    if (judged) {
        verdict_print(verdict, request->json);
    }
    json_decref(verdict);
    return code;
}

/* Settings that only one of the two ways knows: the sidecar judges by its own configuration. */
static bool has_offline_settings(const struct request *request)
{
    const struct offline *o = &request->offline;
    return o->jwks || o->issuer || o->audiences.n || request->at || o->algorithms.n || o->types.n ||
           o->type_optional || o->parties.n || o->required.n || o->leeway || o->max_lifetime ||
           o->roles || o->permissions || o->scopes;
}

static int check(const struct command *command, struct request *request)
{
    if (!request->is_offline && has_offline_settings(request)) {
        return command_usage(command, "that option needs --offline: the sidecar judges by its own "
                                      "configuration");
    }
    if (request->is_offline && !request->offline.jwks) {
        return command_usage(command, "--offline needs --jwks FILE");
    }
    if (request->is_offline && (request->online.domain || request->online.run_dir)) {
        return command_usage(command, "--tenant and --run-dir are for asking the sidecar");
    }
    if (request->offline.leeway > CW_CLAIMS_LEEWAY_MAX) {
        return command_usage(command, "--leeway: at most %d seconds", CW_CLAIMS_LEEWAY_MAX);
    }
    request->offline.now = cw_clock_wall_s(&cw_clock_system);
    if (request->at && !when_parse(request->at, &request->offline.now)) {
        return command_usage(command, "--at: Unix seconds or 2026-01-31T12:00:00Z");
    }
    request->online.explain = request->offline.explain;
    return COMMAND_OK;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct request r = {.is_offline = false};
    struct offline *o = &r.offline;
    const struct option_row rows[] = {
        {"--tenant", OPTION_TEXT, "DOMAIN", "as if called there (default: by the token's issuer)",
         &r.online.domain},
        {"--explain", OPTION_FLAG, NULL, "list every check with what it compared", &o->explain},
        {"--json", OPTION_FLAG, NULL, "one JSON object as answer", &r.json},
        {"--token-file", OPTION_TEXT, "FILE", "read the token from there", &r.file},
        REMOTE_RUN_DIR_OPTION(&r.online.run_dir),
        {"--offline", OPTION_FLAG, NULL, "judge in this process, without a sidecar", &r.is_offline},
        {"--jwks", OPTION_TEXT, "FILE", "key set (RFC 7517)", &o->jwks},
        {"--issuer", OPTION_TEXT, "ISSUER", "expected iss (not given: not compared)", &o->issuer},
        {"--audience", OPTION_LIST, "AUD", "accepted aud (none given: not compared)",
         &o->audiences},
        {"--at", OPTION_TEXT, "TIME", "judge as of then: Unix seconds or RFC 3339 in UTC", &r.at},
        {"--algorithm", OPTION_LIST, "ALG", "accepted alg (none given: all but HS*)",
         &o->algorithms},
        {"--type", OPTION_LIST, "TYP", "accepted typ (none given: at+jwt, JWT)", &o->types},
        {"--type-optional", OPTION_FLAG, NULL, "accept a header without typ", &o->type_optional},
        {"--client", OPTION_LIST, "ID", "accepted client_id or azp (none given: any)", &o->parties},
        {"--require", OPTION_LIST, "CLAIM", "claim that must be there", &o->required},
        {"--leeway", OPTION_NUMBER, "SECONDS", "for exp, nbf and iat; at most 60", &o->leeway},
        {"--max-lifetime", OPTION_NUMBER, "SECONDS", "from iat to exp", &o->max_lifetime},
        {"--roles", OPTION_TEXT, "PATH", "claim with the roles, e.g. realm_access.roles",
         &o->roles},
        {"--permissions", OPTION_TEXT, "PATH", "claim with the permissions", &o->permissions},
        {"--scopes", OPTION_TEXT, "PATH", "claim with the scopes", &o->scopes},
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (operands.n + (r.file != NULL) > 1) {
        return command_usage(command, "one token, please");
    }
    code = check(command, &r);
    if (code) {
        return code;
    }
    struct cw_secret token;
    if (input_token(operands.n ? operands.items[0] : NULL, r.file, &token) != CW_OK) {
        return command_failed(command, COMMAND_UNDECIDED, "the token cannot be read");
    }
    code = judge(command, &r, cw_secret_str(&token));
    cw_secret_done(&token);
    return code;
}

const struct command command_token_verify = {
    .group = "token",
    .name = "verify",
    .arguments = "[--tenant DOMAIN] [--explain] [--json] [TOKEN|-]\n"
                 "       cwctl token verify --offline --jwks FILE [OPTION...] [TOKEN|-]",
    .summary =
        "Judges a token, by the sidecar or offline. Exit 0 allowed, 1 refused, 2 could not decide.",
    .run = run,
};
