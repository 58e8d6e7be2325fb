/* The client against servers that are good, slow, large, plain, or not who they say they are. */
#include "common/http/client.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

#include "common/http/server.h"

/* ---- the server side ---- */

static _Atomic bool release; /* lets /slow answer */

static void get_plain(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    struct cw_str agent = CW_STR("");
    cw_http_header(request, "User-Agent", &agent);
    cw_http_set_header(request, "ETag", CW_STR("\"e\""));
    cw_http_set_header(request, "Cache-Control", CW_STR("max-age=60"));
    cw_http_reply(request, 200, "text/plain", agent);
}

static void echo(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    struct cw_str type = CW_STR("none"), auth = CW_STR("none");
    cw_http_header(request, "Content-Type", &type);
    cw_http_header(request, "Authorization", &auth);
    char text[400];
    int n = snprintf(text, sizeof(text), "%s %.*s %.*s [%.*s]", cw_http_method(request),
                     CW_STR_ARG(type), CW_STR_ARG(auth), CW_STR_ARG(cw_http_body(request)));
    cw_http_reply(request, 200, "text/plain", (struct cw_str){text, (size_t)n});
}

static void redirect(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    cw_http_set_header(request, "Location", CW_STR("/plain"));
    cw_http_reply(request, 302, NULL, CW_STR(""));
}

static void get_large(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    static char body[5000];
    memset(body, 'x', sizeof(body));
    cw_http_reply(request, 200, "text/plain", (struct cw_str){body, sizeof(body)});
}

static void get_slow(struct cw_http_request *request, void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 1000 && !release; i++) {
        usleep(10000);
    }
    cw_http_reply(request, 200, NULL, CW_STR(""));
}

static const struct cw_http_route routes[] = {
    {.method = "GET", .path = "/plain", .handle = get_plain},
    {.method = "POST", .path = "/echo", .handle = echo, .max_body = 1000},
    {.method = "PUT", .path = "/echo", .handle = echo, .max_body = 1000},
    {.method = "DELETE", .path = "/echo", .handle = echo},
    {.method = "GET", .path = "/redirect", .handle = redirect},
    {.method = "GET", .path = "/large", .handle = get_large},
    {.method = "GET", .path = "/slow", .handle = get_slow},
};

static struct cw_http_server *start_server(void)
{
    struct cw_http_routes tables[] = {{routes, CW_ARRAY_SIZE(routes), NULL}};
    struct cw_http_server_options options = {
        .address = "127.0.0.1", .tables = tables, .n_tables = 1, .thread_per_connection = true};
    struct cw_http_server *server = NULL;
    release = false;
    assert_int_equal(cw_http_server_start(&options, NULL, &server), CW_OK);
    return server;
}

/* ---- the client side ---- */

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t came;
    int times;
    enum cw_err err;
    int status;
    char body[8192];
    char etag[64];
    char cache_control[64];
};

static void answer_init(struct answer *answer)
{
    *answer = (struct answer){0};
    pthread_mutex_init(&answer->lock, NULL);
    pthread_cond_init(&answer->came, NULL);
}

static void on_answer(void *ctx, const struct cw_http_result *result)
{
    struct answer *answer = ctx;
    pthread_mutex_lock(&answer->lock);
    answer->times++;
    answer->err = result->err;
    answer->status = result->status;
    snprintf(answer->body, sizeof(answer->body), "%.*s", CW_STR_ARG(result->body));
    snprintf(answer->etag, sizeof(answer->etag), "%s", result->etag);
    snprintf(answer->cache_control, sizeof(answer->cache_control), "%s", result->cache_control);
    pthread_cond_signal(&answer->came);
    pthread_mutex_unlock(&answer->lock);
}

static void wait_answer(struct answer *answer)
{
    pthread_mutex_lock(&answer->lock);
    while (answer->times == 0) {
        pthread_cond_wait(&answer->came, &answer->lock);
    }
    pthread_mutex_unlock(&answer->lock);
}

