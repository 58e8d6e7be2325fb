/* A blocking client of a few lines, so that malformed requests can be sent as well. */
#include "tests/unit/common/http/wire.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int wire_connect(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
                    connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

size_t wire_talk(uint16_t port, const char *request, size_t n, char *out, size_t max)
{
    int fd = wire_connect(port);
    size_t got = 0;
    while (fd >= 0 && n > 0) {
        ssize_t sent = send(fd, request, n, MSG_NOSIGNAL);
        if (sent <= 0) {
            break; /* refused early: the answer is there to be read */
        }
        request += sent;
        n -= (size_t)sent;
    }
    ssize_t part = fd >= 0 ? 1 : 0;
    while (part > 0 && got + 1 < max) {
        part = recv(fd, out + got, max - 1 - got, 0);
        got += part > 0 ? (size_t)part : 0;
    }
    out[got] = '\0';
    if (fd >= 0) {
        close(fd);
    }
    return got;
}

int wire_status(uint16_t port, const char *request, char *out, size_t max)
{
    wire_talk(port, request, strlen(request), out, max);
    return strncmp(out, "HTTP/1.1 ", 9) == 0 ? (int)strtol(out + 9, NULL, 10) : 0;
}
