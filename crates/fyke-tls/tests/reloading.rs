//! Certificates that are read from files again while the server serves.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use fyke::{Endpoint, Socket};
use fyke_tls::{
    ClientContext, ClientOptions, Fingerprint, Identity, ServerContext, ServerOptions, Tls,
    connect, create_server,
};
use support::{Authority, Net, with_client};

/// A certificate and its key in a folder of their own, which is removed in the end.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new(authority: &Authority) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fyke-certificates-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let files = Self { folder };
        files.replace(authority);
        files
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// Writes another certificate and key. Returns the fingerprint.
    fn replace(&self, authority: &Authority) -> Fingerprint {
        let (certificate, key) = authority.pem_pair(&["127.0.0.1"]);
        std::fs::write(self.certificate(), certificate).unwrap();
        std::fs::write(self.key(), key).unwrap();
        self.identity().fingerprint()
    }

    fn identity(&self) -> Identity {
        Identity::from_pem_files(self.certificate(), self.key()).unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A context without a session, because a resumed one has the old certificate.
fn client(authority: &Authority) -> ClientContext {
    ClientOptions::new().authorities_pem(authority.pem()).build().unwrap()
}

fn fingerprint(socket: &Socket) -> Fingerprint {
    Tls::of(socket).unwrap().peer_certificate().unwrap().unwrap().fingerprint
}

/// Connections that ask and are answered, one after the other, several at a time.
struct Load {
    endpoint: Endpoint,
    authority: Rc<Authority>,
    left: Cell<usize>,
    answered: Cell<usize>,
    seen: RefCell<HashSet<Fingerprint>>,
    on_answer: Box<dyn Fn(usize)>,
}

impl Load {
    fn ask(self: &Rc<Self>) {
        if self.left.get() == 0 {
            return;
        }
        self.left.set(self.left.get() - 1);
        let socket = connect(self.endpoint.clone(), &client(&self.authority)).unwrap();
        socket.end_with("a question");
        let load = Rc::clone(self);
        socket.on_text(move |socket, text| {
            assert_eq!(text, "a question");
            load.seen.borrow_mut().insert(fingerprint(socket));
        });
        let load = Rc::clone(self);
        socket.on_close(move |_, had_error| {
            assert!(!had_error);
            load.answered.set(load.answered.get() + 1);
            (load.on_answer)(load.answered.get());
            load.ask();
        });
    }
}

on_every_driver! {
    fn no_connection_is_lost_when_certificates_are_replaced_under_load(net) {
        const CONNECTIONS: usize = 60;
        let authority = Rc::new(Authority::new());
        let files = Files::new(&authority);
        let context = ServerContext::new(files.identity()).unwrap();
        let expected = Rc::new(RefCell::new(HashSet::from([files.identity().fingerprint()])));
        let (renewed, reloads, trusted) = (context.clone(), Rc::clone(&expected), Rc::clone(&authority));
        let seen = Rc::new(RefCell::new(HashSet::new()));
        let found = Rc::clone(&seen);
        net.run(|| {
            let server = create_server(&context, |socket| _ = socket.pipe(socket));
            server.on_tls_client_error(|_, error| panic!("{error}"));
            server.listen_then(("127.0.0.1", 0), move |server| {
                let endpoint = server.endpoint().unwrap();
                // One connection that lasts.
                let lasting = connect(endpoint.clone(), &client(&trusted)).unwrap();
                let (server, held) = (server.clone(), lasting.clone());
                let authority = Rc::clone(&trusted);
                let on_answer = move |answered: usize| {
                    // Of ten answers, at most eight are for questions from before the last time.
                    if answered % 10 == 5 && answered < CONNECTIONS - 10 {
                        reloads.borrow_mut().insert(files.replace(&authority));
                        renewed.reload().unwrap();
                        let _ = held.write("still here");
                    }
                    if answered == CONNECTIONS {
                        held.end();
                        server.close();
                    }
                };
                let load = Rc::new(Load {
                    endpoint,
                    authority: trusted,
                    left: Cell::new(CONNECTIONS),
                    answered: Cell::new(0),
                    seen: RefCell::default(),
                    on_answer: Box::new(on_answer),
                });
                let echoed = Cell::new(0);
                lasting.on_data(move |_, data| echoed.set(echoed.get() + data.len()));
                lasting.on_close(move |socket, had_error| {
                    assert!(!had_error);
                    assert_eq!(socket.bytes_read(), 5 * "still here".len() as u64);
                });
                Tls::of(&lasting).unwrap().on_secure_connect(move |lasting| {
                    (0..8).for_each(|_| load.ask());
                    lasting.on_close(move |_, _| _ = found.replace(load.seen.take()));
                });
            }).unwrap();
        });
        assert_eq!(expected.borrow().len(), 6);
        assert_eq!(*seen.borrow(), *expected.borrow());
    }
}

/// Returns the fingerprints that a client without a server name and one that asks for `two.example` see.
fn presented(net: &Net, context: &ServerContext) -> [Fingerprint; 2] {
    ["127.0.0.1", "two.example"].map(|name| {
        let found = Rc::new(Cell::new(None));
        let seen = Rc::clone(&found);
        let options = ClientOptions::new().dangerous_accept_any_certificate().server_name(name);
        let client = options.build().unwrap();
        net.run(|| {
            let server = create_server(context, |socket| _ = socket.end());
            with_client(&server, &client, move |client| {
                Tls::of(client).unwrap().on_secure_connect(move |client| {
                    seen.set(Some(fingerprint(client)));
                    client.end();
                });
                client.resume();
            });
        });
        found.get().unwrap()
    })
}

#[test]
fn files_that_cannot_be_used_leave_all_certificates_as_they_were() {
    let (net, authority) = (Net::ready(), Authority::new());
    let (one, two) = (Files::new(&authority), Files::new(&authority));
    let options = ServerOptions::new(one.identity()).identity_for("two.example", two.identity());
    let context = options.build().unwrap();
    let before = [one.identity().fingerprint(), two.identity().fingerprint()];
    let code = |text: &str| {
        let error = context.reload().unwrap_err();
        assert!(error.message().unwrap().contains(text), "{error}");
        assert_eq!(presented(&net, &context), before);
        error.code()
    };
    // Of the second pair, only the certificate is replaced yet.
    let first = one.replace(&authority);
    let (certificate, _) = authority.pem_pair(&["127.0.0.1"]);
    std::fs::write(two.certificate(), certificate).unwrap();
    let invalid = fyke_tls::code::ERR_TLS_INVALID_CONTEXT;
    assert_eq!(code("does not belong"), invalid);
    std::fs::write(two.certificate(), "no PEM").unwrap();
    assert_eq!(code("cert.pem and"), invalid);
    std::fs::remove_file(two.key()).unwrap();
    assert_eq!(code("key.pem: No such file"), fyke::ErrorCode::ENOENT);
    let second = two.replace(&authority);
    context.reload().unwrap();
    assert_eq!(presented(&net, &context), [first, second]);
}

#[test]
fn only_certificates_from_files_can_be_read_again() {
    let (net, authority) = (Net::ready(), Authority::new());
    let (files, fixed) = (Files::new(&authority), authority.identity(&["two.example"]));
    let context = ServerContext::new(fixed.clone()).unwrap();
    let error = context.reload().unwrap_err();
    assert_eq!(error.code(), fyke_tls::code::ERR_TLS_INVALID_CONTEXT);
    context.set_identity(files.identity()).unwrap();
    context.set_identity_for("two.example", fixed.clone()).unwrap();
    let replaced = files.replace(&authority);
    context.reload().unwrap();
    assert_eq!(presented(&net, &context), [replaced, fixed.fingerprint()]);
    assert!(support::only_tls12(&authority).reload().is_err());
}