static struct cw_http_client *new_client(size_t max_active)
{
    struct cw_http_client *client = NULL;
    assert_int_equal(cw_http_client_new("cw-test/1", max_active, &client), CW_OK);
    return client;
}

static void fetch(struct cw_http_client *client, struct cw_http_fetch *fetch, struct answer *answer)
{
    answer_init(answer);
    assert_int_equal(cw_http_client_start(client, fetch, on_answer, answer, NULL), CW_OK);
    wait_answer(answer);
}

static const char *url_of(const struct cw_http_server *server, const char *path)
{
    static char url[200];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", cw_http_server_port(server), path);
    return url;
}

static void an_answer_comes_with_its_headers(void **state)
{
    (void)state;
    struct cw_http_server *server = start_server();
    struct cw_http_client *client = new_client(10);
    struct answer answer;
    struct cw_http_fetch get = {.url = url_of(server, "/plain"), .plain = CW_HTTP_PLAIN_LOOPBACK};
    fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_OK);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "cw-test/1");
    assert_string_equal(answer.etag, "\"e\"");
    assert_string_equal(answer.cache_control, "max-age=60");
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void methods_and_bodies_are_sent_as_given(void **state)
{
    (void)state;
    static const char *const json[] = {"Content-Type: application/json", NULL};
    static const struct {
        struct cw_http_fetch fetch;
        const char *body;
    } cases[] = {
        {{.body = CW_STR_INIT("{}"), .headers = json}, "POST application/json none [{}]"},
        {{.method = "PUT"}, "PUT none none []"},
        {{.method = "DELETE"}, "DELETE none none []"},
        {{.method = "POST", .user = "u", .password = "p"}, "POST none Basic dTpw []"},
    };
    struct cw_http_server *server = start_server();
    struct cw_http_client *client = new_client(10);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct answer answer;
        struct cw_http_fetch one = cases[i].fetch;
        one.url = url_of(server, "/echo");
        one.plain = CW_HTTP_PLAIN_LOOPBACK;
        fetch(client, &one, &answer);
        assert_int_equal(answer.err, CW_OK);
        assert_string_equal(answer.body, cases[i].body);
    }
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void a_redirect_is_an_answer_and_not_followed(void **state)
{
    (void)state;
    struct cw_http_server *server = start_server();
    struct cw_http_client *client = new_client(10);
    struct answer answer;
    struct cw_http_fetch get = {.url = url_of(server, "/redirect"),
                                .plain = CW_HTTP_PLAIN_LOOPBACK};
    fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_OK);
    assert_int_equal(answer.status, 302);
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void an_answer_past_its_bound_is_cut_off(void **state)
{
    (void)state;
    struct cw_http_server *server = start_server();
    struct cw_http_client *client = new_client(10);
    struct answer answer;
    struct cw_http_fetch get = {
        .url = url_of(server, "/large"), .plain = CW_HTTP_PLAIN_LOOPBACK, .max_body = 4999};
    fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_REQUEST_TOO_LARGE);
    assert_string_equal(answer.body, "");
    get.max_body = 5000;
    fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_OK);
    assert_int_equal(strlen(answer.body), 5000);
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void an_answer_that_does_not_come_times_out(void **state)
{
    (void)state;
    struct cw_http_server *server = start_server();
    struct cw_http_client *client = new_client(10);
    struct answer answer;
    struct cw_http_fetch get = {
        .url = url_of(server, "/slow"), .plain = CW_HTTP_PLAIN_LOOPBACK, .total_ms = 100};
    fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_TIMEOUT);
    release = true;
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void nobody_there_is_unavailable(void **state)
{
    (void)state;
    struct cw_http_server *server = start_server();
    const char *url = url_of(server, "/plain");
    cw_http_server_stop(server, 0);
    struct cw_http_client *client = new_client(10);
    struct answer answer;
    struct cw_http_fetch get = {.url = url, .plain = CW_HTTP_PLAIN_LOOPBACK};
    fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_UNAVAILABLE);
    assert_int_equal(answer.status, 0);
    cw_http_client_free(client);
}

