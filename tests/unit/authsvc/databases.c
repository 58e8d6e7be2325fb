/* Starts a server, and gives each test a schema of its own in it. */
#include "tests/unit/authsvc/databases.h"

#include <postgresql/libpq-fe.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READY_TRIES = 1200, READY_PAUSE_US = 50 * 1000 };

extern char **environ;

static struct {
    bool postgresql;
    pid_t pid;
    char dir[32];
    PGconn *beside; /* the test's own connection */
    unsigned n_fresh;
    char url[160];
} now;

int databases_use_sqlite(void **state)
{
    (void)state;
    now.postgresql = false;
    return 0;
}

static bool run(const char *sql)
{
    PGresult *result = PQexec(now.beside, sql);
    ExecStatusType status = PQresultStatus(result);
    bool done = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!done) {
        fprintf(stderr, "%s: %s", sql, PQerrorMessage(now.beside));
    }
    PQclear(result);
    return done;
}

int databases_use_postgresql(void **state)
{
    (void)state;
    now.postgresql = true;
    snprintf(now.dir, sizeof(now.dir), "/tmp/cwXXXXXX");
    if (mkdtemp(now.dir) == NULL) {
        return -1;
    }
    char script[] = "tests/support/postgresql.sh";
    char *argv[] = {script, now.dir, NULL};
    if (posix_spawn(&now.pid, script, NULL, NULL, argv, environ) != 0) {
        return -1;
    }
    char url[96];
    snprintf(url, sizeof(url), "postgresql://postgres@/postgres?host=%s", now.dir);
    for (int i = 0; i < READY_TRIES; i++) {
        now.beside = PQconnectdb(url);
        if (PQstatus(now.beside) == CONNECTION_OK) {
            return 0;
        }
        PQfinish(now.beside);
        now.beside = NULL;
        int status = 0;
        if (waitpid(now.pid, &status, WNOHANG) != 0) {
            now.pid = 0;
            return -1;
        }
        usleep(READY_PAUSE_US);
    }
    return -1;
}

int databases_end(void **state)
{
    (void)state;
    PQfinish(now.beside);
    now.beside = NULL;
    if (now.pid > 0) {
        kill(now.pid, SIGQUIT);
        waitpid(now.pid, NULL, 0);
        now.pid = 0;
    }
    if (now.dir[0] != '\0') {
        char *argv[] = {(char[]){"rm"}, (char[]){"-rf"}, now.dir, NULL};
        pid_t pid = 0;
        if (posix_spawnp(&pid, "rm", NULL, NULL, argv, environ) == 0) {
            waitpid(pid, NULL, 0);
        }
        now.dir[0] = '\0';
    }
    return 0;
}

bool databases_is_postgresql(void)
{
    return now.postgresql;
}

const char *databases_fresh_url(void)
{
    if (!now.postgresql) {
        return "sqlite::memory:";
    }
    char sql[96];
    snprintf(sql, sizeof(sql), "CREATE SCHEMA t%u; SET search_path = t%u", now.n_fresh,
             now.n_fresh);
    if (!run(sql)) {
        abort();
    }
    snprintf(now.url, sizeof(now.url),
             "postgresql://postgres@/postgres?host=%s&options=-csearch_path%%3Dt%u", now.dir,
             now.n_fresh++);
    return now.url;
}

bool databases_psql(const char *sql)
{
    return run(sql);
}
