/* The lower limit with completions: io_uring with the features that had a measured gain: multishot accept into direct
   descriptors, multishot receive into incremental provided buffers, one enter per turn that submits and
   waits, one gathered send in flight per connection, silent unless it did not complete.

   liburing of Debian 12 (2.3) is enough; what is newer in the kernel is named here by its value. */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "listen.h"

enum {
    PBUF_RING_INCREMENTAL = 2, /* IOU_PBUF_RING_INC, Linux 6.12 */
    CQE_BUFFER_MORE = 1 << 4,  /* IORING_CQE_F_BUF_MORE: the kernel goes on using this buffer */
    RECVSEND_BUNDLE = 1 << 4,  /* IORING_RECVSEND_BUNDLE, Linux 6.10 */
    SQ_ENTRIES = 4096,
    CQ_ENTRIES = 16384,
    BUFFERS = 32, /* a power of two */
    SINK_BUFFER_BYTES = 16384,
    PIECES_MAX = 60000,
    PIECES_PER_SEND = 64,
    SENDS_PER_TURN = 1024,
    SOURCE_BYTES = 262144,
    DIRECT_DESCRIPTORS = 19000,
    NONE = 0xffff
};

enum operation { ACCEPT = 1, RECEIVE, SILENT_SEND, SEND, CLOSE };
enum rearm { ARMED, WANTED, STARVED };

/* A received piece of a buffer, until it has been sent. */
static struct piece {
    char *bytes;
    uint32_t length, sent;
    uint16_t next, buffer;
} pieces[PIECES_MAX];
static uint16_t free_pieces[PIECES_MAX];
static unsigned free_piece_count;

/* Pieces of a buffer that are in use, how far it is filled, and whether the kernel is done with it. */
static struct {
    uint32_t pieces, filled;
    int full;
} buffers[BUFFERS];

static struct connection {
    uint16_t first, last; /* pieces to send */
    uint8_t open, ended, sending, in_flight, rearm, dirty, failed;
    int failed_with;
} *connections;

static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static char *memory;
static unsigned buffer_bytes, returned_buffers, kernel_buffers;
static enum mode mode;
static int listener, incremental;

static unsigned *dirty, dirty_count, *silent, silent_count, *starved, starved_count;
static struct msghdr headers[SENDS_PER_TURN];
static struct iovec vectors[SENDS_PER_TURN][PIECES_PER_SEND];
static unsigned headers_used;

static uint64_t tag(enum operation operation, unsigned index) {
    return (uint64_t)operation << 56 | index;
}

static struct io_uring_sqe *entry(void) {
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&ring))) io_uring_submit(&ring);
    return sqe;
}

static void mark(unsigned index) {
    if (connections[index].dirty) return;
    connections[index].dirty = 1;
    dirty[dirty_count++] = index;
}

static void return_buffer(unsigned buffer) {
    io_uring_buf_ring_add(provided, memory + (size_t)buffer * buffer_bytes, buffer_bytes, buffer,
                          BUFFERS - 1, returned_buffers++);
    kernel_buffers++;
}

static void receive(unsigned index) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_recv_multishot(sqe, index, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    if (mode == MODE_SINK) sqe->ioprio |= RECVSEND_BUNDLE;
    sqe->user_data = tag(RECEIVE, index);
    connections[index].rearm = ARMED;
}

static void accept_connections(void) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    sqe->user_data = tag(ACCEPT, 0);
}

static void close_connection(unsigned index) {
    connections[index].open = 0;
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_close_direct(sqe, index);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = tag(CLOSE, index);
}

static void produce(unsigned index) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_send(sqe, index, memory, SOURCE_BYTES, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = tag(SEND, index);
}

static void drop_first(struct connection *connection) {
    struct piece *piece = &pieces[connection->first];
    unsigned buffer = piece->buffer;
    free_pieces[free_piece_count++] = connection->first;
    connection->first = piece->next;
    if (--buffers[buffer].pieces == 0 && buffers[buffer].full) {
        buffers[buffer].full = buffers[buffer].filled = 0;
        return_buffer(buffer);
    }
}

