/* Shared by the C servers: their environment, and a listening socket for it. */
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER_BYTES = 65536, CONNECTIONS_MAX = 131072 };
enum mode { MODE_ECHO, MODE_SINK, MODE_SOURCE };

static enum mode mode_from_environment(void) {
    const char *name = getenv("MODE");
    if (name && !strcmp(name, "sink")) return MODE_SINK;
    if (name && !strcmp(name, "source")) return MODE_SOURCE;
    return MODE_ECHO;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Non-blocking. Accepted sockets have TCP_NODELAY, because Linux lets them inherit the option. */
static int listen_from_environment(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);

    const int kind = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, on = 1;
    const char *path = getenv("UNIX_PATH"), *port = getenv("PORT");
    int fd;
    if (path && *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strncpy(address.sun_path, path, sizeof address.sun_path - 1);
        fd = socket(AF_UNIX, kind, 0);
        if (bind(fd, (struct sockaddr *)&address, sizeof address)) fail("bind");
    } else {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 0)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, kind, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&address, sizeof address)) fail("bind");
    }
    if (listen(fd, 4096)) fail("listen");
    return fd;
}
