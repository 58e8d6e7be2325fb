/* The client against what never ends, who is not who they say, and calls that are given up. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
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

#include "tests/unit/common/http/client_world.h"

static void cancel_and_the_end_of_the_client_run_every_callback_once(void **state)
{
    (void)state;
    struct cw_http_server *server = world_start_server();
    struct cw_http_client *client = world_client(2);
    struct answer first, second;
    uint64_t id;
    struct cw_http_fetch get = {.url = world_url(server, "/slow"), .plain = CW_HTTP_PLAIN_LOOPBACK};
    world_answer_init(&first);
    world_answer_init(&second);
    assert_int_equal(cw_http_client_start(client, &get, world_on_answer, &first, &id), CW_OK);
    assert_int_equal(cw_http_client_start(client, &get, world_on_answer, &second, NULL), CW_OK);
    /* the bound counts running ones */
    assert_int_equal(cw_http_client_start(client, &get, world_on_answer, NULL, NULL),
                     CW_UNAVAILABLE);
    cw_http_client_cancel(client, id);
    cw_http_client_cancel(client, 12345);
    world_wait(&first);
    assert_int_equal(first.err, CW_CANCELLED);
    assert_int_equal(second.times, 0);
    cw_http_client_free(client);
    assert_int_equal(second.err, CW_CANCELLED);
    assert_int_equal(first.times, 1);
    assert_int_equal(second.times, 1);
    world_release = true;
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
        struct cw_http_client *client = world_client(2);
        struct answer answer;
        char url[64];
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
        struct cw_http_fetch get = {.url = url,
                                    .plain = CW_HTTP_PLAIN_LOOPBACK,
                                    .max_body = 4096,
                                    .total_ms = cases[i].err == CW_TIMEOUT ? 500 : 30000};
        world_fetch(client, &get, &answer);
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
        struct cw_http_client *client = world_client(2);
        struct answer answer;
        char url[64];
        snprintf(url, sizeof(url), "https://127.0.0.1:%u/", server.port);
        struct cw_http_fetch get = {.url = url,
                                    .ca_file = cases[i].trusted ? server.ca_file : NULL};
        world_fetch(client, &get, &answer);
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
    struct cw_http_server *server = world_start_server();
    struct cw_http_client *client = world_client(CONNECTIONS + 1);
    struct answer *hanging = calloc(CONNECTIONS, sizeof(*hanging)), waiting;
    struct cw_http_fetch get = {
        .url = world_url(server, "/slow"), .plain = CW_HTTP_PLAIN_LOOPBACK, .total_ms = 60000};
    assert_non_null(hanging);
    for (int i = 0; i < CONNECTIONS; i++) {
        world_answer_init(&hanging[i]);
        assert_int_equal(cw_http_client_start(client, &get, world_on_answer, &hanging[i], NULL),
                         CW_OK);
    }
    get.total_ms = 200;
    world_answer_init(&waiting);
    assert_int_equal(cw_http_client_start(client, &get, world_on_answer, &waiting, NULL), CW_OK);
    int times = 0;
    for (int ms = 0; ms < PATIENCE_MS && times == 0 && !world_release; ms += 10) {
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
    world_release = true;
    for (int i = 0; i < CONNECTIONS; i++) {
        world_wait(&hanging[i]);
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
    struct cw_http_server *server = world_start_server();
    struct cw_http_client *client = world_client(4);
    const char *urls[2] = {"http://" HANGING ":9/", NULL};
    char plain[64];
    struct answer answers[2];
    snprintf(plain, sizeof(plain), "http://127.0.0.1:%u/plain", cw_http_server_port(server));
    urls[1] = plain;
    for (int i = 0; i < 2; i++) {
        struct cw_http_fetch fetch = {
            .url = urls[i], .plain = CW_HTTP_PLAIN_LOOPBACK, .total_ms = i ? HANGS_MS / 4 : 1000};
        world_answer_init(&answers[i]);
        assert_int_equal(cw_http_client_start(client, &fetch, world_on_answer, &answers[i], NULL),
                         CW_OK);
        world_wait(&answers[i]);
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
        cmocka_unit_test(cancel_and_the_end_of_the_client_run_every_callback_once),
        cmocka_unit_test(what_never_ends_is_ended_here),
        cmocka_unit_test(a_server_must_prove_its_name_by_a_trusted_authority),
        cmocka_unit_test(who_waits_for_a_connection_waits_no_longer_than_it_said),
        cmocka_unit_test(a_name_server_that_hangs_holds_nobody_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
