/* An efficient use of libuv: one buffer for all connections, uv_try_write first, and a copy of the rest only
   if the kernel does not accept everything. */
#include "listen.h"
#include <stddef.h>
#include <uv.h>

static char buffer[BUFFER_BYTES];
static enum mode mode;

struct rest {
    uv_write_t request;
    char bytes[];
};

union stream {
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

static void closed(uv_handle_t *handle) {
    free(handle->data); /* the source's request */
    free(handle);
}

static void drop(uv_stream_t *stream) {
    if (!uv_is_closing((uv_handle_t *)stream)) uv_close((uv_handle_t *)stream, closed);
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *lent) {
    (void)handle, (void)suggested;
    *lent = uv_buf_init(buffer, sizeof buffer);
}

static void rest_sent(uv_write_t *request, int status) {
    (void)status;
    free(request);
}

static void received(uv_stream_t *stream, ssize_t length, const uv_buf_t *lent) {
    if (length < 0) drop(stream);
    if (length <= 0 || mode != MODE_ECHO) return;
    uv_buf_t bytes = uv_buf_init(lent->base, length);
    int sent = uv_try_write(stream, &bytes, 1);
    if (sent == length) return;
    if (sent < 0) sent = 0;
    struct rest *rest = malloc(sizeof *rest + length - sent);
    memcpy(rest->bytes, lent->base + sent, length - sent);
    bytes = uv_buf_init(rest->bytes, length - sent);
    uv_write(&rest->request, stream, &bytes, 1, rest_sent);
}

static void produce(uv_write_t *request, int status) {
    uv_buf_t bytes = uv_buf_init(buffer, sizeof buffer);
    if (status == 0) uv_write(request, request->data, &bytes, 1, produce);
    else drop(request->data);
}

static void connected(uv_stream_t *listener, int status) {
    if (status) return;
    int tcp = listener->type == UV_TCP;
    uv_stream_t *stream = malloc(tcp ? sizeof(uv_tcp_t) : sizeof(uv_pipe_t));
    if (tcp) uv_tcp_init(listener->loop, (uv_tcp_t *)stream);
    else uv_pipe_init(listener->loop, (uv_pipe_t *)stream, 0);
    stream->data = NULL;
    if (uv_accept(listener, stream)) {
        drop(stream);
    } else if (mode == MODE_SOURCE) {
        uv_write_t *request = stream->data = malloc(sizeof *request);
        request->data = stream;
        produce(request, 0);
    } else {
        uv_read_start(stream, lend_buffer, received);
    }
}

int main(void) {
    mode = mode_from_environment();
    memset(buffer, 'x', sizeof buffer);
    uv_loop_t *loop = uv_default_loop();
    union stream listener;
    int fd = listen_from_environment();
    if (getenv("UNIX_PATH")) {
        uv_pipe_init(loop, &listener.pipe, 0);
        uv_pipe_open(&listener.pipe, fd);
    } else {
        uv_tcp_init(loop, &listener.tcp);
        uv_tcp_open(&listener.tcp, fd);
    }
    if (uv_listen(&listener.stream, 4096, connected)) return 1;
    return uv_run(loop, UV_RUN_DEFAULT);
}
