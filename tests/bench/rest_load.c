/* Keeps POSTs under way on so many connections and counts the answers, for services that log in by
 * JSON or by form.
 *
 *   rest_load PORT HOST PATH MEDIA_TYPE MILLISECONDS < one line a connection
 *
 * A line is a body, or BEFORE <tab> TOKEN <tab> AFTER: then TOKEN is replaced by the
 * "refresh_token" of each answer. Prints requests, seconds, and the median and 99th percentile of
 * the latency in microseconds; then the tokens as they are now, one a line. Anything but 200 ends
 * it. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 256,
    ANSWER_MAX = 64 * 1024,
    REQUEST_MAX = 32 * 1024,
    LATENCIES = 1 << 20
};

struct target {
    uint16_t port;
    const char *host;
    const char *path;
    const char *media_type;
    int64_t end_ns;
};

struct connection {
    const struct target *target;
    pthread_t thread;
    int fd;
    char before[4096];
    char token[8192]; /* Keycloak's are JWTs */
    char after[4096];
    bool chain;
    char request[REQUEST_MAX];
    char answer[ANSWER_MAX];
    uint32_t *latencies; /* microseconds */
    size_t n;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "rest_load: %s: %.2000s\n", what, detail);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int dial(uint16_t port)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
        die("connect", "nobody listens");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static void send_request(struct connection *c)
{
    const struct target *t = c->target;
    size_t body = strlen(c->before) + strlen(c->token) + strlen(c->after);
    int n = snprintf(c->request, sizeof(c->request),
                     "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: "
                     "%zu\r\n\r\n%s%s%s",
                     t->path, t->host, t->media_type, body, c->before, c->token, c->after);
    if (n < 0 || (size_t)n >= sizeof(c->request)) {
        die("request", "too long");
    }
    for (size_t sent = 0; sent < (size_t)n;) {
        ssize_t m = write(c->fd, c->request + sent, (size_t)n - sent);
        if (m <= 0) {
            die("write", "the connection ended");
        }
        sent += (size_t)m;
    }
}

/* Whether the answer is whole: by Content-Length, or in chunks up to the empty one. */
static bool complete(const char *answer, size_t n)
{
    const char *body = strstr(answer, "\r\n\r\n");
    if (body == NULL) {
        return false;
    }
    static const char name[] = "\r\ncontent-length:";
    for (const char *line = strchr(answer, '\r'); line != body; line = strchr(line + 1, '\r')) {
        if (strncasecmp(line, name, sizeof(name) - 1) == 0) {
            return (size_t)(answer + n - (body + 4)) >= strtoul(line + sizeof(name) - 1, NULL, 10);
        }
    }
    return n >= 5 && memcmp(answer + n - 5, "0\r\n\r\n", 5) == 0;
}

static void read_answer(struct connection *c)
{
    size_t n = 0;
    c->answer[0] = '\0';
    do {
        ssize_t m = n + 1 < ANSWER_MAX ? read(c->fd, c->answer + n, ANSWER_MAX - 1 - n) : 0;
        if (m <= 0) {
            die("read", "the connection ended, or the answer is too long");
        }
        n += (size_t)m;
        c->answer[n] = '\0';
    } while (!complete(c->answer, n));
    if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0) {
        die("refused", c->answer);
    }
}

static void next_token(struct connection *c)
{
    static const char name[] = "\"refresh_token\":\"";
    const char *begin = strstr(c->answer, name);
    const char *end = begin != NULL ? strchr(begin + sizeof(name) - 1, '"') : NULL;
    if (end == NULL || (size_t)(end - begin) >= sizeof(c->token)) {
        die("no refresh_token", c->answer);
    }
    begin += sizeof(name) - 1;
    memcpy(c->token, begin, (size_t)(end - begin));
    c->token[end - begin] = '\0';
}

static void *run(void *arg)
{
    struct connection *c = arg;
    c->fd = dial(c->target->port);
    for (int64_t begin = now_ns(); begin < c->target->end_ns && c->n < LATENCIES;) {
        send_request(c);
        read_answer(c);
        if (c->chain) {
            next_token(c);
        }
        int64_t end = now_ns();
        c->latencies[c->n++] = (uint32_t)((end - begin) / 1000);
        begin = end;
    }
    close(c->fd);
    return NULL;
}

static bool read_line(struct connection *c)
{
    static char line[REQUEST_MAX];
    if (fgets(line, sizeof(line), stdin) == NULL) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    char *rest = line;
    const char *before = strsep(&rest, "\t");
    const char *token = strsep(&rest, "\t");
    c->chain = token != NULL;
    snprintf(c->before, sizeof(c->before), "%s", before);
    snprintf(c->token, sizeof(c->token), "%s", token != NULL ? token : "");
    snprintf(c->after, sizeof(c->after), "%s", rest != NULL ? rest : "");
    c->latencies = malloc(LATENCIES * sizeof(*c->latencies));
    return c->latencies != NULL;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print(const struct connection *c, size_t n, double seconds)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += c[i].n;
    }
    uint32_t *all = malloc((total + 1) * sizeof(*all));
    size_t at = 0;
    for (size_t i = 0; i < n && all != NULL; i++) {
        memcpy(all + at, c[i].latencies, c[i].n * sizeof(*all));
        at += c[i].n;
    }
    if (total == 0 || all == NULL) {
        die("nothing was answered", "");
    }
    qsort(all, total, sizeof(*all), by_value);
    printf("%zu %.6f %u %u\n", total, seconds, all[total / 2], all[total * 99 / 100]);
    for (size_t i = 0; i < n; i++) {
        printf("%s\n", c[i].token);
    }
    free(all);
}

int main(int argc, char **argv)
{
    static struct connection c[CONNECTIONS_MAX];
    if (argc != 6) {
        die("usage", "rest_load PORT HOST PATH MEDIA_TYPE MILLISECONDS");
    }
    int64_t begin = now_ns();
    const struct target target = {
        .port = (uint16_t)strtoul(argv[1], NULL, 10),
        .host = argv[2],
        .path = argv[3],
        .media_type = argv[4],
        .end_ns = begin + (int64_t)strtoul(argv[5], NULL, 10) * 1000000,
    };
    size_t n = 0;
    for (; n < CONNECTIONS_MAX && read_line(&c[n]); n++) {
        c[n].target = &target;
    }
    for (size_t i = 0; i < n; i++) {
        if (pthread_create(&c[i].thread, NULL, run, &c[i]) != 0) {
            die("pthread_create", "failed");
        }
    }
    for (size_t i = 0; i < n; i++) {
        pthread_join(c[i].thread, NULL);
    }
    print(c, n, (double)(now_ns() - begin) / 1e9);
    return 0;
}
