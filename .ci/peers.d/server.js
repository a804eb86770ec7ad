// The server of the conversation, as a Node user would write it.
const net = require('net');

const server = net.createServer((socket) => {
  console.log('client connected');
  socket.on('data', (data) => console.log(`client sent: ${data}`));
  socket.on('end', () => console.log('client disconnected'));
  socket.write('hello client');
});
server.listen(Number(process.argv[2]) || 8888, '127.0.0.1', () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
