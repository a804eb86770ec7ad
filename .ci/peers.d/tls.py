"""The examples of fyke-tls together with other implementations of TLS, each as client and as server: openssl,
GnuTLS, Node, Python's ssl, and curl. Prints a line per check, and exits with the number of those that failed.
Usage: tls.py DIRECTORY-OF-EXAMPLES [MEGABYTES]"""
import contextlib, os, pathlib, re, socket, ssl, subprocess, sys, threading, time

from checks import check, run_all
from tls_tools import PATIENCE, certificates, digest, free_port, has, running, work

examples = pathlib.Path(os.path.abspath(sys.argv[1]))
megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 100


@contextlib.contextmanager
def server(*arguments, **more):
    with running(examples / 'tls_server', 0, 'server.pem', 'server.key', *arguments, **more) as one:
        one.port = int(one.wait_for(rb'listening on .*?(\d+)\s')[1])
        yield one


def client(port, *more, input=b'', host='localhost'):
    """Runs our client. Returns its status, what it received, and what it reports."""
    command = [examples / 'tls_client', f'{host}:{port}', 'ca.pem', *map(str, more)]
    try:
        done = subprocess.run(command, input=input, capture_output=True, cwd=work, timeout=PATIENCE)
    except subprocess.TimeoutExpired as late:
        return 'late', late.stdout, str(late.stderr)
    return done.returncode, done.stdout, done.stderr.decode().strip()


def run(*command, input=b''):
    done = subprocess.run([str(part) for part in command], input=input, capture_output=True, cwd=work,
                          timeout=PATIENCE)
    return done.stdout


def context_of_client(version=None, alpn=('echo',), certificate=False):
    context = ssl.create_default_context(cafile=str(work / 'ca.pem'))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if version:
        context.minimum_version = context.maximum_version = version
    if certificate:
        context.load_cert_chain(work / 'client.pem', work / 'client.key')
    return context


def receive(stream, count):
    data = bytearray()
    while len(data) < count and (more := stream.recv(1 << 16)):
        data += more
    return bytes(data)


VERSIONS = [('1.2', ssl.TLSVersion.TLSv1_2), ('1.3', ssl.TLSVersion.TLSv1_3)]


def python_clients():
    for label, version in VERSIONS:
        with server(work / 'ca.pem') as ours:
            context = context_of_client(version, certificate=True)
            session = None
            for attempt in range(2):
                with socket.create_connection(('127.0.0.1', ours.port)) as raw:
                    stream = context.wrap_socket(raw, server_hostname='localhost', session=session)
                    for size in [1, 16383, 16384, 16385, 100000]:
                        data = os.urandom(size)
                        stream.sendall(data)
                        check(f'Python client, TLS {label}: {size} bytes', digest(data), digest(receive(stream, size)))
                    session = stream.session
                    reused = stream.session_reused
                    stream.unwrap()
                check(f'Python client, TLS {label}: resumed', attempt == 1, reused)
                words = f'secure: TLSv{label} name=localhost protocol=echo resumed={str(attempt == 1).lower()} client=true'
                check(f'Python client, TLS {label}: what the server sees', True,
                      ours.wait_for(re.escape(words).encode()) is not None)
            with socket.create_connection(('127.0.0.1', ours.port)) as raw:
                stream = context.wrap_socket(raw, server_hostname='localhost')
                stream.sendall(b'x')
                receive(stream, 1)
                # Closes without close_notify.
                stream.close()
            check(f'Python client, TLS {label}: no close_notify is reported', True,
                  ours.wait_for(rb'failed: ERR_TLS_TRUNCATED') is not None)
            with socket.create_connection(('127.0.0.1', ours.port)) as raw, contextlib.suppress(ssl.SSLError):
                context_of_client(version, alpn=['other']).wrap_socket(raw, server_hostname='localhost')
            check(f'Python client, TLS {label}: no common protocol', True,
                  ours.wait_for(rb'refused: ERR_TLS_NO_APPLICATION_PROTOCOL') is not None)


def shared_ticket_keys():
    (work / 'tickets').write_bytes(os.urandom(48))
    (work / 'others').write_bytes(os.urandom(48))
    for label, version in VERSIONS:
        context, session, resumed = context_of_client(version), None, []
        for keys in ['tickets', 'tickets', 'others']:
            with server(work / 'ca.pem', work / keys) as ours:
                with socket.create_connection(('127.0.0.1', ours.port)) as raw:
                    stream = context.wrap_socket(raw, server_hostname='localhost', session=session)
                    # Tickets of TLS 1.3 come with the answer.
                    stream.sendall(b'x')
                    receive(stream, 1)
                    resumed.append(stream.session_reused)
                    session = stream.session
                    stream.unwrap()
        check(f'ticket keys, TLS {label}: a session continues on another server', [False, True, False], resumed)


