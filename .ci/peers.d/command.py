"""The command together with common tools: nc, ncat, socat, curl, openssl, HAProxy, Node, Redis
and PostgreSQL. Prints a line per check, and exits with the number of those that failed.
Usage: command.py PATH-OF-FYKE"""
import contextlib, hashlib, json, os, pathlib, re, shutil, signal, socket, subprocess, sys, tempfile
import time

from checks import check, run_all

fyke = os.path.abspath(sys.argv[1])
here = pathlib.Path(__file__).parent
work = pathlib.Path(tempfile.mkdtemp(prefix='fyke-peers-'))
os.chmod(work, 0o755)
PATIENCE = 60


def run(*command, input=b'', **more):
    """Runs a command that ends by itself. Returns its status and standard output."""
    try:
        done = subprocess.run(command, input=input, stdout=subprocess.PIPE, timeout=PATIENCE, **more)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        return 'too late', late.stdout


@contextlib.contextmanager
def running(*command, **more):
    """A command that runs in the background. It is killed if SIGTERM does not end it."""
    process = subprocess.Popen(command, **{'stdin': subprocess.DEVNULL, **more})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextlib.contextmanager
def listening(*arguments):
    """A `fyke` command that is listening, its endpoint, and the lines of its log so far."""
    log = tempfile.NamedTemporaryFile(dir=work)
    with running(fyke, *arguments, '-v', stderr=log, stdout=subprocess.DEVNULL) as process:
        said = lambda: pathlib.Path(log.name).read_text()
        wait_for(lambda: 'listening on ' in said() or process.poll() is not None)
        endpoint = re.search('listening on (.*)', said())[1]
        yield endpoint, said, process


def wait_for(condition):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() < start + PATIENCE, 'waited too long'
        time.sleep(0.02)


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as server:
        return server.getsockname()[1]


def is_open(port):
    with contextlib.suppress(OSError):
        socket.create_connection(('127.0.0.1', port), 1).close()
        return True


def port_of(endpoint):
    return endpoint.rsplit(':', 1)[1]


def digest(data):
    return hashlib.sha256(data or b'').hexdigest()[:16]


