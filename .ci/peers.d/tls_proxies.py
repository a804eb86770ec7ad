"""The command together with nginx and HAProxy over TLS, each as client and as server, and behind routes. Prints a line
per check, and exits with the number of those that failed. Usage: tls_proxies.py PATH-OF-FYKE"""
import contextlib, http.client, json, os, pathlib, socket, subprocess, sys, threading

from checks import check, run_all
from tls_tools import PATIENCE, certificates, digest, has, running, work

fyke = os.path.abspath(sys.argv[1])
LARGE = os.urandom(1 << 20) * 30
VERSIONS = ['1.2', '1.3']
STREAM_MODULE = pathlib.Path('/usr/lib/nginx/modules/ngx_stream_module.so')


def prepare():
    """Certificates, a large file, and a folder that an unprivileged user can use."""
    certificates()
    for name in ['server', 'one', 'two', 'client']:
        (work / f'{name}.both').write_text((work / f'{name}.pem').read_text() + (work / f'{name}.key').read_text())
    (work / 'www').mkdir()
    (work / 'www/large').write_bytes(LARGE)
    (work / 'www/small').write_bytes(b'small\n')
    if os.geteuid() == 0:
        for path in [work, *work.rglob('*')]:
            os.chown(path, NOBODY['user'], NOBODY['group'])


# Servers are not started as root.
NOBODY = {'user': 65534, 'group': 65534, 'extra_groups': []} if os.geteuid() == 0 else {}


def listeners(count):
    """Sockets that the kernel has chosen ports for. A server inherits them, so that no port is taken meanwhile."""
    made = [socket.create_server(('127.0.0.1', 0), backlog=512) for _ in range(count)]
    return made, [one.getsockname()[1] for one in made]


