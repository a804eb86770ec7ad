//! When the driver receives for a connection with a [`Layer`](super::layer::Layer): while the socket does, while
//! the layer opens, and not while the layer cannot take more.

use fyke_machine::error::MakeError;

use super::Socket;
use super::layer_flow::{Incoming, Layered};
use crate::Error;

impl Socket {
    /// The socket receives from now on. Returns whether the driver must receive too.
    pub(super) fn receive_wanted(&self, layered: &Layered) -> bool {
        let (receives, waiting) = {
            let mut flow = layered.flow.borrow_mut();
            flow.wanted = true;
            let ended = matches!(flow.incoming, Incoming::Ended | Incoming::LayerEnded);
            (flow.begun && !flow.holds_driver, ended || !flow.undelivered.is_empty())
        };
        if waiting {
            self.continue_layer_later(layered);
        }
        receives
    }

    /// The socket receives no longer. Returns whether the driver must stop too: not while the layer opens.
    pub(super) fn receive_unwanted(layered: &Layered) -> bool {
        layered.flow.borrow_mut().wanted = false;
        layered.layer.is_open()
    }

    pub(super) fn driver_stop(&self) {
        if let (Some(core), Some(id)) = (self.core(), self.id()) {
            core.driver.receive_stop(id);
        }
    }

    /// Stops the driver, because the layer cannot take more yet. The peer must not choose how many bytes wait.
    pub(super) fn hold_driver(&self, layered: &Layered) {
        if !std::mem::replace(&mut layered.flow.borrow_mut().holds_driver, true) {
            self.driver_stop();
        }
    }

    /// Lets the driver receive again, if the layer can take more.
    pub(super) fn release_driver(&self, layered: &Layered) {
        let receives = {
            let mut flow = layered.flow.borrow_mut();
            if !flow.holds_driver || flow.waits || flow.continues {
                return;
            }
            flow.holds_driver = false;
            flow.incoming == Incoming::Open && (flow.wanted || !layered.layer.is_open())
        };
        let (true, Some(core), Some(id)) = (receives, self.core(), self.id()) else { return };
        if let Err(source) = core.driver.receive_start(id) {
            self.tear_down(Some(Error::system("read", source)), false);
        }
    }
}
