// Deno.listen: a promise and a buffer for each connection.
const mode = Deno.env.get('MODE') ?? 'echo';
const path = Deno.env.get('UNIX_PATH');
const listener = path
  ? Deno.listen({ transport: 'unix', path })
  : Deno.listen({ hostname: '127.0.0.1', port: Number(Deno.env.get('PORT')), tcpBacklog: 4096 });

async function writeAll(connection, bytes) {
  for (let sent = 0; sent < bytes.length;) {
    sent += await connection.write(bytes.subarray(sent));
  }
}

async function serve(connection) {
  const buffer = new Uint8Array(mode === 'echo' ? 8192 : 65536).fill(120);
  try {
    while (mode === 'source') await writeAll(connection, buffer);
    for (;;) {
      const length = await connection.read(buffer);
      if (length === null) break;
      if (mode === 'echo') await writeAll(connection, buffer.subarray(0, length));
    }
  } catch {
    // The peer has closed the connection.
  }
  try {
    connection.close();
  } catch {
    // It was closed already.
  }
}

for await (const connection of listener) {
  connection.setNoDelay?.(true);
  serve(connection);
}
