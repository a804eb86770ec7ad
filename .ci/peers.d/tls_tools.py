"""What the scripts with other implementations of TLS share: a folder for the run, certificates, and programs in the
background."""
import contextlib, hashlib, os, pathlib, re, shutil, socket, subprocess, tempfile, threading

work = pathlib.Path(tempfile.mkdtemp(prefix='fyke-tls-'))
PATIENCE = 120


def has(tool):
    if shutil.which(tool):
        return True
    print(f'skipped {tool}: it is not installed', flush=True)
    return False


def openssl(*arguments):
    subprocess.run(['openssl', *arguments], check=True, capture_output=True, cwd=work)


def certificates():
    """An authority, and certificates that it issued: of a server, of two sites and of a client."""
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
            '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=fyke test authority')
    local = 'DNS:localhost,IP:127.0.0.1'
    for name, names in {'server': local, 'client': local, 'one': 'DNS:one.example', 'two': 'DNS:two.example'}.items():
        (work / 'ext').write_text(f'subjectAltName={names}\n')
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{name}.key',
                '-out', f'{name}.csr', '-subj', f'/CN={name}')
        openssl('x509', '-req', '-in', f'{name}.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
                '-days', '2', '-out', f'{name}.pem', '-extfile', 'ext')


class Running:
    """A command in the background. Collects the lines that it prints."""

    def __init__(self, *command, **more):
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=work, **more)
        self.output = b''
        self.changed = threading.Condition()
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        while data := os.read(self.process.stdout.fileno(), 65536):
            with self.changed:
                self.output += data
                self.changed.notify_all()
        with self.changed:
            self.output += b'\n(end)'
            self.changed.notify_all()

    def wait_for(self, pattern):
        """Waits until the output matches. Returns the match, or None if it ends before."""
        pattern = re.compile(pattern)
        with self.changed:
            self.changed.wait_for(lambda: pattern.search(self.output) or self.output.endswith(b'(end)'), PATIENCE)
            return pattern.search(self.output)

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(*command, **more):
    one = Running(*command, **more)
    try:
        yield one
    finally:
        one.stop()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def free_port():
    """For tools that cannot choose one."""
    with socket.create_server(('127.0.0.1', 0)) as one:
        return one.getsockname()[1]