/* Sends all queued data in one operation. A silent one has no completion if it succeeds immediately. */
static void send_pieces(unsigned index, int silently) {
    struct connection *connection = &connections[index];
    struct io_uring_sqe *sqe = entry();
    struct piece *first = &pieces[connection->first];
    int flags = MSG_WAITALL | MSG_NOSIGNAL | (silently ? MSG_DONTWAIT : 0);
    unsigned count = 1;
    if (first->next == NONE || headers_used == SENDS_PER_TURN) {
        io_uring_prep_send(sqe, index, first->bytes + first->sent, first->length - first->sent, flags);
    } else { /* The kernel copies header and vector when it is submitted. */
        struct iovec *vector = vectors[headers_used];
        struct msghdr *header = &headers[headers_used++];
        count = 0;
        for (unsigned at = connection->first; at != NONE && count < PIECES_PER_SEND; at = pieces[at].next)
            vector[count++] = (struct iovec){pieces[at].bytes + pieces[at].sent, pieces[at].length - pieces[at].sent};
        *header = (struct msghdr){.msg_iov = vector, .msg_iovlen = count};
        io_uring_prep_sendmsg(sqe, index, header, flags);
    }
    sqe->flags |= IOSQE_FIXED_FILE | (silently ? IOSQE_CQE_SKIP_SUCCESS : 0);
    sqe->user_data = tag(silently ? SILENT_SEND : SEND, index);
    connection->in_flight = count;
    connection->sending = 1;
    if (silently) silent[silent_count++] = index;
}

static void sent(unsigned index, int result) {
    struct connection *connection = &connections[index];
    connection->sending = 0;
    if (result < 0 && result != -EAGAIN) {
        while (connection->first != NONE) drop_first(connection);
        connection->ended = 1;
    } else {
        while (result > 0) {
            struct piece *piece = &pieces[connection->first];
            unsigned length = piece->length - piece->sent;
            if ((unsigned)result < length) {
                piece->sent += result;
                break;
            }
            result -= length;
            connection->in_flight--;
            drop_first(connection);
        }
        if (connection->in_flight) {
            send_pieces(index, 0);
            return;
        }
    }
    mark(index);
}

static void keep(unsigned index, unsigned buffer, unsigned length, int buffer_goes_on) {
    struct connection *connection = &connections[index];
    unsigned at = free_pieces[--free_piece_count];
    char *start = memory + (size_t)buffer * buffer_bytes + buffers[buffer].filled;
    pieces[at] = (struct piece){.bytes = start, .length = length, .next = NONE, .buffer = buffer};
    buffers[buffer].pieces++;
    buffers[buffer].filled += length;
    if (!buffer_goes_on) {
        buffers[buffer].full = 1;
        kernel_buffers--;
    }
    if (connection->first == NONE) connection->first = at;
    else pieces[connection->last].next = at;
    connection->last = at;
}

static void received(unsigned index, const struct io_uring_cqe *cqe) {
    struct connection *connection = &connections[index];
    if (cqe->res > 0) {
        unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (mode == MODE_SINK) { /* A bundle fills several buffers that follow each other. */
            unsigned count = (cqe->res + buffer_bytes - 1) / buffer_bytes;
            kernel_buffers -= count;
            for (unsigned i = 0; i < count; i++) return_buffer((buffer + i) % BUFFERS);
        } else {
            keep(index, buffer, cqe->res, incremental && (cqe->flags & CQE_BUFFER_MORE));
            mark(index);
        }
        if (cqe->flags & IORING_CQE_F_MORE) return;
        connection->rearm = WANTED;
    } else if (cqe->res == -ENOBUFS && mode == MODE_ECHO) {
        connection->rearm = STARVED; /* until a buffer is free */
        starved[starved_count++] = index;
        return;
    } else if (cqe->res == -ENOBUFS) {
        connection->rearm = WANTED;
    } else {
        connection->ended = 1;
        connection->rearm = ARMED;
    }
    mark(index);
}

static void accepted(const struct io_uring_cqe *cqe) {
    if (cqe->res >= 0) {
        connections[cqe->res] = (struct connection){.first = NONE, .open = 1};
        if (mode == MODE_SOURCE) produce(cqe->res);
        else receive(cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) accept_connections();
}

static void complete(const struct io_uring_cqe *cqe) {
    unsigned index = (uint32_t)cqe->user_data;
    switch ((enum operation)(cqe->user_data >> 56)) {
    case ACCEPT: accepted(cqe); break;
    case RECEIVE: received(index, cqe); break;
    case SILENT_SEND:
        connections[index].failed = 1;
        connections[index].failed_with = cqe->res;
        break;
    case SEND:
        if (mode != MODE_SOURCE) sent(index, cqe->res);
        else if (cqe->res > 0) produce(index);
        else if (connections[index].open) close_connection(index);
        break;
    case CLOSE: break;
    }
}

/* Data sent silently is sent, unless a completion has reported otherwise. */
static void settle_silent_sends(void) {
    unsigned count = silent_count;
    silent_count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct connection *connection = &connections[silent[i]];
        if (connection->failed) {
            connection->failed = 0;
            sent(silent[i], connection->failed_with);
            continue;
        }
        connection->sending = 0;
        for (; connection->in_flight; connection->in_flight--) drop_first(connection);
        if (connection->first != NONE || connection->ended || connection->rearm == WANTED) mark(silent[i]);
    }
}

