// node:net in the usual style, with the same idle timeout as fyke's server.
import net from 'node:net';
import { performance } from 'node:perf_hooks';

const { MODE: mode = 'echo', PORT, UNIX_PATH, TIMER } = process.env;
const chunk = Buffer.alloc(65536, 'x');

const serve = {
  echo(socket) {
    socket.on('data', (data) => {
      if (!socket.write(data)) {
        socket.pause();
        socket.once('drain', () => socket.resume());
      }
    });
  },
  sink(socket) {
    socket.on('data', () => {});
  },
  // The first byte selects: bulk to receive, or messages to echo.
  mixed(socket) {
    let bulk;
    socket.on('data', (data) => {
      bulk ??= data[0] === 'n'.charCodeAt(0);
      if (!bulk) socket.write(data);
    });
  },
  source(socket) {
    const send = () => { while (!socket.destroyed && socket.write(chunk)); };
    socket.on('data', () => {});
    socket.on('drain', send);
    send();
  },
}[mode];

const server = net.createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => {});
  socket.setTimeout(60_000, () => socket.destroy());
  serve(socket);
});
if (UNIX_PATH) server.listen({ path: UNIX_PATH, backlog: 4096 });
else server.listen({ host: '127.0.0.1', port: Number(PORT), backlog: 4096 });

if (TIMER) {
  let latest = 0;
  const arm = () => {
    const due = performance.now() + 20;
    setTimeout(() => {
      latest = Math.max(latest, performance.now() - due);
      arm();
    }, 20);
  };
  arm();
  setInterval(() => {
    console.log(`late ${Math.round(latest * 1000)}`);
    latest = 0;
  }, 1000);
}