static void urls_that_are_not_allowed_are_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        enum cw_http_plain plain;
    } cases[] = {
        {"http://127.0.0.1/", CW_HTTP_PLAIN_NEVER},
        {"file:///etc/passwd", CW_HTTP_PLAIN_PRIVATE},
        {"ftp://127.0.0.1/", CW_HTTP_PLAIN_PRIVATE},
        {"https://u:p@127.0.0.1/", CW_HTTP_PLAIN_NEVER},
        {"127.0.0.1/x", CW_HTTP_PLAIN_PRIVATE},
        {"", CW_HTTP_PLAIN_PRIVATE},
    };
    struct cw_http_client *client = new_client(10);
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct cw_http_fetch get = {.url = cases[i].url, .plain = cases[i].plain};
        if (cw_http_client_start(client, &get, on_answer, NULL, NULL) != CW_FORBIDDEN) {
            fail_msg("%s", cases[i].url);
        }
    }
    static const char *const split[] = {"X: a\r\nY: b", NULL};
    struct cw_http_fetch get = {.url = "https://127.0.0.1/", .headers = split};
    assert_int_equal(cw_http_client_start(client, &get, on_answer, NULL, NULL), CW_FORBIDDEN);
    cw_http_client_free(client);
}

static void plain_http_to_an_address_beyond_loopback_is_refused(void **state)
{
    (void)state;
    struct cw_http_client *client = new_client(10);
    struct answer answer;
    /* TEST-NET-1 (RFC 5737): refused before a packet leaves */
    struct cw_http_fetch get = {.url = "http://192.0.2.1/", .plain = CW_HTTP_PLAIN_LOOPBACK};
    fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_FORBIDDEN);
    cw_http_client_free(client);
}

static bool allowed(enum cw_http_plain plain, const char *text)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        return cw_http_plain_allowed(plain, (const struct sockaddr *)&in);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return cw_http_plain_allowed(plain, (const struct sockaddr *)&in6);
}

