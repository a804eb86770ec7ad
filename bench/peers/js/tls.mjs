// Node's `tls` as people use it: echoes, or only receives. CERT and KEY are files in PEM.
import fs from 'node:fs';
import tls from 'node:tls';

const echoes = process.env.MODE !== 'sink';
const options = { cert: fs.readFileSync(process.env.CERT), key: fs.readFileSync(process.env.KEY), noDelay: true };
const server = tls.createServer(options, (socket) => {
  socket.on('error', () => {});
  if (echoes) socket.pipe(socket);
  else socket.on('data', () => {});
});
server.listen(Number(process.env.PORT), '127.0.0.1');