def key_logs():
    for label, version in VERSIONS:
        logs = [work / f'{name}-{label}.keys' for name in ['ours', 'theirs']]
        with server(env={**os.environ, 'SSLKEYLOGFILE': str(logs[0])}) as ours:
            context = context_of_client(version)
            context.keylog_filename = str(logs[1])
            with socket.create_connection(('127.0.0.1', ours.port)) as raw:
                stream = context.wrap_socket(raw, server_hostname='localhost')
                stream.sendall(b'x')
                receive(stream, 1)
                stream.unwrap()
        secrets = [{line.lower() for line in log.read_text().splitlines() if not line.startswith('#')} for log in logs]
        check(f'key log, TLS {label}: the secrets that Python has, too', secrets[1], secrets[0])


def python_servers():
    for label, version in VERSIONS:
        for cut in [False, True]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(work / 'server.pem', work / 'server.key')
            context.load_verify_locations(work / 'ca.pem')
            context.verify_mode = ssl.CERT_REQUIRED
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(['echo'])
            seen = []
            context.sni_callback = lambda stream, name, _: seen.append(name)
            listener = socket.create_server(('127.0.0.1', 0))
            input = os.urandom(16385)

            def serve():
                for _ in range(1 if cut else 2):
                    raw, _ = listener.accept()
                    with context.wrap_socket(raw, server_side=True) as stream:
                        data = receive(stream, len(input))
                        stream.sendall(data)
                        seen.append(dict(part for rdn in stream.getpeercert()['subject'] for part in rdn)['commonName'])
                        # The close_notify of the client.
                        seen.append(stream.recv(1))
                        if not cut:
                            stream.unwrap()

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            port = listener.getsockname()[1]
            status, got, words = client(port, 1 if cut else 2, 'client.pem', 'client.key', input=input)
            thread.join(PATIENCE)
            if cut:
                check(f'Python server, TLS {label}: no close_notify is an error', (1, True),
                      (status, words.endswith('failed: ERR_TLS_TRUNCATED')))
            else:
                check(f'Python server, TLS {label}: all bytes, twice', digest(input * 2), digest(got))
                wanted = [f'secure: TLSv{label} protocol=echo resumed={word}' for word in ['false', 'true']]
                check(f'Python server, TLS {label}: the client resumes', wanted, words.splitlines())
                check(f'Python server, TLS {label}: name and certificate', ['localhost', 'client', b''] * 2, seen)


def openssl_clients():
    for label in ['1_2', '1_3']:
        with server(work / 'ca.pem') as ours:
            common = ['openssl', 's_client', '-connect', f'localhost:{ours.port}', '-CAfile', 'ca.pem', f'-tls{label}',
                      '-verify_return_error', '-alpn', 'echo', '-cert', 'client.pem', '-key', 'client.key',
                      '-servername', 'localhost']
            with running(*common, '-sess_out', 'session.pem') as theirs:
                theirs.write(b'first line\n')
                check(f'openssl s_client {label}: echo', True, theirs.wait_for(rb'first line') is not None)
                for count, command in enumerate([b'K\n', b'k\n', b'K\n'] if label == '1_3' else [], 1):
                    theirs.write(command)
                    # What is written before that belongs to the command.
                    theirs.wait_for(rb'(?s)(KEYUPDATE.*){%d}' % count)
                    theirs.write(b'after %d\n' % count)
                    check(f'openssl s_client: echo after key update {count}', True,
                          theirs.wait_for(b'after %d' % count) is not None)
                theirs.write(b'Q\n')
                theirs.process.wait(PATIENCE)
            out = run(*common, '-sess_in', 'session.pem', input=b'Q\n')
            check(f'openssl s_client {label}: resumed', True, b'Reused, TLS' in out)
            check(f'openssl s_client {label}: verified', True, b'Verify return code: 0 (ok)' in out)
            check(f'openssl s_client {label}: the server knows', True,
                  ours.wait_for(b'resumed=true client=true') is not None)


def openssl_servers():
    for label in ['1_2', '1_3']:
        port = free_port()
        with running('openssl', 's_server', '-accept', port, '-cert', 'server.pem', '-key', 'server.key',
                     f'-tls{label}', '-alpn', 'echo', '-CAfile', 'ca.pem', '-Verify', '2', '-rev') as theirs:
            theirs.wait_for(rb'ACCEPT')
            wanted = 'secure: TLSv' + label.replace('_', '.') + ' protocol=echo resumed='
            status, got, words = client(port, 1, 'client.pem', 'client.key', input=b'abcdef\n')
            check(f'openssl s_server {label}: answer', b'fedcba\n', got)
            check(f'openssl s_server {label}: what the client sees', True, words.startswith(wanted))