def end_of_file():
    """Each tool at each end, with each side ending first."""
    data = os.urandom(5_000_000)
    dial = ['--retry', '200', '--retry-max-delay', '50ms']
    path, got = str(work / 'socat-1'), work / 'socat-got'
    with running('socat', '-t', '60', f'UNIX-LISTEN:{path}', f'SYSTEM:cat > {got}; echo answer'):
        answer = run(fyke, 'connect', *dial, path, input=data)
        check('fyke connect ends first, socat answers after that', (0, b'answer\n'), answer)
        check('socat has all of it', digest(data), digest(got.read_bytes()))
    # These two tools exit when the peer has ended, even if their standard input is open.
    for tool, listen in [('nc', ['nc', '-N', '-lU']), ('ncat', ['ncat', '-lU'])]:
        path, got = str(work / f'{tool}-1'), work / f'{tool}-got'
        with running(*listen, path, stdin=subprocess.PIPE, stdout=open(got, 'wb')) as peer:
            client = subprocess.Popen([fyke, 'connect', *dial, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            peer.stdin.write(b'hello'), peer.stdin.flush()
            hello = client.stdout.read(5)
            client.stdin.write(data), client.stdin.close()
            check(f'fyke connect ends first, with {tool}', (0, b'hello'), (client.wait(PATIENCE), hello))
            peer.wait(PATIENCE)
            check(f'{tool} has all of it', digest(data), digest(got.read_bytes()))
    for tool, listen in [('nc', ['nc', '-N', '-lU']), ('ncat', ['ncat', '-lU']), ('socat', None)]:
        path = str(work / f'{tool}-2')
        command = [*listen, path] if listen else ['socat', '-t', '60', '-', f'UNIX-LISTEN:{path}']
        with running(*command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as peer:
            client = subprocess.Popen([fyke, 'connect', *dial, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            peer.stdin.write(b'bye'), peer.stdin.close()
            # The standard input of `fyke` stays open.
            check(f'{tool} ends first, fyke connect exits', (0, b'bye'), (client.wait(PATIENCE), client.stdout.read()))
    clients = {
        'nc': lambda port: ['nc', '-N', '127.0.0.1', port],
        'ncat': lambda port: ['ncat', '127.0.0.1', port],
        'socat': lambda port: ['socat', '-t', '60', '-', f'TCP:127.0.0.1:{port}'],
    }
    for tool, client in clients.items():
        got = work / f'{tool}-from-client'
        with listening('listen', '--exec', f"sh -c 'cat > {got}; echo answer'", '127.0.0.1:0') as (at, _, _):
            answer = run(*client(port_of(at)), input=data)
            check(f'{tool} ends first, fyke listen answers after that', b'answer\n', answer[1])
            check(f'fyke listen has all of it from {tool}', digest(data), digest(got.read_bytes()))
        with listening('listen', '--exec', 'printf bye', '127.0.0.1:0') as (at, _, _):
            process = subprocess.Popen(client(port_of(at)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            bye = process.stdout.read(3)
            process.stdin.close()
            check(f'fyke listen ends first, {tool} has all of it', b'bye', bye)
            process.wait(PATIENCE)


def a_large_file_to_a_slow_reader():
    data = work / 'large'
    with open(data, 'wb') as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
    wanted = digest(data.read_bytes())
    path = str(work / 'large.sock')
    with running(fyke, 'listen', '--once', path, stdout=subprocess.PIPE) as server, \
            running(sys.executable, here / 'slow_reader.py', stdin=server.stdout, stdout=subprocess.PIPE) as reader:
        server.stdout.close()
        sent = subprocess.run([fyke, 'connect', '--retry', '100', path], stdin=open(data), timeout=PATIENCE)
        check('100 MiB through fyke connect and fyke listen to a slow reader', (0, wanted), (sent.returncode, reader.stdout.read().decode().strip()))
    data.unlink()


def http_and_tls():
    port = free_port()
    page = os.urandom(3_000_000)
    (work / 'www').mkdir()
    (work / 'www' / 'page').write_bytes(page)
    with running(sys.executable, '-m', 'http.server', str(port), '--bind', '127.0.0.1', '-d', work / 'www', stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL):
        wait_for(lambda: is_open(port))
        with listening('relay', '127.0.0.1:0', f'127.0.0.1:{port}') as (at, said, _):
            status, got = run('curl', '-s', '--max-time', '30', f'http://{at}/page')
            check('curl through a relay', (0, digest(page)), (status, digest(got)))
    key = ['-keyout', work / 'key', '-out', work / 'certificate']
    run('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-days', '2', *key, stderr=subprocess.DEVNULL)
    with running('openssl', 's_server', '-accept', f'127.0.0.1:{port}', '-cert', work / 'certificate', '-key', work / 'key', '-rev', '-quiet', stderr=subprocess.DEVNULL):
        wait_for(lambda: is_open(port))
        with listening('relay', '127.0.0.1:0', f'127.0.0.1:{port}', '--slice', '1..100') as (at, _, _):
            # With -rev the server answers each line with its reverse; CLOSE ends the connection.
            client = run('openssl', 's_client', '-connect', at, '-quiet', '-CAfile', work / 'certificate', '-verify_return_error', input=b'hello over TLS\nCLOSE\n', stderr=subprocess.DEVNULL)
            check('openssl s_client through a relay that slices', b'SLT revo olleh\n', client[1][:15])


def certificate_of(name):
    """Makes a certificate. Returns its file and the file of its key."""
    certificate, key = work / f'{name}.certificate', work / f'{name}.key'
    subject = ['-subj', f'/CN={name}', '-addext', f'subjectAltName=DNS:{name}']
    run('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', *subject, '-days', '2', '-keyout', key, '-out', certificate, stderr=subprocess.DEVNULL)
    return certificate, key


def tls_routes():
    """curl and openssl s_client accept only the certificate of the server that they mean."""
    ports = {'a.example': free_port(), 'b.example': free_port()}
    with contextlib.ExitStack() as stack:
        certificates = {}
        for name, port in ports.items():
            certificates[name], key = certificate_of(name)
            # With -www the server answers requests with a page about the connection.
            stack.enter_context(running('openssl', 's_server', '-accept', f'127.0.0.1:{port}', '-cert', certificates[name], '-key', key, '-www', '-quiet', stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            wait_for(lambda: is_open(port))
        routes = [f'--route=sni={name}:127.0.0.1:{port}' for name, port in ports.items()]
        at, said, _ = stack.enter_context(listening('relay', '127.0.0.1:0', *routes))
        curl = lambda name, ca: run('curl', '-s', '--max-time', '30', '--cacert', certificates[ca], '--connect-to', f'::{at}', f'https://{name}/')
        for name in ports:
            status, page = curl(name, name)
            check(f'curl through a relay with routes, {name}', (0, True), (status, b'Cipher' in page))
        check('curl: another server is detected', 60, curl('a.example', 'b.example')[0])
        check('curl gets an alert if there is no route', 35, curl('c.example', 'a.example')[0])
        check('the relay logs the name', True, 'no route for the server name "c.example"' in said())
        for version in ['-tls1_2', '-tls1_3']:
            verify = ['-verify_return_error', '-verify_hostname', 'b.example', '-CAfile', certificates['b.example']]
            client = run('openssl', 's_client', '-connect', at, '-servername', 'B.Example', version, '-brief', *verify, stderr=subprocess.DEVNULL)
            check(f'openssl s_client through a relay with routes, {version}', 0, client[0])


HAPROXY = '''
global
    log stderr format raw local0 err
defaults
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend takes_headers
    mode http
    bind 127.0.0.1:{accepts} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src]"
listen sends_v1
    mode tcp
    bind 127.0.0.1:{sends_v1}
    server relay {relay} send-proxy
listen sends_v2
    mode tcp
    bind 127.0.0.1:{sends_v2}
    server relay {relay} send-proxy-v2
'''


def proxy_protocol():
    accepts, v1, v2 = free_port(), free_port(), free_port()
    with listening('listen', '--echo', '127.0.0.1:0') as (echo, _, _), \
            listening('relay', '127.0.0.1:0', echo, '--proxy-in', '127.0.0.1') as (relay, said, _):
        config = work / 'haproxy.cfg'
        config.write_text(HAPROXY.format(accepts=accepts, sends_v1=v1, sends_v2=v2, relay=relay))
        with running('haproxy', '-f', config, '-db', '-q'):
            wait_for(lambda: is_open(v2))
            for version in ['v1', 'v2']:
                with listening('relay', '127.0.0.1:0', f'127.0.0.1:{accepts}', '--proxy-out', version) as (at, _, _):
                    # Connects from an address that no other client uses.
                    got = run('curl', '-s', '--max-time', '30', '--interface', '127.0.0.77', f'http://{at}/')
                    check(f'HAProxy reads our header, {version}', (0, b'127.0.0.77'), got)
            for version, port in [('v1', v1), ('v2', v2)]:
                got = run(fyke, 'connect', '--source', '127.0.0.88', f'127.0.0.1:{port}', input=b'hello')
                check(f'we read the header of HAProxy, {version}: the data', (0, b'hello'), got)
                seen = len(re.findall(r'client \d+ has the address 127\.0\.0\.88:', said()))
                check(f'we read the header of HAProxy, {version}: the client', ['v1', 'v2'].index(version) + 1, seen)


def node():
    port = None
    with running('node', here / 'server.js', '0', stdout=subprocess.PIPE) as server:
        port = re.search(rb':(\d+)', server.stdout.readline())[1].decode()
        with listening('relay', '127.0.0.1:0', f'127.0.0.1:{port}') as (at, _, _):
            talk = run('node', here / 'client.js', port_of(at))
            wanted = b'connected to server!\nhello client\ndisconnected from server\n'
            check('Node to Node through a relay', (0, wanted), talk)


def redis():
    path = work / 'redis.sock'
    server = ['redis-server', '--port', '0', '--unixsocket', path, '--save', '', '--dir', work, '--logfile', work / 'redis.log']
    with running(*server):
        wait_for(path.exists)
        with listening('relay', '127.0.0.1:0', str(path)) as (at, _, process):
            cli = ['redis-cli', '-p', port_of(at)]
            check('redis-cli through a relay to a Unix socket', (0, b'OK\n'), run(*cli, 'set', 'fish', 'fyke'))
            check('redis-cli reads it', (0, b'fyke\n'), run(*cli, 'get', 'fish'))
            script = b'set a b\nget a\ndel a\n'
            check('redis-cli from standard input', (0, b'OK\nb\n1\n'), run(*cli, input=script))
        record = work / 'redis.jsonl'
        with listening('relay', '127.0.0.1:0', str(path), '--record', str(record)) as (at, _, process):
            # redis-cli is not used here: it requests a list of commands first, and Redis does not always
            # return the list in the same order.
            with socket.create_connection(('127.0.0.1', int(port_of(at))), PATIENCE) as client:
                client.sendall(b'set a b\r\nget a\r\ndel a\r\nquit\r\n')
                answers = client.makefile('rb').read()
            check('a Redis session through a relay', b'+OK\r\n$1\r\nb\r\n:1\r\n+OK\r\n', answers)
            process.terminate()
            process.wait(PATIENCE)
        again = run(fyke, 'replay', str(record), str(path), '--speed', '0')
        check('a recorded Redis session, replayed', 0, again[0])
        with listening('relay', '127.0.0.1:0', str(path)) as (at, _, _):
            bench = ['redis-benchmark', '-p', port_of(at), '-n', '20000', '-c', '50', '-q', '-t', 'set,get', '-P', '8']
            status, text = run(*bench, stderr=subprocess.DEVNULL)
            check('redis-benchmark through a relay', (0, 2), (status, text.count(b'requests per second')))


def a_target_that_dies_and_returns():
    one, two = free_port(), free_port()
    with listening('listen', '--echo', f'127.0.0.1:{one}') as (_, _, first), \
            listening('listen', '--echo', f'127.0.0.1:{two}') as (second, _, _), \
            listening('relay', '127.0.0.1:0', f'127.0.0.1:{one}', second, '--backoff-max', '200ms') as (at, said, _):
        load = subprocess.Popen([fyke, 'load', at, '--connect-rate', '300', '-d', '4s', '--json'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        time.sleep(1)
        first.terminate()
        first.wait(PATIENCE)
        time.sleep(1)
        with listening('listen', '--echo', f'127.0.0.1:{one}') as (_, returned, _):
            told = json.loads(load.communicate(timeout=PATIENCE)[0])
            check('a target dies under load: hardly any request fails', True, told['requests'] >= 1190)
            check('it returns, and gets connections again', True, 'client 1 connected' in returned())


def postgres():
    tools = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin'))
    place = (str(tools[-1]) + '/') if tools else ''
    data, port = work / 'postgres', free_port()
    data.mkdir()
    as_user = []
    if os.getuid() == 0:
        shutil.chown(data, 'postgres')
        as_user = ['runuser', '-u', 'postgres', '--']
    quiet = {'stderr': subprocess.DEVNULL, 'cwd': '/'}
    run(*as_user, f'{place}initdb', '-D', data, '-A', 'trust', **quiet)
    server = [*as_user, f'{place}postgres', '-D', data, '-p', str(port), '-k', data, '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off']
    with running(*server, **quiet):
        with listening('relay', '127.0.0.1:0', f'127.0.0.1:{port}') as (at, said, _):
            psql = ['psql', '-h', '127.0.0.1', '-p', port_of(at), '-U', 'postgres', '-Atq']
            wait_for(lambda: run(*psql, '-c', 'select 1', **quiet)[0] == 0)
            many = 'select sum(n), count(*) from generate_series(1, 100000) n'
            check('psql through a relay', (0, b'5000050000|100000\n'), run(*psql, '-c', many, **quiet))
            copied = b''.join(b'%d\tfish\n' % n for n in range(50000))
            run(*psql, '-c', 'create table t (n int, f text)', **quiet)
            check('psql copies in', 0, run(*psql, '-c', '\\copy t from stdin', input=copied, **quiet)[0])
            check('psql copies out', digest(copied), digest(run(*psql, '-c', '\\copy t to stdout', **quiet)[1]))
            bench = [*as_user, f'{place}pgbench', '-h', '127.0.0.1', '-p', port_of(at), '-U', 'postgres']
            run(*bench, '-i', '-q', 'postgres', **quiet)
            status, text = run(*bench, '-c', '8', '-t', '50', '-C', 'postgres', **quiet)
            check('pgbench, a connection for each transaction', (0, True), (status, b'actually processed: 400/400' in text))


run_all('command', [end_of_file, a_large_file_to_a_slow_reader, http_and_tls, tls_routes, proxy_protocol, node, redis, a_target_that_dies_and_returns, postgres], work)
