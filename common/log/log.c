/* Turns an event and its fields into one JSON line and writes it with one write(2). */
#include "common/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"

enum {
    LINE_MAX_BYTES = 4096,  /* PIPE_BUF: a write of this size is not mixed with another's */
    LINE_RESERVE = 32,      /* for `labels.truncated` and the end of the line */
    STRING_MAX_BYTES = 1024 /* of one field */
};

#define ECS_VERSION "8.11.0"

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static struct {
    const char *service;
    const char *version;
    _Atomic int level;
    int fd;
    bool is_socket;
    int own_fd; /* of a pipe, opened again without blocking; else -1 */
    _Atomic uint64_t dropped;
    const struct cw_clock *clock;
} logger = {.level = CW_LOG_INFO, .fd = STDERR_FILENO, .own_fd = -1, .clock = &cw_clock_system};

/* A reader that stands still must not make the program stand still. Setting O_NONBLOCK on stderr
 * would set it for everybody who shares it; a pipe can be opened again for us alone. */
static void prepare_fd(int fd)
{
    struct stat st;
    char path[32];
    if (logger.own_fd >= 0) {
        close(logger.own_fd);
        logger.own_fd = -1;
    }
    logger.fd = fd;
    bool known = fstat(fd, &st) == 0;
    logger.is_socket = known && S_ISSOCK(st.st_mode);
    if (known && S_ISFIFO(st.st_mode)) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        logger.own_fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        logger.fd = logger.own_fd >= 0 ? logger.own_fd : fd;
    }
}

void cw_log_init(const struct cw_log_options *options)
{
    logger.service = options->service;
    logger.version = options->version;
    prepare_fd(options->fd);
    logger.clock = options->clock ? options->clock : &cw_clock_system;
    cw_log_set_level(options->level);
}

void cw_log_set_level(enum cw_log_level level)
{
    atomic_store_explicit(&logger.level, (int)level, memory_order_relaxed);
}

bool cw_log_level_parse(const char *name, enum cw_log_level *ret_level)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(level_names); i++) {
        if (cw_str_is(cw_str(name), level_names[i])) {
            *ret_level = (enum cw_log_level)i;
            return true;
        }
    }
    return false;
}

bool cw_log_enabled(enum cw_log_level level)
{
    return (int)level >= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

static void add_timestamp(struct cw_buf *line)
{
    int64_t ms = cw_clock_wall_ms(logger.clock);
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    cw_buf_addf(line, "{\"@timestamp\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"", tm.tm_year + 1900,
                tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
}

static void add_member(struct cw_buf *line, const char *key, const char *value)
{
    cw_buf_add_char(line, ',');
    cw_buf_add_json(line, cw_str(key));
    cw_buf_add_char(line, ':');
    cw_buf_add_json(line, cw_str(value));
}

/* 8 of 64 hex digits: enough to find a token's lines, too few to look one up. */
static void add_token(struct cw_buf *line, struct cw_str token)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(token.p ? token.p : "", token.n, digest, NULL, EVP_sha256(), NULL) != 1) {
        cw_buf_add_cstr(line, "\"?\"");
        return;
    }
    cw_buf_addf(line, "\"%02x%02x%02x%02x\"", digest[0], digest[1], digest[2], digest[3]);
}

/* False when something was cut. */
static bool add_field(struct cw_buf *line, const struct cw_log_field *field)
{
    bool whole = true;
    size_t before = line->n;
    cw_buf_add_char(line, ',');
    cw_buf_add_json(line, cw_str(field->key));
    cw_buf_add_char(line, ':');
    switch (field->type) {
    case CW_LOG_STRING:
        whole = field->s.n <= STRING_MAX_BYTES;
        cw_buf_add_json(line, whole ? field->s : cw_str_slice(field->s, 0, STRING_MAX_BYTES));
        break;
    case CW_LOG_INTEGER:
        cw_buf_addf(line, "%lld", (long long)field->i);
        break;
    case CW_LOG_BOOLEAN:
        cw_buf_add_cstr(line, field->i ? "true" : "false");
        break;
    case CW_LOG_TOKEN:
        add_token(line, field->s);
        break;
    case CW_LOG_NONE:
    default:
        cw_buf_add_cstr(line, "null");
        break;
    }
    if (line->failed) {
        line->n = before;
        line->failed = false;
        return false;
    }
    return whole;
}

/* A whole line at once or none, as far as the kernel lets it: a pipe takes up to PIPE_BUF so. */
static bool write_line(const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = logger.is_socket ? send(logger.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                                        : write(logger.fd, p, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        p += done;
        n -= (size_t)done;
    }
    return true;
}

/* True when the line is due; *ret_skipped are those since the last one. */
static bool due(struct cw_log_repeat *repeat, uint32_t every_ms, uint64_t *ret_skipped)
{
    *ret_skipped = 0;
    if (every_ms == 0) {
        return true;
    }
    int64_t now = cw_clock_monotonic_ms(logger.clock);
    int64_t next = atomic_load(&repeat->next_ms);
    /* one of several threads that find it due wins and writes */
    if ((next == 0 || now >= next) &&
        atomic_compare_exchange_strong(&repeat->next_ms, &next, now + every_ms)) {
        *ret_skipped = atomic_exchange(&repeat->count, 0);
        return true;
    }
    atomic_fetch_add(&repeat->count, 1);
    return false;
}

void cw_log_write_limited(struct cw_log_event *event, struct cw_log_repeat *repeat,
                          const struct cw_log_field *fields, size_t n)
{
    uint64_t skipped;
    if (!cw_log_enabled(event->level) || !due(repeat, event->every_ms, &skipped)) {
        return;
    }
    int saved_errno = errno; /* callers log before they look at it */
    struct cw_buf line = CW_BUF_INIT(LINE_MAX_BYTES - LINE_RESERVE);
    add_timestamp(&line);
    add_member(&line, "log.level", level_names[event->level]);
    add_member(&line, "message", event->message);
    add_member(&line, "ecs.version", ECS_VERSION);
    if (logger.service) {
        add_member(&line, "service.name", logger.service);
    }
    if (logger.version) {
        add_member(&line, "service.version", logger.version);
    }
    cw_buf_addf(&line, ",\"process.pid\":%ld", (long)getpid());
    add_member(&line, "event.action", event->action);
    if (event->category) {
        cw_buf_addf(&line, ",\"event.category\":[\"%s\"]", event->category);
    }
    if (skipped > 0) {
        cw_buf_addf(&line, ",\"event.repeated\":%llu", (unsigned long long)skipped);
    }
    uint64_t dropped = atomic_exchange_explicit(&logger.dropped, 0, memory_order_relaxed);
    if (dropped > 0) {
        cw_buf_addf(&line, ",\"labels.dropped_lines\":%llu", (unsigned long long)dropped);
    }
    bool whole = true;
    for (size_t i = 0; i < n; i++) {
        whole &= add_field(&line, &fields[i]);
    }
    line.max = LINE_MAX_BYTES;
    if (!whole) {
        cw_buf_add_cstr(&line, ",\"labels.truncated\":true");
    }
    cw_buf_add_cstr(&line, "}\n");
    if (!line.failed && !write_line(line.p, line.n)) {
        atomic_fetch_add_explicit(&logger.dropped, dropped + 1, memory_order_relaxed);
    }
    cw_buf_done(&line);
    errno = saved_errno;
}

void cw_log_write(struct cw_log_event *event, const struct cw_log_field *fields, size_t n)
{
    cw_log_write_limited(event, &event->repeat, fields, n);
}
