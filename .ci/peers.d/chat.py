"""examples/chat with hostile members: one that never reads, one that floods, one that resets."""
import socket, struct, sys, threading

address = ('127.0.0.1', int(sys.argv[1]))
pid = int(sys.argv[2])


def memory_kib():
    with open(f'/proc/{pid}/statm') as statm:
        return int(statm.read().split()[1]) * 4


def connect():
    stream = socket.create_connection(address)
    stream.settimeout(60)
    return stream


quiet, mute, flooder = connect(), connect(), connect()
for _ in range(200):
    rude = connect()
    rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    rude.send(b'gone')
    rude.close()

size = 50 << 20


def flood():
    for _ in range(size >> 16):
        flooder.sendall(b'x' * (1 << 16))


threading.Thread(target=flood, daemon=True).start()
count, peak = 0, 0
while count < size:
    data = quiet.recv(1 << 20)
    assert data, 'the chat closed the member that reads'
    count += data.count(b'x')
    peak = max(peak, memory_kib())
assert peak < 32 * 1024, f'the chat took {peak} KiB'
print(f'chat: {count >> 20} MiB through, at most {peak} KiB')
