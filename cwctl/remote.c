/* Finds the sockets, makes the call, says what failed. */
#include "cwctl/remote.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/user.h"

enum { OWNERS_MAX = 16, USER_NAME_MAX = 64, MESSAGE_MAX = 1024 };

/* The packaged programs' users (deploy/systemd). */
static const char *const packaged[] = {"cw-sidecar", "cw-authsvc"};

/* Users beside root and this one whose sockets are believed. A name that this host has not is left
 * out: it owns nothing. */
static size_t socket_owners(uid_t uids[OWNERS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < CW_ARRAY_SIZE(packaged); i++) {
        n += cw_user_find(packaged[i], &uids[n]) == CW_OK;
    }
    const char *named = getenv("CW_SOCKET_OWNERS");
    struct cw_str rest = cw_str(named ? named : ""), word;
    while (n < OWNERS_MAX && cw_str_word(&rest, ',', &word)) {
        char name[USER_NAME_MAX];
        bool whole = snprintf(name, sizeof name, "%.*s", CW_STR_ARG(word)) < USER_NAME_MAX;
        n += whole && cw_user_find(name, &uids[n]) == CW_OK;
    }
    return n;
}

static bool has_sockets(const char *dir)
{
    char path[REMOTE_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/sidecar.sock", dir);
    if (access(path, F_OK) == 0) {
        return true;
    }
    snprintf(path, sizeof path, "%s/authsvc.sock", dir);
    return access(path, F_OK) == 0;
}

static bool beside_program(char dir[REMOTE_PATH_MAX])
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) {
        return false;
    }
    self[n] = '\0';
    for (int up = 0; up < 2; up++) { /* off with "cwctl", off with "bin" */
        char *slash = strrchr(self, '/');
        if (!slash) {
            return false;
        }
        *slash = '\0';
    }
    return snprintf(dir, REMOTE_PATH_MAX, "%s", self) < REMOTE_PATH_MAX && has_sockets(dir);
}

static bool find_run_dir(const char *option, char dir[REMOTE_PATH_MAX])
{
    const char *environment = getenv("CW_RUN_DIR");
    if (!option && environment && *environment) {
        option = environment;
    }
    if (!option && beside_program(dir)) {
        return true;
    }
    if (!option) {
        option = has_sockets(".run") ? ".run" : "/run/clinicwave";
    }
    return snprintf(dir, REMOTE_PATH_MAX, "%s", option) < REMOTE_PATH_MAX;
}

bool remote_socket(const char *run_dir, const char *name, char ret_path[REMOTE_PATH_MAX])
{
    char dir[REMOTE_PATH_MAX];
    ret_path[0] = '\0';
    return find_run_dir(run_dir, dir) &&
           snprintf(ret_path, REMOTE_PATH_MAX, "%s/%s", dir, name) < REMOTE_PATH_MAX;
}

enum cw_err remote_call_within(const char *run_dir, const char *name, const char *method,
                               const ProtobufCMessage *request,
                               const ProtobufCMessageDescriptor *response, unsigned timeout_ms,
                               struct cw_rpc_answer *ret_answer)
{
    char path[REMOTE_PATH_MAX], target[REMOTE_PATH_MAX + 8];
    struct cw_rpc_channel *channel = NULL;
    *ret_answer = (struct cw_rpc_answer){.status = CW_GRPC_UNAVAILABLE, .message = ""};
    ret_answer->err = CW_UNAVAILABLE;
    if (!remote_socket(run_dir, name, path)) {
        return ret_answer->err;
    }
    snprintf(target, sizeof target, "unix:%s", path);
    ret_answer->err = cw_rpc_channel_new(target, 0, &channel);
    if (!ret_answer->err) {
        uid_t uids[OWNERS_MAX];
        ret_answer->err = cw_rpc_channel_guard(channel, path, uids, socket_owners(uids));
    }
    if (!ret_answer->err) {
        cw_rpc_unary(channel, method, request, response, timeout_ms, false, ret_answer);
    }
    cw_rpc_channel_free(channel);
    return ret_answer->err;
}

enum cw_err remote_call(const char *run_dir, const char *name, const char *method,
                        const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
                        struct cw_rpc_answer *ret_answer)
{
    return remote_call_within(run_dir, name, method, request, response, REMOTE_TIMEOUT_MS,
                              ret_answer);
}

