/* The log: one JSON object a line, typed fields, repeats counted, secrets named by digest, lines
 * whole. */
#include "common/log/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static int64_t wall_ms_now = 1740830400123; /* 2025-03-01T12:00:00.123Z */
static int64_t monotonic_ms_now = 5000;

static int64_t wall_ms(void *ctx)
{
    (void)ctx;
    return wall_ms_now;
}

static int64_t monotonic_ms(void *ctx)
{
    (void)ctx;
    return monotonic_ms_now;
}

static const struct cw_clock test_clock = {.wall_ms = wall_ms, .monotonic_ms = monotonic_ms};

static char path[32];
static int fd;

static int open_log(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/cwlogXXXXXX");
    fd = mkstemp(path);
    struct cw_log_options options = {
        .service = "cw-test", .version = "1", .level = CW_LOG_INFO, .fd = fd, .clock = &test_clock};
    cw_log_init(&options);
    return fd < 0;
}

static int close_log(void **state)
{
    (void)state;
    close(fd);
    unlink(path);
    return 0;
}

/* The lines written so far, each parsed; fails where one is no JSON object. */
static json_t *lines(void)
{
    json_t *all = json_array();
    FILE *f = fopen(path, "r");
    char line[8192];
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        assert_true(strlen(line) <= 4096);
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(object)) {
            fail_msg("not JSON: %s", line);
        }
        json_array_append_new(all, object);
    }
    fclose(f);
    return all;
}

static const char *text_of(const json_t *all, size_t i, const char *key)
{
    const char *text = json_string_value(json_object_get(json_array_get(all, i), key));
    return text ? text : "(absent)";
}

static void a_line_has_the_fields_of_ecs(void **state)
{
    (void)state;
    struct cw_log_event event = {.action = "keys-fetched",
                                 .level = CW_LOG_WARN,
                                 .message = "keys \"fetched\"",
                                 .category = "api"};
    CW_LOG(&event, cw_log_cstr("url.domain", "a\nb"), cw_log_int("http.response.status_code", 200),
           cw_log_bool("labels.cached", true), cw_log_ms(3), cw_log_err(CW_KEYS_UNAVAILABLE));
    json_t *all = lines();
    assert_int_equal(json_array_size(all), 1);
    assert_string_equal(text_of(all, 0, "@timestamp"), "2025-03-01T12:00:00.123Z");
    assert_string_equal(text_of(all, 0, "log.level"), "warn");
    assert_string_equal(text_of(all, 0, "message"), "keys \"fetched\"");
    assert_string_equal(text_of(all, 0, "ecs.version"), "8.11.0");
    assert_string_equal(text_of(all, 0, "service.name"), "cw-test");
    assert_string_equal(text_of(all, 0, "event.action"), "keys-fetched");
    assert_string_equal(text_of(all, 0, "error.code"), "keys_unavailable");
    assert_string_equal(text_of(all, 0, "url.domain"), "a\nb");
    const json_t *line = json_array_get(all, 0);
    assert_int_equal(json_integer_value(json_object_get(line, "http.response.status_code")), 200);
    assert_int_equal(json_integer_value(json_object_get(line, "event.duration")), 3000000);
    assert_true(json_is_true(json_object_get(line, "labels.cached")));
    assert_true(json_is_array(json_object_get(line, "event.category")));
    assert_null(json_object_get(line, "labels.truncated"));
    json_decref(all);
}

static void lower_levels_are_dropped(void **state)
{
    (void)state;
    struct cw_log_event debug = {.action = "a", .level = CW_LOG_DEBUG, .message = "m"};
    CW_LOG0(&debug);
    cw_log_set_level(CW_LOG_DEBUG);
    assert_true(cw_log_enabled(CW_LOG_DEBUG));
    CW_LOG0(&debug);
    json_t *all = lines();
    assert_int_equal(json_array_size(all), 1);
    json_decref(all);
    enum cw_log_level level;
    assert_true(cw_log_level_parse("error", &level));
    assert_int_equal(level, CW_LOG_ERROR);
    assert_false(cw_log_level_parse("loud", &level));
}

static void a_token_is_named_by_its_digest_only(void **state)
{
    (void)state;
    struct cw_log_event event = {.action = "a", .level = CW_LOG_INFO, .message = "m"};
    CW_LOG(&event, cw_log_digest("labels.token", CW_STR("abc")));
    json_t *all = lines();
    /* SHA-256("abc") = ba7816bf… (FIPS 180-2, B.1) */
    assert_string_equal(text_of(all, 0, "labels.token"), "ba7816bf");
    json_decref(all);
}

