//! What every controller is given.

use std::sync::Arc;

use corten_client::{Informers, Recorder, Source};
use corten_task::Tasks;
use kube::Client;

use crate::{Clock, Config};

/// The surroundings of a controller. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) config: Arc<Config>,
    pub(crate) client: Arc<ClientBox>,
    pub(crate) informers: Informers,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Clock,
    pub(crate) recorder: Recorder,
}

/// A [`Client`], which has no `Debug`.
pub(crate) struct ClientBox(Client);

impl std::fmt::Debug for ClientBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Context {
    pub(crate) fn new(
        config: Config,
        client: Client,
        informers: Informers,
        tasks: Tasks,
        clock: Clock,
    ) -> Self {
        let source = Source { component: "kube-controller-manager".to_owned(), host: None };
        let recorder = Recorder::new(client.clone(), source, &tasks);
        let client = Arc::new(ClientBox(client));
        Self { config: Arc::new(config), client, informers, tasks, clock, recorder }
    }

    /// The same, with events in the name of `component`.
    pub(crate) fn of_component(&self, component: &str) -> Self {
        let source = Source { component: component.to_owned(), host: None };
        let recorder = Recorder::new(self.client(), source, &self.tasks);
        Self { recorder, ..self.clone() }
    }

    pub(crate) fn client(&self) -> Client {
        self.client.0.clone()
    }
}