def gnutls():
    if not has('gnutls-cli') or not has('gnutls-serv'):
        return
    for label in ['1.2', '1.3']:
        priority = f'NORMAL:-VERS-ALL:+VERS-TLS{label}'
        with server(work / 'ca.pem') as ours:
            with running('gnutls-cli', '--x509cafile=ca.pem', f'--priority={priority}', '--alpn=echo', '--port', ours.port,
                         '--x509certfile=client.pem', '--x509keyfile=client.key', '--resume', '--waitresumption',
                         'localhost') as theirs:
                theirs.wait_for(rb'Resume Handshake was completed|This is a resumed session')
                theirs.write(b'from gnutls\n')
                check(f'gnutls-cli, TLS {label}: echo', True, theirs.wait_for(rb'from gnutls') is not None)
                check(f'gnutls-cli, TLS {label}: resumed', True, b'This is a resumed session' in theirs.output)
            check(f'gnutls-cli, TLS {label}: the server knows', True, ours.wait_for(b'resumed=true') is not None)
        port = free_port()
        with running('gnutls-serv', '--echo', '--port', port, '--x509certfile=server.pem', '--x509keyfile=server.key',
                     '--x509cafile=ca.pem', '--require-client-cert', '--verify-client-cert',
                     f'--priority={priority}', '--alpn=echo') as theirs:
            theirs.wait_for(rb'listening on.*done')
            status, got, words = client(port, 2, 'client.pem', 'client.key', input=b'to gnutls\n')
            check(f'gnutls-serv, TLS {label}: answers', b'to gnutls\n' * 2, got)
            wanted = [f'secure: TLSv{label} protocol=echo resumed={word}' for word in ['false', 'true']]
            check(f'gnutls-serv, TLS {label}: what the client sees', wanted,
                  [line for line in words.splitlines() if line.startswith('secure')])


NODE_CLIENT = '''
const tls = require('tls'), fs = require('fs'), crypto = require('crypto');
const [port, version, megabytes] = process.argv.slice(1);
const data = crypto.randomBytes(megabytes * 1e6);
const hash = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');
const options = { port, host: 'localhost', ca: fs.readFileSync('ca.pem'), ALPNProtocols: ['echo'],
    minVersion: version, maxVersion: version, cert: fs.readFileSync('client.pem'), key: fs.readFileSync('client.key') };
const socket = tls.connect(options, () => socket.end(data));
const got = [];
socket.on('data', (chunk) => got.push(chunk));
socket.on('end', () => console.log(socket.alpnProtocol, hash(Buffer.concat(got)) === hash(data)));
'''
NODE_SERVER = '''
const tls = require('tls'), fs = require('fs');
const [version] = process.argv.slice(1);
const options = { ca: fs.readFileSync('ca.pem'), ALPNProtocols: ['echo'], minVersion: version, maxVersion: version,
    cert: fs.readFileSync('server.pem'), key: fs.readFileSync('server.key'), requestCert: true, allowHalfOpen: true };
tls.createServer(options, (socket) => {
    console.log('authorized', socket.authorized, socket.servername);
    socket.pipe(socket);
}).listen(0, function () { console.log('listening on', this.address().port, ''); });
'''


def node():
    if not has('node'):
        return
    for label in ['1.2', '1.3']:
        with server(work / 'ca.pem') as ours:
            begun = time.monotonic()
            got = run('node', '-e', NODE_CLIENT, ours.port, f'TLSv{label}', megabytes)
            check(f'Node client, TLS {label}: {megabytes} MB after a half-close', b'echo true\n', got)
            print(f'        {time.monotonic() - begun:.1f} s')
        with running('node', '-e', NODE_SERVER, f'TLSv{label}') as theirs:
            port = int(theirs.wait_for(rb'listening on (\d+)')[1])
            input = os.urandom(1 << 20) * megabytes
            begun = time.monotonic()
            status, got, words = client(port, 1, 'client.pem', 'client.key', input=input)
            check(f'Node server, TLS {label}: {megabytes} MiB, half-closed', (0, digest(input)), (status, digest(got)))
            print(f'        {time.monotonic() - begun:.1f} s')
            status, got, words = client(port, 2, 'client.pem', 'client.key', input=b'hello')
            wanted = [f'secure: TLSv{label} protocol=echo resumed={word}' for word in ['false', 'true']]
            check(f'Node server, TLS {label}: the client resumes', wanted, words.splitlines())
            check(f'Node server, TLS {label}: certificate and name', True,
                  theirs.wait_for(b'authorized true localhost') is not None)


def curl():
    if not has('curl'):
        return
    with server() as ours:
        for label in ['1.2', '1.3']:
            got = run('curl', '-sS', '--http1.1', '--cacert', 'ca.pem', f'--tlsv{label}', '--tls-max', label,
                      f'https://localhost:{ours.port}/')
            check(f'curl, TLS {label}', b'hello over TLS\n', got)
        got = run('curl', '-sS', '-o', os.devnull, '-w', '%{ssl_verify_result} %{http_code}', '--http1.1',
                  f'https://localhost:{ours.port}/')
        check('curl does not trust an unknown authority', True, not got.endswith(b'200'))
        check('curl: the server reports the alert', True, ours.wait_for(b'refused: ERR_TLS_ALERT|failed: ERR_TLS') is not None)


run_all('tls', [certificates, python_clients, shared_ticket_keys, key_logs, python_servers, openssl_clients, openssl_servers, gnutls, node, curl], work)
