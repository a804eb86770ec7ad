"""What relaying costs: CPU time per GiB of `fyke relay`, socat and HAProxy in TCP mode, side by side on
one machine. One connection, one direction, between plain sockets of Python, so that only the relay
differs. Usage: relay.py PATH-OF-FYKE [GIB] [ROUNDS]"""
import os, pathlib, socket, statistics, subprocess, sys, tempfile, threading, time

fyke = os.path.abspath(sys.argv[1])
size = int(float(sys.argv[2] if len(sys.argv) > 2 else 4) * (1 << 30))
rounds = int(sys.argv[3] if len(sys.argv) > 3 else 5)
work = pathlib.Path(tempfile.mkdtemp())
piece = bytes(1 << 18)


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as server:
        return server.getsockname()[1]


def haproxy(port, target, splice):
    config = work / 'haproxy.cfg'
    option = 'option splice-auto' if splice else 'no option splice-auto'
    config.write_text(f'''
global
    nbthread 1
defaults
    mode tcp
    {option}
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen relay
    bind 127.0.0.1:{port}
    server target 127.0.0.1:{target}
''')
    return ['haproxy', '-f', str(config), '-db', '-q']


relays = {
    'fyke relay': lambda port, target: [fyke, 'relay', '-q', f'127.0.0.1:{port}', f'127.0.0.1:{target}'],
    'socat': lambda port, target: ['socat', f'TCP-LISTEN:{port},bind=127.0.0.1', f'TCP:127.0.0.1:{target}'],
    'socat -b 65536': lambda port, target: ['socat', '-b', '65536', f'TCP-LISTEN:{port},bind=127.0.0.1', f'TCP:127.0.0.1:{target}'],
    'haproxy': lambda port, target: haproxy(port, target, False),
    'haproxy, splice-auto': lambda port, target: haproxy(port, target, True),
}


def cpu_seconds(pid):
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def sink(server, done):
    stream, _ = server.accept()
    got, buffer = 0, bytearray(1 << 20)
    while count := stream.recv_into(buffer):
        got += count
    done.append(got)
    stream.close()


def once(command_of):
    server = socket.create_server(('127.0.0.1', 0))
    done, port = [], free_port()
    reader = threading.Thread(target=sink, args=(server, done))
    relay = subprocess.Popen(command_of(port, server.getsockname()[1]), stderr=subprocess.DEVNULL)
    reader.start()
    while True:
        try:
            stream = socket.create_connection(('127.0.0.1', port))
            break
        except OSError:
            time.sleep(0.02)
    begin, start = cpu_seconds(relay.pid), time.monotonic()
    for _ in range(size // len(piece)):
        stream.sendall(piece)
    # Before the end: socat exits with it, and its time with it.
    time.sleep(0.2)
    cpu, took = cpu_seconds(relay.pid) - begin, time.monotonic() - start - 0.2
    stream.close()
    reader.join()
    relay.terminate(), relay.wait(), server.close()
    assert done == [size], done
    return cpu / (size / (1 << 30)), size / (1 << 30) / took


results = {name: [] for name in relays}
for number in range(rounds):
    for name, command_of in relays.items():
        results[name].append(once(command_of))
best = min(statistics.median(cpu for cpu, _ in each) for name, each in results.items() if name != 'fyke relay')
print(f'{"":22}{"CPU s/GiB":>12}{"GiB/s":>8}   median of {rounds}, {size / (1 << 30):g} GiB each')
for name, each in results.items():
    cpu, speed = (statistics.median(column) for column in zip(*each))
    print(f'{name:22}{cpu:12.3f}{speed:8.2f}   {cpu / best:.2f} of the best other')
