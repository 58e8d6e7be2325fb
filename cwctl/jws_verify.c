/* `cwctl jws verify`: the signature layer alone, one token or a line of JSON for each. */
#include <stdlib.h>
#include <string.h>

#include "common/jose/verify.h"
#include "cwctl/command.h"
#include "cwctl/input.h"

enum { LINE_MAX_SIZE = 4 * 1024 * 1024 };

/* Keys that the caller hands over are configured ones: secrets among them count. */
static const struct cw_jwks_options given = {.allow_oct = true};

static struct cw_jwks *set_from_json(const json_t *document)
{
    struct cw_jwks *set = NULL;
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    if (!text || cw_jwks_parse(cw_str(text), &given, &set, NULL) != CW_OK) {
        set = NULL;
    }
    free(text);
    return set;
}

/* Suites give one key for many lines, and checking an RSA key costs more than a hundred signatures.
 */
struct memory {
    struct {
        json_t *jwk;
        struct cw_jwk *key; /* NULL: it is none */
    } items[32];
    size_t next;
};

static const struct cw_jwk *remembered(struct memory *memory, json_t *jwk)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(memory->items); i++) {
        if (memory->items[i].jwk && json_equal(memory->items[i].jwk, jwk)) {
            return memory->items[i].key;
        }
    }
    struct cw_jwk_options options = {.allow_oct = true};
    struct cw_jwk *key = NULL;
    char why[CW_JWK_WHY_SIZE];
    if (cw_jwk_parse(jwk, &options, &key, why) != CW_OK) {
        key = NULL;
    }
    size_t at = memory->next++ % CW_ARRAY_SIZE(memory->items);
    json_decref(memory->items[at].jwk);
    cw_jwk_unref(memory->items[at].key);
    memory->items[at].jwk = json_incref(jwk);
    memory->items[at].key = key;
    return key;
}

static void forget(struct memory *memory)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(memory->items); i++) {
        json_decref(memory->items[i].jwk);
        cw_jwk_unref(memory->items[i].key);
    }
}

/* One key, named by being given: a token's kid need not repeat it. */
static enum cw_err verify_with_key(struct memory *memory, json_t *jwk, struct cw_str jws)
{
    const struct cw_jwk *key = remembered(memory, jwk);
    return key ? cw_jws_verify_with(jws, key) : CW_KEY_UNKNOWN;
}

static enum cw_err judge_line(struct memory *memory, struct cw_str line)
{
    json_t *request = NULL;
    TRY(cw_json_parse_object(line, CW_REQUEST_MALFORMED, &request));
    json_t *jwk = json_object_get(request, "jwk"), *jwks = json_object_get(request, "jwks");
    struct cw_str jws;
    enum cw_err err = CW_REQUEST_MALFORMED;
    if (!jwk == !jwks) {
        /* neither or both: which key counts cannot be told */
    } else if (!cw_json_get_str(request, "jws", &jws)) {
        err = CW_TOKEN_MALFORMED; /* the JSON serialisation is no compact one */
    } else if (jwk) {
        err = verify_with_key(memory, jwk, jws);
    } else {
        struct cw_jwks *set = set_from_json(jwks);
        err = set ? cw_jws_verify(jws, set) : CW_KEYS_UNAVAILABLE;
        cw_jwks_unref(set);
    }
    json_decref(request);
    return err;
}

static int run_batch(const struct command *command)
{
    struct memory memory = {.next = 0};
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    while ((n = getline(&line, &size, stdin)) > 0) {
        while (n && strchr("\r\n", line[n - 1])) {
            n--;
        }
        if (n == 0) {
            continue;
        }
        enum cw_err err = n > LINE_MAX_SIZE ? CW_REQUEST_TOO_LARGE
                                            : judge_line(&memory, (struct cw_str){line, (size_t)n});
        if (err) {
            printf("{\"valid\":false,\"reason\":\"%s\"}\n", cw_err_code(err));
        } else {
            printf("{\"valid\":true}\n");
        }
        fflush(stdout);
    }
    cw_secret_wipe(line, size);
    free(line);
    forget(&memory);
    return ferror(stdin) || ferror(stdout)
               ? command_failed(command, COMMAND_UNDECIDED, "input or output failed")
               : COMMAND_OK;
}

static int report(enum cw_err err, bool json)
{
    const struct cw_err_info *info = cw_err_info(err);
    if (json && err) {
        printf("{\"valid\":false,\"reason\":\"%s\"}\n", info->code);
    } else if (json) {
        printf("{\"valid\":true}\n");
    } else if (err) {
        printf("invalid: %s: %s\n", info->code, info->meaning);
    } else {
        printf("valid signature\n");
    }
    return !err                                  ? COMMAND_OK
           : info->category == CW_CATEGORY_TOKEN ? COMMAND_REFUSED
                                                 : COMMAND_UNDECIDED;
}

static int run_one(const struct command *command, const char *jwks, char *operand, const char *file,
                   bool json)
{
    struct cw_secret token;
    if (input_token(operand, file, &token) != CW_OK) {
        return command_failed(command, COMMAND_UNDECIDED, "the token cannot be read");
    }
    struct cw_buf text = CW_BUF_INIT(INPUT_DOCUMENT_MAX);
    struct cw_jwks *set = NULL;
    char why[CW_JWK_WHY_SIZE] = "cannot be read";
    int code = COMMAND_UNDECIDED;
    if (input_file(jwks, &text) != CW_OK ||
        cw_jwks_parse(cw_buf_str(&text), &given, &set, why) != CW_OK) {
        command_failed(command, code, "%s: %s", jwks, why);
    } else {
        code = report(cw_jws_verify(cw_secret_str(&token), set), json);
        cw_jwks_unref(set);
    }
    if (text.p) {
        cw_secret_wipe(text.p, text.cap); /* may hold a secret */
    }
    cw_buf_done(&text);
    cw_secret_done(&token);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *jwks = NULL, *file = NULL;
    bool batch = false, json = false;
    const struct option_row rows[] = {
        {"--jwks", OPTION_TEXT, "FILE", "key set (RFC 7517); its secrets (oct) count too", &jwks},
        {"--token-file", OPTION_TEXT, "FILE", "read the token from there", &file},
        {"--batch", OPTION_FLAG, NULL, "one request a line on standard input", &batch},
        {"--json", OPTION_FLAG, NULL, "one JSON object as answer", &json},
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (batch) {
        return operands.n || jwks || file
                   ? command_usage(command, "--batch reads keys and tokens from standard input")
                   : run_batch(command);
    }
    if (!jwks || operands.n + (file != NULL) > 1) {
        return command_usage(command, jwks ? "one token, please" : "--jwks FILE is needed");
    }
    return run_one(command, jwks, operands.n ? operands.items[0] : NULL, file, json);
}

const struct command command_jws_verify = {
    .group = "jws",
    .name = "verify",
    .arguments = "--jwks FILE [TOKEN|-] | --batch",
    .summary = "Checks a signature (RFC 7515) over bytes; looks at no claim.",
    .text = "With --batch each input line is {\"jwks\":{...},\"jws\":\"...\"} or\n"
            "{\"jwk\":{...},\"jws\":\"...\"}, each output line {\"valid\":true} or\n"
            "{\"valid\":false,\"reason\":\"...\"}.",
    .run = run,
};