static void repeats_are_counted_and_told_with_the_next_line(void **state)
{
    (void)state;
    struct cw_log_event event = {
        .action = "a", .level = CW_LOG_WARN, .message = "m", .every_ms = 1000};
    struct cw_log_repeat other = {0};
    for (int i = 0; i < 5; i++) {
        CW_LOG0(&event);
    }
    CW_LOG_LIMITED(&event, &other, cw_log_cstr("labels.issuer", "b"));
    CW_LOG_LIMITED(&event, &other, cw_log_cstr("labels.issuer", "b"));
    monotonic_ms_now += 999;
    CW_LOG0(&event);
    monotonic_ms_now += 1;
    CW_LOG0(&event);
    json_t *all = lines();
    assert_int_equal(json_array_size(all), 3);
    assert_null(json_object_get(json_array_get(all, 0), "event.repeated"));
    assert_string_equal(text_of(all, 1, "labels.issuer"), "b");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(all, 2), "event.repeated")),
                     5);
    json_decref(all);
}

static void a_line_never_grows_past_a_pipe_write(void **state)
{
    (void)state;
    struct cw_log_event event = {.action = "a", .level = CW_LOG_INFO, .message = "m"};
    char big[3000];
    memset(big, 1, sizeof(big)); /* six bytes each in JSON */
    struct cw_str s = {big, sizeof(big)};
    CW_LOG(&event, cw_log_str("labels.a", s), cw_log_str("labels.b", s), cw_log_int("labels.c", 7));
    memset(big, 'x', sizeof(big));
    CW_LOG(&event, cw_log_str("labels.a", s));
    json_t *all = lines();
    assert_int_equal(json_array_size(all), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(json_is_true(json_object_get(json_array_get(all, i), "labels.truncated")));
    }
    assert_int_equal(json_integer_value(json_object_get(json_array_get(all, 0), "labels.c")), 7);
    assert_int_equal(strlen(text_of(all, 1, "labels.a")), 1024);
    json_decref(all);
}

enum { THREADS = 4, LINES = 200 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++) {
        CW_LOG((struct cw_log_event *)arg, cw_log_int("labels.i", i));
    }
    return NULL;
}

static void lines_of_many_threads_stay_whole(void **state)
{
    (void)state;
    struct cw_log_event event = {.action = "a", .level = CW_LOG_INFO, .message = "m"};
    pthread_t threads[THREADS];
    /* a pipe, as under systemd; its reader keeps what comes */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= 1 << 20); /* room for all lines */
    struct cw_log_options options = {.service = "cw-test", .fd = ends[1], .clock = &test_clock};
    cw_log_init(&options);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &event), 0);
    }
    FILE *reader = fdopen(ends[0], "r");
    char line[8192];
    for (int i = 0; i < THREADS * LINES; i++) {
        assert_non_null(fgets(line, sizeof(line), reader));
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_true(json_is_object(object));
        json_decref(object);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    fclose(reader);
    close(ends[1]);
}

/* What is there already. */
static ssize_t recv_now(int fd_of, char *p, size_t n)
{
    struct pollfd ready = {.fd = fd_of, .events = POLLIN};
    return poll(&ready, 1, 0) == 1 ? read(fd_of, p, n) : 0;
}

static void a_reader_that_stands_still_costs_lines_and_not_time(void **state)
{
    (void)state;
    struct cw_log_event event = {.action = "a", .level = CW_LOG_ERROR, .message = "m"};
    int pair[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(i == 0 ? pipe(pair) : socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        struct cw_log_options options = {.service = "cw-test", .fd = pair[1], .clock = &test_clock};
        cw_log_init(&options);
        for (int k = 0; k < 5000; k++) {
            CW_LOG0(&event); /* more than fits: this would hang */
        }
        char text[4096];
        assert_true(read(pair[0], text, sizeof(text)) > 0);
        while (recv_now(pair[0], text, sizeof(text)) > 0) {
        }
        CW_LOG0(&event);
        ssize_t n = read(pair[0], text, sizeof(text) - 1);
        assert_true(n > 0);
        text[n] = '\0';
        assert_non_null(strstr(text, "\"labels.dropped_lines\":"));
        close(pair[0]);
        close(pair[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_the_fields_of_ecs, open_log, close_log),
        cmocka_unit_test_setup_teardown(lower_levels_are_dropped, open_log, close_log),
        cmocka_unit_test_setup_teardown(a_token_is_named_by_its_digest_only, open_log, close_log),
        cmocka_unit_test_setup_teardown(repeats_are_counted_and_told_with_the_next_line, open_log,
                                        close_log),
        cmocka_unit_test_setup_teardown(a_line_never_grows_past_a_pipe_write, open_log, close_log),
        cmocka_unit_test_setup_teardown(a_reader_that_stands_still_costs_lines_and_not_time,
                                        open_log, close_log),
        cmocka_unit_test_setup_teardown(lines_of_many_threads_stay_whole, open_log, close_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
