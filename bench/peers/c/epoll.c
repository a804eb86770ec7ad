/* The lower limit with readiness: edge-triggered epoll, each socket registered once, one buffer for all;
   the answer is sent immediately, and a short read counts as "drained". */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "listen.h"

enum { EVENTS_PER_TURN = 512 };

/* Unsent data. A connection that keeps up has none, and costs these 16 bytes. */
struct unsent {
    char *bytes;
    uint32_t sent, length;
};

static struct unsent *unsent_of; /* by descriptor */
static char buffer[BUFFER_BYTES];
static enum mode mode;

static void drop(int fd) {
    free(unsent_of[fd].bytes);
    unsent_of[fd].bytes = NULL;
    close(fd);
}

/* Returns whether all data is sent. */
static int flush(int fd) {
    struct unsent *unsent = &unsent_of[fd];
    while (unsent->sent < unsent->length) {
        ssize_t sent = send(fd, unsent->bytes + unsent->sent, unsent->length - unsent->sent, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) drop(fd);
            return 0;
        }
        unsent->sent += sent;
    }
    free(unsent->bytes);
    unsent->bytes = NULL;
    return 1;
}

/* Returns whether to continue reading. */
static int echo(int fd, size_t length) {
    ssize_t sent = send(fd, buffer, length, MSG_NOSIGNAL);
    if (sent == (ssize_t)length) return 1;
    if (sent < 0 && errno != EAGAIN) {
        drop(fd);
        return 0;
    }
    if (sent < 0) sent = 0;
    struct unsent *unsent = &unsent_of[fd];
    unsent->length = length - sent;
    unsent->sent = 0;
    unsent->bytes = malloc(unsent->length);
    memcpy(unsent->bytes, buffer + sent, unsent->length);
    return 0;
}

static void receive(int fd, int ending) {
    for (;;) {
        ssize_t length = recv(fd, buffer, sizeof buffer, 0);
        if (length <= 0) {
            if (length == 0 || errno != EAGAIN) drop(fd);
            return;
        }
        if (mode == MODE_ECHO && !echo(fd, length)) return;
        if (length < (ssize_t)sizeof buffer && !ending) return;
    }
}

static void produce(int fd) {
    ssize_t sent;
    do sent = send(fd, buffer, sizeof buffer, MSG_NOSIGNAL);
    while (sent == (ssize_t)sizeof buffer);
    if (sent < 0 && errno != EAGAIN) drop(fd);
}

static void accept_all(int listener, int epoll) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        if (fd >= CONNECTIONS_MAX) {
            close(fd);
            continue;
        }
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static void on_event(int fd, uint32_t events) {
    int ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (mode == MODE_SOURCE) {
        if (ending) drop(fd);
        else if (events & EPOLLOUT) produce(fd);
    } else if (unsent_of[fd].bytes) {
        if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) && flush(fd)) receive(fd, ending);
    } else if (ending || (events & EPOLLIN)) {
        receive(fd, ending);
    }
}

int main(void) {
    mode = mode_from_environment();
    memset(buffer, 'x', sizeof buffer);
    unsent_of = calloc(CONNECTIONS_MAX, sizeof *unsent_of);
    int listener = listen_from_environment(), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS_PER_TURN] = {{.events = EPOLLIN, .data.fd = listener}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0]);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_PER_TURN, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener) accept_all(listener, epoll);
            else on_event(events[i].data.fd, events[i].events);
        }
    }
}