/* At most as many as there are buffers, because the others would only fail again. */
static void rearm_starved(void) {
    for (unsigned i = 0; i < kernel_buffers && starved_count; i++) {
        unsigned index = starved[--starved_count];
        if (connections[index].open) receive(index);
    }
}

static void go_on(unsigned index) {
    struct connection *connection = &connections[index];
    connection->dirty = 0;
    if (!connection->open) return;
    if (!connection->sending && connection->first != NONE) send_pieces(index, 1);
    if (connection->ended) {
        if (connection->first == NONE && !connection->sending) close_connection(index);
    } else if (connection->rearm == WANTED) {
        receive(index);
    }
}

/* Returns whether data is queued after a silent send, which would not wake us for it. */
static int must_not_wait(void) {
    if (starved_count && (silent_count || kernel_buffers)) return 1;
    for (unsigned i = 0; i < silent_count; i++) {
        struct connection *connection = &connections[silent[i]];
        if (connection->ended || connection->rearm == WANTED) return 1;
        unsigned count = 0;
        for (unsigned at = connection->first; at != NONE; at = pieces[at].next)
            if (++count > connection->in_flight) return 1;
    }
    return 0;
}

static void *table(size_t bytes) {
    void *zeroed = calloc(CONNECTIONS_MAX, bytes);
    if (!zeroed) fail("calloc");
    return zeroed;
}

static void start(void) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = CQ_ENTRIES,
    };
    if ((errno = -io_uring_queue_init_params(SQ_ENTRIES, &ring, &params))) fail("io_uring_setup");
    io_uring_register_ring_fd(&ring);
    if ((errno = -io_uring_register_files_sparse(&ring, DIRECT_DESCRIPTORS))) fail("direct descriptors");

    buffer_bytes = mode == MODE_SINK ? SINK_BUFFER_BYTES : BUFFER_BYTES;
    memory = mmap(NULL, (size_t)BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    provided = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)provided, .ring_entries = BUFFERS};
    incremental = mode == MODE_ECHO;
    registration.pad = incremental ? PBUF_RING_INCREMENTAL : 0; /* called flags since Linux 6.4 */
    int result = io_uring_register_buf_ring(&ring, &registration, 0);
    if (result && incremental) {
        incremental = 0;
        registration.pad = 0;
        result = io_uring_register_buf_ring(&ring, &registration, 0);
    }
    if ((errno = -result)) fail("provided buffers");
    io_uring_buf_ring_init(provided);
    for (unsigned buffer = 0; buffer < BUFFERS; buffer++) return_buffer(buffer);
    io_uring_buf_ring_advance(provided, returned_buffers);
    returned_buffers = 0;
}

int main(void) {
    mode = mode_from_environment();
    listener = listen_from_environment();
    connections = table(sizeof *connections);
    dirty = table(sizeof *dirty);
    silent = table(sizeof *silent);
    starved = table(sizeof *starved);
    for (unsigned i = 0; i < PIECES_MAX; i++) free_pieces[free_piece_count++] = PIECES_MAX - 1 - i;
    start();
    accept_connections();
    for (int wait = 1;; wait = !must_not_wait()) {
        int result = io_uring_submit_and_wait(&ring, wait);
        if (result < 0 && result != -EINTR && result != -EBUSY) {
            errno = -result;
            fail("io_uring_enter");
        }
        headers_used = 0;
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            complete(cqe);
            count++;
        }
        io_uring_cq_advance(&ring, count);
        settle_silent_sends();
        rearm_starved();
        for (unsigned i = 0; i < dirty_count; i++) go_on(dirty[i]);
        dirty_count = 0;
        if (returned_buffers) io_uring_buf_ring_advance(provided, returned_buffers);
        returned_buffers = 0;
    }
}
