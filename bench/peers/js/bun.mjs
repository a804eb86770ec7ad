// Bun.listen: Bun's own sockets, whose write returns how many bytes were accepted.
const { MODE: mode = 'echo', PORT, UNIX_PATH } = process.env;
const chunk = Buffer.alloc(65536, 'x');

function send(socket) {
  while (socket.write(chunk) === chunk.length);
}

function flush(socket) {
  const unsent = socket.data;
  while (unsent.length > 0) {
    const length = Math.max(socket.write(unsent[0]), 0);
    if (length < unsent[0].length) {
      unsent[0] = unsent[0].subarray(length);
      return;
    }
    unsent.shift();
  }
}

function echo(socket, data) {
  const length = socket.data?.length ? 0 : Math.max(socket.write(data), 0);
  // Received data is valid only during the call, so it is copied to be kept.
  if (length < data.length) (socket.data ??= []).push(Buffer.from(data.subarray(length)));
}

Bun.listen({
  ...(UNIX_PATH ? { unix: UNIX_PATH } : { hostname: '127.0.0.1', port: Number(PORT) }),
  socket: {
    open(socket) {
      socket.data = null;
      if (mode === 'source') send(socket);
    },
    data(socket, data) {
      if (mode === 'echo') echo(socket, data);
    },
    drain(socket) {
      if (mode === 'source') send(socket);
      else if (socket.data) flush(socket);
    },
    error() {},
    close() {},
  },
});
