/* `cwctl encryption-key …`: the keys under which cw-authsvc seals what lies in its database, and
 * the way from former ones to the current one. */
#include <string.h>
#include <time.h>

#include "cwctl/admin.h"
#include "proto/clinicwave/identity/v1/admin.pb-c.h"

typedef Clinicwave__Identity__V1__EncryptionKey key_message;
typedef Clinicwave__Identity__V1__ListEncryptionKeysResponse list_message;
typedef Clinicwave__Identity__V1__ResealValuesResponse resealed_message;

enum { BATCH = 200, BATCH_MAX = 1000, PASSES_MAX = 5, PAUSE_MS = 200 };

/* --- status ----------------------------------------------------------------------------- */

static bool is_current(const key_message *key)
{
    return strcmp(key->state, "current") == 0;
}

/* No key has ever had its fingerprint. */
static bool is_damaged(const key_message *key)
{
    return strcmp(key->state, "damaged") == 0;
}

/* Values under another key than the current one. */
static int64_t left(const list_message *list)
{
    int64_t values = 0;
    for (size_t i = 0; i < list->n_keys; i++) {
        const key_message *key = list->keys[i];
        values += is_current(key) || is_damaged(key) ? 0 : key->values;
    }
    return values;
}

static int64_t damaged(const list_message *list)
{
    int64_t values = 0;
    for (size_t i = 0; i < list->n_keys; i++) {
        values += is_damaged(list->keys[i]) ? list->keys[i]->values : 0;
    }
    return values;
}

static void print_keys(const ProtobufCMessage *response)
{
    const list_message *list = (const list_message *)response;
    for (size_t i = 0; i < list->n_keys; i++) {
        const key_message *key = list->keys[i];
        printf("%s  %-7s  %lld values", REMOTE_CLEAN(key->fingerprint), REMOTE_CLEAN(key->state),
               (long long)key->values);
        for (size_t k = 0; k < key->n_kinds; k++) {
            printf("%s%s %lld", k > 0 ? ", " : ": ", REMOTE_CLEAN(key->kinds[k]->kind),
                   (long long)key->kinds[k]->values);
        }
        printf("\n");
    }
    if (damaged(list) > 0) {
        printf("%lld values are damaged: no key opens them (the log of cw-authsvc's start names "
               "the rows)\n",
               (long long)damaged(list));
    }
    int64_t values = left(list);
    if (values > 0) {
        printf("%lld values depend on another key than the current one: cwctl encryption-key "
               "reseal\n",
               (long long)values);
    } else {
        printf("nothing in the database depends on another key than the current one\n");
    }
}

static int exit_code(const ProtobufCMessage *response)
{
    return left((const list_message *)response) > 0 ? COMMAND_REFUSED : COMMAND_OK;
}

static const struct ask status = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("ListEncryptionKeys"),
    .request = &clinicwave__identity__v1__list_encryption_keys_request__descriptor,
    .response = &clinicwave__identity__v1__list_encryption_keys_response__descriptor,
    .change = true, /* it counts: the longer timeout */
    .print = print_keys,
    .exit_code = exit_code,
};

const struct command command_encryption_key_status = {
    .group = "encryption-key",
    .name = "status",
    .arguments = "[OPTION...]",
    .summary = "The key-encryption keys of cw-authsvc, and how many values depend on each.",
    .text = "Exit 0: on the current one only, so that the others may go; 1: on another one, too.\n"
            "Damaged values, which no key opens, are shown and do not count.\n"
            "Where several cw-authsvc share a database, ask each which key is its current one.",
    .run = ask_run,
    .ask = &status,
};

/* --- reseal ----------------------------------------------------------------------------- */

struct reseal {
    const struct command *command;
    const char *run_dir;
    bool quiet;
    int64_t batch;
    int64_t resealed, failed;
};

static int call_failed(const struct reseal *r, const struct cw_rpc_answer *answer)
{
    int code = remote_failed(r->command, r->run_dir, ADMIN_SOCKET, answer);
    fprintf(stderr, "%lld values were resealed; nothing is lost, the same command goes on\n",
            (long long)r->resealed);
    return code;
}