@contextlib.contextmanager
def nginx(sockets, http='', stream=''):
    """nginx with these inherited sockets. Its log is in the output."""
    module = f'load_module {STREAM_MODULE};' if stream else ''
    paths = ''.join(f'{name}_temp_path {work}/temp-{name};' for name in
                    ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'])
    config = work / f'nginx-{sockets[0].fileno()}.conf'
    config.write_text(f'''
        {module}
        daemon off; worker_processes 1; pid {work}/nginx-{sockets[0].fileno()}.pid; error_log stderr notice;
        events {{ worker_connections 400; }}
        http {{ access_log off; root {work}/www; {paths} {http} }}
        {f'stream {{ {stream} }}' if stream else ''}
    ''')
    numbers = [one.fileno() for one in sockets]
    environment = {**os.environ, 'NGINX': ''.join(f'{number};' for number in numbers)}
    with running('nginx', '-p', work, '-e', 'stderr', '-c', config, pass_fds=numbers, env=environment, **NOBODY) as one:
        if one.wait_for(rb'start worker process \d+') is None:
            raise RuntimeError(one.output.decode())
        try:
            yield one
        finally:
            # The master ends its worker.
            one.process.terminate()
            one.process.wait(PATIENCE)


@contextlib.contextmanager
def haproxy(sockets, config):
    path = work / f'haproxy-{sockets[0].fileno()}.cfg'
    path.write_text(f'''global
    log stderr format raw daemon
defaults
    log global
    mode tcp
    timeout connect 20s
    timeout client 60s
    timeout server 60s
{config}
''')
    numbers = [one.fileno() for one in sockets]
    with running('haproxy', '-f', path, pass_fds=numbers, **NOBODY) as one:
        # The sockets listen already, and connections wait until HAProxy has read its configuration.
        yield one


@contextlib.contextmanager
def ours(*arguments):
    """A command of ours that listens. `port` is the port."""
    with running(fyke, *arguments, '-v') as one:
        found = one.wait_for(rb'listening on 127\.0\.0\.1:(\d+)')
        if found is None:
            raise RuntimeError(one.output.decode())
        one.port = int(found[1])
        yield one


def connect(port, *more, input=b'', trusted='ca.pem', host='localhost'):
    """Runs `fyke connect --tls`. Returns its status, what it received, and its log."""
    command = [fyke, 'connect', '--tls', '--ca', trusted, '-v', '--on-eof', 'keep', *more, f'{host}:{port}']
    done = subprocess.run(command, input=input, capture_output=True, cwd=work, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr.decode()


def request(path, host='localhost'):
    return f'GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n'.encode()


def body(answer):
    return answer.partition(b'\r\n\r\n')[2]


def negotiated(log):
    """The line of `-v` about the session."""
    return next((line.removeprefix('fyke: ') for line in log.splitlines() if line.startswith('fyke: TLSv')), log)


def load(port, *more):
    """Runs `fyke load --tls`. Returns its status and its result."""
    command = [fyke, 'load', '--tls', '--ca', 'ca.pem', '--json', '--verify', *more, f'localhost:{port}']
    done = subprocess.run(command, capture_output=True, cwd=work, timeout=PATIENCE)
    return done.returncode, json.loads(done.stdout or b'{}'), done.stderr.decode()


def nginx_serves():
    """nginx as the server of `connect`, for each version, with a client certificate, and without close_notify."""
    sockets, (tls12, tls13, closes, plain) = listeners(4)
    common = 'ssl_certificate server.pem; ssl_certificate_key server.key; server_name localhost;'
    optional = 'ssl_verify_client optional; ssl_client_certificate ca.pem;'
    who = 'location /who { return 200 "$ssl_protocol $ssl_server_name $ssl_client_s_dn\\n"; }'
    http = f'''
        server {{ listen 127.0.0.1:{tls12} ssl http2; ssl_protocols TLSv1.2; {common} {optional} {who} }}
        server {{ listen 127.0.0.1:{tls13} ssl http2; ssl_protocols TLSv1.3; {common} {optional} {who} }}
        server {{ listen 127.0.0.1:{closes} ssl; client_header_timeout 200ms; {common} }}
        server {{ listen 127.0.0.1:{plain}; }}
    '''
    with nginx(sockets, http):
        for label, port in zip(VERSIONS, [tls12, tls13]):
            status, got, log = connect(port, '--alpn', 'http/1.1', input=request('/large'))
            check(f'nginx server, TLS {label}: 30 MiB', (0, digest(LARGE)), (status, digest(body(got))))
            wanted = (f'TLSv{label}', 'ALPN http/1.1', 'name localhost', 'new session')
            check(f'nginx server, TLS {label}: what we negotiate', wanted,
                  tuple(part for part in negotiated(log).split(', ') if part != 'TLS13_AES_256_GCM_SHA384' and
                        not part.startswith('TLS_')))
            # A server of HTTP/2 waits for its client.
            status, got, log = connect(port, '--alpn', 'h2,http/1.1', '--idle-timeout', '100ms')
            check(f'nginx server, TLS {label}: it prefers h2', True, ', ALPN h2, ' in log)
            status, got, log = connect(port, '--client-cert', 'client.pem', '--client-key', 'client.key',
                                       input=request('/who'))
            check(f'nginx server, TLS {label}: our certificate', (0, f'TLSv{label} localhost CN=client\n'),
                  (status, body(got).decode()))
        # nginx closes a connection that is late without close_notify.
        status, got, log = connect(closes, input=b'GET / HTTP/1.1\r\n')
        check('nginx server, no close_notify after a timeout', (5, True), (status, 'ERR_TLS_TRUNCATED' in log))
        status, got, log = connect(tls13, '--sni', 'wrong.example')
        check('nginx server, a wrong name', (3, True), (status, 'ERR_TLS_CERT_ALTNAME_INVALID' in log))
        status, got, log = connect(tls13, trusted='one.pem')
        check('nginx server, an unknown authority', (3, True), (status, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' in log))
        status, got, log = connect(plain)
        check('nginx server, plain text', (3, True), (status, 'ERR_TLS_NOT_TLS' in log))


def nginx_streams():
    """nginx's stream module in both roles, and `load` with sessions that are resumed."""
    if not STREAM_MODULE.exists():
        print(f'skipped: there is no {STREAM_MODULE}', flush=True)
        return
    for label in VERSIONS:
        sockets, (terminates, originates, wrong) = listeners(3)
        with ours('listen', '--echo', '127.0.0.1:0') as plain, \
                ours('listen', '--echo', '--tls', '--cert', work / 'server.pem', '--key', work / 'server.key',
                     '--client-ca', work / 'ca.pem', '127.0.0.1:0') as secure:
            ssl = f'proxy_ssl on; proxy_ssl_protocols TLSv{label}; proxy_ssl_verify on; ' \
                  'proxy_ssl_trusted_certificate ca.pem; proxy_ssl_server_name on; ' \
                  'proxy_ssl_certificate client.pem; proxy_ssl_certificate_key client.key;'
            stream = f'''
                log_format tls '$ssl_protocol reused=$ssl_session_reused end';
                ssl_certificate server.pem; ssl_certificate_key server.key; ssl_protocols TLSv{label};
                ssl_session_cache shared:sessions:1m;
                server {{ listen 127.0.0.1:{terminates} ssl; access_log stderr.log tls; proxy_pass 127.0.0.1:{plain.port}; }}
                server {{ listen 127.0.0.1:{originates}; proxy_pass 127.0.0.1:{secure.port}; {ssl} proxy_ssl_name localhost; }}
                server {{ listen 127.0.0.1:{wrong}; proxy_pass 127.0.0.1:{secure.port}; {ssl} proxy_ssl_name wrong.example; }}
            '''
            log = work / 'stderr.log'
            log.unlink(missing_ok=True)
            with nginx(sockets, stream=stream):
                status, result, errors = load(terminates, '-c', '20', '-n', '2000', '--size', '20k')
                check(f'nginx stream server, TLS {label}: load', (0, 2000, ''),
                      (status, result.get('requests'), errors))
                status, result, errors = load(terminates, '--connect-rate', '100', '-n', '40')
                check(f'nginx stream server, TLS {label}: a connection for each request', (0, ''), (status, errors))
                check(f'nginx stream client, TLS {label}: echo of 30 MiB', digest(LARGE), digest(echo(originates)))
                for _ in range(3):
                    echo(originates, b'again')
                words = rf'TLSv{label}.*resumed'.encode()
                check(f'nginx stream client, TLS {label}: resumed', True, secure.wait_for(words) is not None)
                check(f'nginx stream client, TLS {label}: it refuses a wrong name', b'', echo(wrong, b'x'))
            said = log.read_text()
            check(f'nginx stream server, TLS {label}: our sessions are resumed', True,
                  said.count(f'TLSv{label} reused=r end') >= 10)


def echo(port, data=LARGE):
    """Sends data over TCP, and returns as many bytes, or fewer if the connection ends."""
    got = bytearray()
    with socket.create_connection(('127.0.0.1', port), PATIENCE) as stream:
        def send():
            with contextlib.suppress(OSError):
                stream.sendall(data)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        with contextlib.suppress(ConnectionResetError):
            while len(got) < len(data) and (more := stream.recv(1 << 16)):
                got += more
        sender.join(PATIENCE)
    return bytes(got)


def fetch(port, path, data=None, headers={}):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=PATIENCE)
    connection.request('POST' if data else 'GET', path, data, {'Host': 'localhost', **headers})
    answer = connection.getresponse()
    return answer.status, answer.read()


def nginx_proxies():
    """nginx as a client that verifies `relay --tls-in`, which forwards to nginx itself."""
    for label in VERSIONS:
        sockets, (plain, right, wrong) = listeners(3)
        with ours('relay', '127.0.0.1:0', f'127.0.0.1:{plain}', '--tls-in', '--cert', work / 'server.pem', '--key',
                  work / 'server.key', '--client-ca', work / 'ca.pem') as relay:
            proxy = f'''proxy_pass https://127.0.0.1:{relay.port}; proxy_ssl_verify on; proxy_ssl_server_name on;
                proxy_ssl_trusted_certificate ca.pem; proxy_ssl_protocols TLSv{label};
                proxy_ssl_certificate client.pem; proxy_ssl_certificate_key client.key;'''
            http = f'''
                server {{ listen 127.0.0.1:{plain}; }}
                server {{ listen 127.0.0.1:{right}; location / {{ {proxy} proxy_ssl_name localhost; }} }}
                server {{ listen 127.0.0.1:{wrong}; location / {{ {proxy} proxy_ssl_name wrong.example; }} }}
            '''
            with nginx(sockets, http) as theirs:
                status, got = fetch(right, '/large')
                check(f'nginx client, TLS {label}: 30 MiB through our relay', (200, digest(LARGE)),
                      (status, digest(got)))
                answers = [fetch(right, '/small') for _ in range(5)]
                check(f'nginx client, TLS {label}: small answers', [(200, b'small\n')] * 5, answers)
                words = rf'TLSv{label}.*name localhost.*resumed'.encode()
                check(f'nginx client, TLS {label}: it resumes its session', True, relay.wait_for(words) is not None)
                check(f'nginx client, TLS {label}: it refuses a wrong name', 502, fetch(wrong, '/small')[0])
                check(f'nginx client, TLS {label}: the reason', True,
                      theirs.wait_for(rb'does not match "wrong.example"') is not None)


def haproxy_serves():
    """HAProxy as the server of `connect` and `load`."""
    for label in VERSIONS:
        sockets, (web, echoes) = listeners(2)
        number = [one.fileno() for one in sockets]
        options = f'ssl crt {work}/server.both ssl-min-ver TLSv{label} ssl-max-ver TLSv{label}'
        with ours('listen', '--echo', '127.0.0.1:0') as plain:
            config = f'''
frontend web
    mode http
    bind fd@{number[0]} {options} alpn h2,http/1.1 ca-file {work}/ca.pem verify required
    http-request return status 200 content-type text/plain lf-string "%[ssl_fc_protocol] %[ssl_fc_sni] %[ssl_c_s_dn(cn)]"
frontend echoes
    bind fd@{number[1]} {options}
    log-format "resumed=%[ssl_fc_is_resumed] end"
    default_backend plain
backend plain
    server a 127.0.0.1:{plain.port}
'''
            with haproxy(sockets, config) as theirs:
                own = ['--client-cert', 'client.pem', '--client-key', 'client.key']
                status, got, log = connect(web, '--alpn', 'http/1.1', *own, input=request('/'))
                check(f'HAProxy server, TLS {label}: what it sees', (0, f'TLSv{label} localhost client'),
                      (status, body(got).decode()))
                status, got, log = connect(web, '--alpn', 'h2,http/1.1', *own, '--idle-timeout', '100ms')
                check(f'HAProxy server, TLS {label}: h2', True, ', ALPN h2, ' in log)
                # With TLS 1.3 the handshake of a client is done before the server has read its certificate.
                status, got, log = connect(web, '--alpn', 'http/1.1')
                check(f'HAProxy server, TLS {label}: a client without a certificate is told',
                      (1 if label == '1.3' else 3, True), (status, 'ERR_TLS_ALERT' in log))
                status, result, errors = load(echoes, '-c', '20', '-n', '2000', '--size', '20k')
                check(f'HAProxy server, TLS {label}: load', (0, ''), (status, errors))
                status, result, errors = load(echoes, '--connect-rate', '100', '-n', '40')
                check(f'HAProxy server, TLS {label}: a connection for each request', (0, ''), (status, errors))
                check(f'HAProxy server, TLS {label}: our sessions are resumed', True,
                      theirs.wait_for(rb'(?:resumed=1 end(?:\s+resumed=0 end)*\s+){10}') is not None)


def haproxy_connects():
    """HAProxy as a client that verifies `listen --tls` and `relay --tls-in`."""
    for label in VERSIONS:
        sockets, (right, wrong, relayed) = listeners(3)
        number = [one.fileno() for one in sockets]
        files = ['--cert', work / 'server.pem', '--key', work / 'server.key', '--client-ca', work / 'ca.pem']
        with ours('listen', '--echo', '127.0.0.1:0') as plain, \
                ours('listen', '--echo', '--tls', '--alpn', 'echo', *files, '127.0.0.1:0') as secure, \
                ours('relay', '--tls-in', *files, '127.0.0.1:0', f'127.0.0.1:{plain.port}') as relay:
            ssl = f'ssl verify required ca-file {work}/ca.pem crt {work}/client.both ' \
                  f'ssl-min-ver TLSv{label} ssl-max-ver TLSv{label}'
            fronts = ''.join(f'''
frontend {name}
    bind fd@{number[index]}
    default_backend {name}
backend {name}
    server a 127.0.0.1:{port} {ssl} {more}
''' for index, (name, port, more) in enumerate([
                ('right', secure.port, 'sni str(localhost) alpn echo'),
                ('wrong', secure.port, 'sni str(wrong.example)'),
                ('relayed', relay.port, 'sni str(localhost) check inter 100ms'),
            ]))
            with haproxy(sockets, fronts):
                check(f'HAProxy client, TLS {label}: echo of 30 MiB', digest(LARGE), digest(echo(right)))
                for _ in range(3):
                    check(f'HAProxy client, TLS {label}: a short echo', b'again', echo(right, b'again'))
                words = rf'TLSv{label}.*ALPN echo.*name localhost.*resumed'.encode()
                check(f'HAProxy client, TLS {label}: it resumes its session', True,
                      secure.wait_for(words) is not None)
                check(f'HAProxy client, TLS {label}: it refuses a wrong name', b'', echo(wrong, b'x'))
                check(f'HAProxy client, TLS {label}: echo of 30 MiB through our relay', digest(LARGE),
                      digest(echo(relayed)))


def routes():
    """`relay --route` in front of nginx and HAProxy, which have two names."""
    sockets, (one, both) = listeners(2)
    others, (two,) = listeners(1)
    http = f'''
        server {{ listen 127.0.0.1:{one} ssl; server_name one.example; return 200 "nginx one\\n";
                  ssl_certificate one.pem; ssl_certificate_key one.key; }}
        server {{ listen 127.0.0.1:{both} ssl; server_name one.example; return 200 "nginx: one of both\\n";
                  ssl_certificate one.pem; ssl_certificate_key one.key; }}
        server {{ listen 127.0.0.1:{both} ssl; server_name two.example; return 200 "nginx: two of both\\n";
                  ssl_certificate two.pem; ssl_certificate_key two.key; }}
    '''
    config = f'''
frontend web
    mode http
    bind fd@{others[0].fileno()} ssl crt {work}/two.both
    http-request return status 200 content-type text/plain string "HAProxy two\\n"
'''
    with nginx(sockets, http), haproxy(others, config), \
            ours('relay', '127.0.0.1:0', '--route', f'sni=one.example:127.0.0.1:{one}',
                 '--route', f'sni=two.example:127.0.0.1:{two}') as relay, \
            ours('relay', '127.0.0.1:0', f'127.0.0.1:{both}', '--route', f'sni=other.example:127.0.0.1:{one}') as default:
        for name, port, wanted in [('one.example', relay.port, b'nginx one\n'),
                                   ('two.example', relay.port, b'HAProxy two\n'),
                                   ('one.example', default.port, b'nginx: one of both\n'),
                                   ('two.example', default.port, b'nginx: two of both\n')]:
            status, got, log = connect(port, '--sni', name, input=request('/', name))
            check(f'a route to {wanted.decode().strip()}', (0, wanted), (status, body(got)))
        status, got, log = connect(relay.port, '--sni', 'three.example')
        check('a name without a route', (3, True), (status, 'unrecognized_name' in log or 'UnrecognisedName' in log))


parts = [prepare]
if has('nginx'):
    parts += [nginx_serves, nginx_streams, nginx_proxies]
if has('haproxy'):
    parts += [haproxy_serves, haproxy_connects]
if has('nginx') and has('haproxy'):
    parts += [routes]
run_all('proxies of TLS', parts, work)
