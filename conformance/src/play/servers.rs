//! Servers: how they are created, listen, and what is recorded about them.

use std::cell::Cell;
use std::rc::Rc;

use fyke::{Address, RefusedConnection, Server};
use serde_json::json;

use super::Play;
use super::actor::{Actor, Object};
use super::recording::{Entry, entry};
use crate::names::family_name;

impl Play {
    pub(crate) fn start_server(self: &Rc<Self>, index: usize) {
        let spec = &self.scenario.servers[index];
        let actor = self.add(Actor::server(format!("S{index}"), &spec.script));
        let server = self.server_options(&spec.options).create_server(|_| {});
        actor.becomes(Object::Server(server.clone()));
        self.attach_server(index, &actor, &server);
        self.note_open(&actor);
        if let Some(options) = &spec.listen {
            let options = self.listen_options(options);
            match options.and_then(|options| options.listen(&server)) {
                Ok(()) => self.learn_address(&actor, &server),
                Err(error) => self.note_throw(&actor, "listen", &error),
            }
        }
        self.begin(&actor);
    }

    /// Where the server listens, or listened last.
    pub(crate) fn server_address(&self, actor: &Actor) -> Option<Address> {
        let Some(Object::Server(server)) = actor.object.get() else { return None };
        server.address().or_else(|| actor.last_address.borrow().clone())
    }

    fn learn_address(&self, actor: &Actor, server: &Server) {
        let Some(address) = server.address() else { return };
        if let Some(port) = address.port() {
            self.names.name_port(port, &actor.name);
        }
        *actor.last_address.borrow_mut() = Some(address);
    }

    fn attach_server(self: &Rc<Self>, index: usize, actor: &Rc<Actor>, server: &Server) {
        let with = || (Rc::clone(self), Rc::clone(actor));
        let (play, owner) = with();
        server.on_listening(move |server| {
            play.learn_address(&owner, server);
            play.event(&owner, "listening", Entry::new());
        });
        let (play, owner) = with();
        let accepted = Cell::new(0);
        server.on_connection(move |_, socket| {
            let number = accepted.replace(accepted.get() + 1);
            let spec = play.scenario.servers[index].socket(number);
            let child = play.add(Actor::socket(format!("{}.{number}", owner.name), &spec));
            play.attach_socket(&child, socket);
            play.event(&owner, "connection", entry(json!({ "socket": child.name })));
            play.note_open(&child);
            play.begin(&child);
        });
        let (play, owner) = with();
        server.on_drop(move |_, info| {
            let info = info.map(|info| play.drop_info(info));
            play.event(&owner, "drop", entry(json!({ "info": info })));
        });
        let (play, owner) = with();
        server.on_error(move |_, error| play.event(&owner, "error", play.names.show_error(error)));
        let (play, owner) = with();
        server.on_close(move |_| play.event(&owner, "close", Entry::new()));
    }

    fn drop_info(&self, info: &RefusedConnection) -> Entry {
        let (local, remote) = (info.local_address, info.remote_address);
        entry(json!({
            "localAddress": local.map(|address| address.ip().to_string()),
            "localPort": self.names.show_port(local.map(|address| address.port())),
            "localFamily": local.map(|address| family_name(&address)),
            "remoteAddress": remote.ip().to_string(),
            "remotePort": self.names.show_port(Some(remote.port())),
            "remoteFamily": family_name(&remote),
        }))
    }
}