/* Once over all values. */
static int pass(struct reseal *r)
{
    struct cw_rpc_answer answer = {0};
    ProtobufCBinaryData next = {0};
    r->failed = 0;
    do {
        Clinicwave__Identity__V1__ResealValuesRequest request;
        clinicwave__identity__v1__reseal_values_request__init(&request);
        request.page_size = (int32_t)r->batch;
        request.page_token = next;
        struct cw_rpc_answer before = answer; /* holds the token */
        enum cw_err err =
            remote_call_within(r->run_dir, ADMIN_SOCKET, ADMIN("ResealValues"), &request.base,
                               &clinicwave__identity__v1__reseal_values_response__descriptor,
                               ASK_CHANGE_TIMEOUT_MS, &answer);
        cw_rpc_answer_done(&before);
        if (err != CW_OK) {
            int code = call_failed(r, &answer);
            cw_rpc_answer_done(&answer);
            return code;
        }
        const resealed_message *m = (const resealed_message *)answer.response;
        r->resealed += m->resealed;
        r->failed += m->failed;
        next = m->next_page_token;
        if (!r->quiet && m->resealed > 0) {
            fprintf(stderr, "%lld values resealed\n", (long long)r->resealed);
        }
    } while (next.len > 0);
    cw_rpc_answer_done(&answer);
    return COMMAND_OK;
}

/* How it is now: the answer is the caller's. */
static int ask_status(const struct reseal *r, struct cw_rpc_answer *ret_answer)
{
    Clinicwave__Identity__V1__ListEncryptionKeysRequest request;
    clinicwave__identity__v1__list_encryption_keys_request__init(&request);
    enum cw_err err =
        remote_call_within(r->run_dir, ADMIN_SOCKET, ADMIN("ListEncryptionKeys"), &request.base,
                           &clinicwave__identity__v1__list_encryption_keys_response__descriptor,
                           ASK_CHANGE_TIMEOUT_MS, ret_answer);
    return err == CW_OK ? COMMAND_OK : call_failed(r, ret_answer);
}

/* Values that others had in hand were passed over: a few passes, the last ones with pauses. */
static int reseal(struct reseal *r, bool json)
{
    for (int i = 0; i < PASSES_MAX; i++) {
        int64_t before = r->resealed;
        int code = pass(r);
        struct cw_rpc_answer answer = {0};
        code = code == COMMAND_OK ? ask_status(r, &answer) : code;
        if (code != COMMAND_OK) {
            cw_rpc_answer_done(&answer);
            return code;
        }
        int64_t values = left((const list_message *)answer.response);
        bool over = values <= r->failed || i + 1 == PASSES_MAX;
        if (over && json) {
            remote_print_json(answer.response);
        } else if (over) {
            printf("%lld values resealed\n", (long long)r->resealed);
            print_keys(answer.response);
        }
        cw_rpc_answer_done(&answer);
        if (over && r->failed > 0) {
            fprintf(stderr, "%lld values could not be opened (damaged rows) and stay as they are\n",
                    (long long)r->failed);
        }
        if (!over && r->resealed == before) {
            const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
            (void)nanosleep(&pause, NULL);
        }
        if (over) {
            return values > 0 ? COMMAND_REFUSED : COMMAND_OK;
        }
    }
    return COMMAND_REFUSED;
}

static int run_reseal(const struct command *command, int argc, char **argv)
{
    struct reseal r = {.command = command, .batch = BATCH};
    bool json = false;
    const struct option_row rows[] = {
        {"--batch", OPTION_NUMBER, "N", "values in one transaction, up to 1000 (200)", &r.batch},
        {"--quiet", OPTION_FLAG, NULL, "no progress on standard error", &r.quiet},
        {"--json", OPTION_FLAG, NULL, "the keys as one JSON object, as `status --json`", &json},
        REMOTE_RUN_DIR_OPTION(&r.run_dir),
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (operands.n > 0 || r.batch < 1 || r.batch > BATCH_MAX) {
        return command_usage(command, operands.n > 0 ? "takes no argument"
                                                     : "--batch is not from 1 to 1000");
    }
    return reseal(&r, json);
}

const struct command command_encryption_key_reseal = {
    .group = "encryption-key",
    .name = "reseal",
    .arguments = "[OPTION...]",
    .summary = "Seals everything in cw-authsvc's database under its current key-encryption key.",
    .text =
        "In batches, while the service runs; what is interrupted goes on with the same "
        "command.\nExit 0: nothing depends on another key any more; 1: some values still do; 2: "
        "it could not go on.",
    .run = run_reseal,
};