/* What the other side said, which may be several lines. */
static void one_line(const char *message, char ret_said[MESSAGE_MAX])
{
    struct cw_str rest = cw_str(message ? message : ""), line;
    size_t n = 0;
    ret_said[0] = '\0';
    while (cw_str_word(&rest, '\n', &line)) {
        char copy[MESSAGE_MAX];
        snprintf(copy, sizeof copy, "%.*s", CW_STR_ARG(line));
        n += (size_t)snprintf(ret_said + n, MESSAGE_MAX - n, "%s%s", n > 0 ? "; " : "",
                              remote_clean(copy, (char[MESSAGE_MAX]){0}, MESSAGE_MAX));
        if (n >= MESSAGE_MAX) {
            break;
        }
    }
}

int remote_failed(const struct command *command, const char *run_dir, const char *name,
                  const struct cw_rpc_answer *answer)
{
    char path[REMOTE_PATH_MAX];
    const struct cw_err_info *info = cw_err_info(answer->err);
    remote_socket(run_dir, name, path);
    if (!path[0]) {
        return command_failed(command, COMMAND_UNDECIDED, "--run-dir is too long for a socket");
    }
    if (access(path, F_OK) != 0) {
        return command_failed(command, COMMAND_UNDECIDED,
                              "%s is not there: is the program running? (--run-dir DIR)", path);
    }
    uid_t uids[OWNERS_MAX], owner;
    if (cw_rpc_socket_owner(path, uids, socket_owners(uids), &owner) == CW_RPC_OWNER_STRANGER) {
        return command_failed(
            command, COMMAND_UNDECIDED,
            "%s belongs to user %u, or is no socket: not asked; believed are root, this "
            "user, %s, %s and whom CW_SOCKET_OWNERS names",
            path, (unsigned)owner, packaged[0], packaged[1]);
    }
    if (access(path, W_OK) != 0) {
        return command_failed(command, COMMAND_UNDECIDED,
                              "%s: this user may not; root and the program's own user may", path);
    }
    char said[MESSAGE_MAX];
    one_line(answer->message, said);
    return command_failed(command, COMMAND_UNDECIDED, "%s: %s: %s", path, info->code,
                          said[0] ? said : info->meaning);
}

bool remote_refused(enum cw_err err)
{
    const struct cw_err_info *info = cw_err_info(err);
    return (info->category == CW_CATEGORY_REQUEST || info->category == CW_CATEGORY_LOGIN) &&
           info->http < 500 && err != CW_PERMISSION_DENIED;
}

/* Bytes of the UTF-8 character that `text` begins with, 0 where it is none. */
static size_t character(struct cw_str text, uint32_t *ret_code)
{
    unsigned char lead = (unsigned char)text.p[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (n > text.n || !cw_str_is_utf8(cw_str_slice(text, 0, n))) {
        return 0;
    }
    *ret_code = n == 1 ? lead : lead & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        *ret_code = *ret_code << 6 | ((unsigned char)text.p[i] & 0x3f);
    }
    return n;
}

/* Controls, C1's among them, and what is invisible or turns the direction of the line round. */
static bool steers(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
           (code >= 0xe0000 && code <= 0xe007f) || code == 0xad || code == 0x61c || code == 0xfeff;
}

const char *remote_clean(const char *value, char *text, size_t size)
{
    size_t n = 0;
    struct cw_str rest = cw_str(value ? value : "");
    while (rest.n > 0) {
        uint32_t code = 0;
        size_t length = character(rest, &code);
        bool good = length > 0 && !steers(code);
        size_t wanted = good ? length : 1;
        if (n + wanted >= size) {
            break;
        }
        memcpy(text + n, good ? rest.p : "?", wanted);
        n += wanted;
        rest = cw_str_slice(rest, length > 0 ? length : 1, rest.n);
    }
    text[n] = '\0';
    return text;
}

const char *remote_age(int64_t seconds, char text[32])
{
    if (seconds < 0) {
        snprintf(text, 32, "never");
    } else if (seconds < 120) {
        snprintf(text, 32, "%lld s", (long long)seconds);
    } else if (seconds < 7200) {
        snprintf(text, 32, "%lld min", (long long)seconds / 60);
    } else if (seconds < 172800) {
        snprintf(text, 32, "%lld h", (long long)seconds / 3600);
    } else {
        snprintf(text, 32, "%lld d", (long long)seconds / 86400);
    }
    return text;
}