static void plain_http_to_a_private_address_is_no_http_to_anywhere(void **state)
{
    (void)state;
    static const char *const beyond[] = {"192.0.2.1",   "169.254.169.254", "172.32.0.1",
                                         "100.128.0.1", "2001:db8::1",     "fe80::1"};
    static const char *const within[] = {"10.255.255.1", "172.16.0.1", "192.168.255.1",
                                         "100.64.0.1", "fd00::1"};
    static const char *const loopback[] = {"127.0.0.1", "127.255.0.1", "::1"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(beyond); i++) {
        assert_false(allowed(CW_HTTP_PLAIN_PRIVATE, beyond[i]));
        assert_false(allowed(CW_HTTP_PLAIN_LOOPBACK, beyond[i]));
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(within); i++) {
        assert_true(allowed(CW_HTTP_PLAIN_PRIVATE, within[i]));
        assert_false(allowed(CW_HTTP_PLAIN_LOOPBACK, within[i]));
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(loopback); i++) {
        assert_true(allowed(CW_HTTP_PLAIN_PRIVATE, loopback[i]));
        assert_true(allowed(CW_HTTP_PLAIN_LOOPBACK, loopback[i]));
        assert_false(allowed(CW_HTTP_PLAIN_NEVER, loopback[i]));
    }
    struct cw_http_client *client = new_client(10);
    struct answer answer;
    struct cw_http_fetch get = {.url = "http://192.0.2.1/", .plain = CW_HTTP_PLAIN_PRIVATE};
    fetch(client, &get, &answer); /* refused before a packet leaves */
    assert_int_equal(answer.err, CW_FORBIDDEN);
    struct cw_http_server *server = start_server();
    get.url = url_of(server, "/plain");
    fetch(client, &get, &answer);
    assert_int_equal(answer.err, CW_OK);
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

static void cancel_and_the_end_of_the_client_run_every_callback_once(void **state)
{
    (void)state;
    struct cw_http_server *server = start_server();
    struct cw_http_client *client = new_client(2);
    struct answer first, second;
    uint64_t id;
    struct cw_http_fetch get = {.url = url_of(server, "/slow"), .plain = CW_HTTP_PLAIN_LOOPBACK};
    answer_init(&first);
    answer_init(&second);
    assert_int_equal(cw_http_client_start(client, &get, on_answer, &first, &id), CW_OK);
    assert_int_equal(cw_http_client_start(client, &get, on_answer, &second, NULL), CW_OK);
    /* the bound counts running ones */
    assert_int_equal(cw_http_client_start(client, &get, on_answer, NULL, NULL), CW_UNAVAILABLE);
    cw_http_client_cancel(client, id);
    cw_http_client_cancel(client, 12345);
    wait_answer(&first);
    assert_int_equal(first.err, CW_CANCELLED);
    assert_int_equal(second.times, 0);
    cw_http_client_free(client);
    assert_int_equal(second.err, CW_CANCELLED);
    assert_int_equal(first.times, 1);
    assert_int_equal(second.times, 1);
    release = true;
    cw_http_server_stop(server, 1000);
}

/* ---- servers that do not end ---- */

struct raw_server {
    int fd;
    uint16_t port;
    const char *first; /* sent once */
    const char *again; /* and this until the client hangs up; NULL: nothing, and it stays silent */
    pthread_t thread;
};

static void *raw_serve(void *arg)
{
    const struct raw_server *server = arg;
    int fd = accept(server->fd, NULL, NULL);
    char request[2048];
    bool alive = fd >= 0 && recv(fd, request, sizeof(request), 0) > 0 &&
                 send(fd, server->first, strlen(server->first), MSG_NOSIGNAL) > 0;
    while (alive && server->again) {
        alive = send(fd, server->again, strlen(server->again), MSG_NOSIGNAL) > 0;
    }
    while (alive && recv(fd, request, sizeof(request), 0) > 0) {
    }
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

static void listen_on_loopback(int *ret_fd, uint16_t *ret_port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t n = sizeof(in);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(*ret_fd, 8), 0);
    assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&in, &n), 0);
    *ret_port = ntohs(in.sin_port);
}

static void what_never_ends_is_ended_here(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *first;
        const char *again;
        enum cw_err err;
    } cases[] = {
        {"chunks without end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
         "a\r\n0123456789\r\n", CW_REQUEST_TOO_LARGE},
        {"a body that only the end of the connection ends", "HTTP/1.1 200 OK\r\n\r\n", "0123456789",
         CW_REQUEST_TOO_LARGE},
        {"headers without end", "HTTP/1.1 200 OK\r\n", "X: 0123456789\r\n", CW_REQUEST_TOO_LARGE},
        {"a length past the bound", "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", NULL,
         CW_REQUEST_TOO_LARGE},
        {"half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", NULL, CW_TIMEOUT},
        {"no HTTP", "SSH-2.0-server\r\n", NULL, CW_UNAVAILABLE},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct raw_server server = {.first = cases[i].first, .again = cases[i].again};
        listen_on_loopback(&server.fd, &server.port);
        assert_int_equal(pthread_create(&server.thread, NULL, raw_serve, &server), 0);
        struct cw_http_client *client = new_client(2);
        struct answer answer;
        char url[64];
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
        struct cw_http_fetch get = {.url = url,
                                    .plain = CW_HTTP_PLAIN_LOOPBACK,
                                    .max_body = 4096,
                                    .total_ms = cases[i].err == CW_TIMEOUT ? 500 : 30000};
        fetch(client, &get, &answer);
        if (answer.err != cases[i].err || *answer.body) {
            fail_msg("%s: %s", cases[i].what, cw_err_code(answer.err));
        }
        cw_http_client_free(client);
        pthread_join(server.thread, NULL);
        close(server.fd);
    }
}

/* ---- TLS ---- */

