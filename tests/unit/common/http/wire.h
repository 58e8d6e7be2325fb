/* Raw HTTP for tests: bytes to a port, everything that comes back. */
#ifndef CW_TESTS_WIRE_H
#define CW_TESTS_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* Connected to 127.0.0.1; -1 on failure. */
int wire_connect(uint16_t port);
/* Sends all, reads to the end of the connection; NUL-terminated in `out`. Closes. */
size_t wire_talk(uint16_t port, const char *request, size_t n, char *out, size_t max);
/* The status of the answer to a NUL-terminated request, which should say Connection: close. */
int wire_status(uint16_t port, const char *request, char *out, size_t max);

#endif
