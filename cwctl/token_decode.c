/* `cwctl token decode`: what a token says, to look at. Nothing is checked, and nothing is called
 * good. */
#include <stdlib.h>

#include "common/jose/b64url.h"
#include "common/jose/compact.h"
#include "common/jose/json.h"
#include "cwctl/command.h"
#include "cwctl/input.h"

static enum cw_err show(const char *title, struct cw_str encoded, enum cw_err bad)
{
    unsigned char bytes[CW_JWS_TOKEN_MAX];
    TRY(cw_b64url_decode(encoded, bytes));
    struct cw_str text = {(char *)bytes, cw_b64url_decoded_size(encoded.n)};
    json_t *json;
    TRY(cw_json_parse_object(text, bad, &json));
    /* ASCII only: what a token says must not steer a terminal */
    char *shown = json_dumps(json, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    json_decref(json);
    ENSURE(shown, CW_NO_MEMORY);
    printf("%s %s", title, shown);
    free(shown);
    return CW_OK;
}

static enum cw_err decode(struct cw_str token)
{
    struct cw_jws jws;
    TRY(cw_jws_split(token, &jws));
    printf("{\n");
    TRY(show("\"header\":", jws.header, CW_HEADER_MALFORMED));
    printf(",\n");
    TRY(show("\"claims\":", jws.payload, CW_CLAIMS_MALFORMED));
    printf("\n}\n");
    return CW_OK;
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *file = NULL;
    const struct option_row rows[] = {
        {"--token-file", OPTION_TEXT, "FILE", "read the token from there", &file},
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (operands.n + (file != NULL) > 1) {
        return command_usage(command, "one token, please");
    }
    struct cw_secret token;
    if (input_token(operands.n ? operands.items[0] : NULL, file, &token) != CW_OK) {
        return command_failed(command, COMMAND_UNDECIDED, "the token cannot be read");
    }
    enum cw_err err = decode(cw_secret_str(&token));
    cw_secret_done(&token);
    if (err) {
        return command_failed(command, COMMAND_REFUSED, "%s: %s", cw_err_code(err),
                              cw_err_info(err)->meaning);
    }
    fprintf(stderr, "Nothing was checked: anybody can write such a token. "
                    "`cwctl token verify` checks.\n");
    return COMMAND_OK;
}

const struct command command_token_decode = {
    .group = "token",
    .name = "decode",
    .arguments = "[TOKEN|-]",
    .summary = "Prints header and claims; checks nothing.",
    .run = run,
};