struct tls_server {
    SSL_CTX *ctx;
    int fd;
    uint16_t port;
    pthread_t thread;
    char ca_file[64];
};

static void *tls_serve(void *arg)
{
    struct tls_server *server = arg;
    int fd;
    sigset_t pipe; /* a client that hangs up in the handshake */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        SSL *ssl = SSL_new(server->ctx);
        char request[2048];
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof(request)) > 0) {
            static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: "
                                         "close\r\n\r\nsecret";
            SSL_write(ssl, answer, sizeof(answer) - 1);
            SSL_shutdown(ssl);
        }
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

/* A certificate for `name` that signs itself. */
static void tls_start(struct tls_server *server, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1,
                               0);
    X509_set_issuer_name(cert, subject);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
    assert_non_null(san);
    X509_add_ext(cert, san, -1);
    X509_EXTENSION_free(san);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    snprintf(server->ca_file, sizeof(server->ca_file), "/tmp/cwclientXXXXXX");
    int fd = mkstemp(server->ca_file);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    fclose(f);
    server->ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server->ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->ctx, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);

    listen_on_loopback(&server->fd, &server->port);
    assert_int_equal(pthread_create(&server->thread, NULL, tls_serve, server), 0);
}

static void tls_stop(struct tls_server *server)
{
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    SSL_CTX_free(server->ctx);
    unlink(server->ca_file);
}

static void a_server_must_prove_its_name_by_a_trusted_authority(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *name;
        bool trusted;
        enum cw_err err;
    } cases[] = {
        {"the right name, its authority given", "IP:127.0.0.1", true, CW_OK},
        {"the right name, nobody vouches", "IP:127.0.0.1", false, CW_UNAVAILABLE},
        {"another name, its authority given", "IP:127.0.0.2,DNS:other.example", true,
         CW_UNAVAILABLE},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(cases); i++) {
        struct tls_server server;
        tls_start(&server, cases[i].name);
        struct cw_http_client *client = new_client(2);
        struct answer answer;
        char url[64];
        snprintf(url, sizeof(url), "https://127.0.0.1:%u/", server.port);
        struct cw_http_fetch get = {.url = url,
                                    .ca_file = cases[i].trusted ? server.ca_file : NULL};
        fetch(client, &get, &answer);
        if (answer.err != cases[i].err ||
            strcmp(answer.body, answer.err == CW_OK ? "secret" : "") != 0) {
            fail_msg("%s: %s", cases[i].what, cw_err_code(answer.err));
        }
        cw_http_client_free(client);
        tls_stop(&server);
    }
}

/* Of the 64 connections that there are at once none is free. */
static void who_waits_for_a_connection_waits_no_longer_than_it_said(void **state)
{
    (void)state;
    enum { CONNECTIONS = 64, PATIENCE_MS = 20000 };
    struct cw_http_server *server = start_server();
    struct cw_http_client *client = new_client(CONNECTIONS + 1);
    struct answer *hanging = calloc(CONNECTIONS, sizeof(*hanging)), waiting;
    struct cw_http_fetch get = {
        .url = url_of(server, "/slow"), .plain = CW_HTTP_PLAIN_LOOPBACK, .total_ms = 60000};
    assert_non_null(hanging);
    for (int i = 0; i < CONNECTIONS; i++) {
        answer_init(&hanging[i]);
        assert_int_equal(cw_http_client_start(client, &get, on_answer, &hanging[i], NULL), CW_OK);
    }
    get.total_ms = 200;
    answer_init(&waiting);
    assert_int_equal(cw_http_client_start(client, &get, on_answer, &waiting, NULL), CW_OK);
    int times = 0;
    for (int ms = 0; ms < PATIENCE_MS && times == 0 && !release; ms += 10) {
        usleep(10000);
        pthread_mutex_lock(&waiting.lock);
        times = waiting.times;
        pthread_mutex_unlock(&waiting.lock);
    }
    int ended = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        pthread_mutex_lock(&hanging[i].lock);
        ended += hanging[i].times;
        pthread_mutex_unlock(&hanging[i].lock);
    }
    release = true;
    for (int i = 0; i < CONNECTIONS; i++) {
        wait_answer(&hanging[i]);
    }
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
    free(hanging);
    assert_int_equal(times, 1);
    assert_int_equal(ended, 0); /* it did not wait for one of them */
    assert_int_equal(waiting.err, CW_TIMEOUT);
}

