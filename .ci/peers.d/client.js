// The client of the conversation, as a Node user would write it.
const net = require('net');

const client = net.createConnection({ host: '127.0.0.1', port: Number(process.argv[2]) || 8888 }, () => {
  console.log('connected to server!');
  client.write('hello server!\r\n');
});
client.on('data', (data) => {
  console.log(data.toString());
  client.end();
});
client.on('end', () => console.log('disconnected from server'));