/* ---- names ---- */

#define HANGING "hanging.test"

enum { HANGS_MS = 60 * 1000 }; /* at most; the test lets it go before */

static _Atomic bool names_come; /* lets the look-up of HANGING fail */
static _Atomic int looking_up;

/* libcurl's, too: the program's own symbol goes before the library's. */
__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **ret)
{
    int (*library)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (name && strcmp(name, HANGING) == 0) {
        looking_up++;
        for (int i = 0; i < HANGS_MS / 10 && !names_come; i++) {
            usleep(10000);
        }
        looking_up--;
        return EAI_AGAIN;
    }
    *(void **)&library = dlsym(RTLD_NEXT, "getaddrinfo");
    return library(name, service, hints, ret);
}

/* How many look-ups run, once there is one: libcurl's thread for it may begin late. */
static int waits_for_name(void)
{
    for (int ms = 0; ms < HANGS_MS / 4 && looking_up == 0; ms += 10) {
        usleep(10000);
    }
    return looking_up;
}

/* A resolver may take half a minute over one name; that is nobody else's minute, nor beyond what
 * its own caller gave it. */
static void a_name_server_that_hangs_holds_nobody_up(void **state)
{
    (void)state;
    struct cw_http_server *server = start_server();
    struct cw_http_client *client = new_client(4);
    const char *urls[2] = {"http://" HANGING ":9/", NULL};
    char plain[64];
    struct answer answers[2];
    snprintf(plain, sizeof(plain), "http://127.0.0.1:%u/plain", cw_http_server_port(server));
    urls[1] = plain;
    for (int i = 0; i < 2; i++) {
        struct cw_http_fetch fetch = {
            .url = urls[i], .plain = CW_HTTP_PLAIN_LOOPBACK, .total_ms = i ? HANGS_MS / 4 : 1000};
        answer_init(&answers[i]);
        assert_int_equal(cw_http_client_start(client, &fetch, on_answer, &answers[i], NULL), CW_OK);
        wait_answer(&answers[i]);
        assert_int_equal(waits_for_name(), 1);
    }
    assert_int_equal(answers[0].err, CW_TIMEOUT);
    assert_int_equal(answers[1].err, CW_OK);
    assert_int_equal(answers[1].status, 200);
    names_come = true;
    while (looking_up > 0) {
        usleep(1000);
    }
    cw_http_client_free(client);
    cw_http_server_stop(server, 1000);
}

int main(void)
{
    /* a proxy of the environment must not count: nobody listens there */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_with_its_headers),
        cmocka_unit_test(methods_and_bodies_are_sent_as_given),
        cmocka_unit_test(a_redirect_is_an_answer_and_not_followed),
        cmocka_unit_test(an_answer_past_its_bound_is_cut_off),
        cmocka_unit_test(an_answer_that_does_not_come_times_out),
        cmocka_unit_test(nobody_there_is_unavailable),
        cmocka_unit_test(urls_that_are_not_allowed_are_refused_at_once),
        cmocka_unit_test(plain_http_to_an_address_beyond_loopback_is_refused),
        cmocka_unit_test(plain_http_to_a_private_address_is_no_http_to_anywhere),
        cmocka_unit_test(cancel_and_the_end_of_the_client_run_every_callback_once),
        cmocka_unit_test(what_never_ends_is_ended_here),
        cmocka_unit_test(a_server_must_prove_its_name_by_a_trusted_authority),
        cmocka_unit_test(who_waits_for_a_connection_waits_no_longer_than_it_said),
        cmocka_unit_test(a_name_server_that_hangs_holds_nobody_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
