//! ConfigMaps and Secrets that pods of this node use: each is watched by name for as long as some
//! pod holds it, so that the kubelet never reads what its pods do not need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use corten_client::Watched;
use corten_task::{CancellationToken, Tasks};
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

/// How long a pod's start waits for the API server to tell of an object.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of one object: not yet anything, that it does not exist, or its state.
type State<K> = Option<Option<Arc<K>>>;

/// An object in use. The watch ends with the last clone of the handle.
#[derive(Debug)]
pub(crate) struct Held<K> {
    state: watch::Receiver<State<K>>,
    _watch: DropGuard,
}

/// An object as it was read, and the means to notice that it changed since.
#[derive(Debug)]
pub(crate) struct Read<K> {
    pub(crate) object: Option<Arc<K>>,
    pub(crate) since: Since<K>,
}

/// Notices a change of an object since it was read; keeps its watch alive.
#[derive(Debug)]
pub(crate) struct Since<K> {
    state: watch::Receiver<State<K>>,
    _held: Arc<Held<K>>,
}

impl<K> Clone for Since<K> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), _held: Arc::clone(&self._held) }
    }
}

impl<K> Since<K> {
    /// Ends when the object has changed; never if it is not watched any more.
    pub(crate) async fn changed(mut self) {
        if self.state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

type Key = (String, String);

/// The objects of one kind.
pub(crate) struct Objects<K> {
    client: kube::Client,
    tasks: Tasks,
    held: Mutex<HashMap<Key, Weak<Held<K>>>>,
}

impl<K> std::fmt::Debug for Objects<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

/// The API server did not tell of an object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    #[error("cannot read {kind} {namespace}/{name}")]
    Api {
        kind: String,
        namespace: String,
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("no news of {kind} {namespace}/{name} from the API server within {within:?}")]
    Silence { kind: String, namespace: String, name: String, within: Duration },
}

impl<K> Objects<K>
where
    K: Watched + kube::Resource<Scope = NamespaceResourceScope>,
{
    pub(crate) fn new(client: kube::Client, tasks: Tasks) -> Self {
        Self { client, tasks, held: Mutex::default() }
    }

    /// The handle of an object, watched from now on.
    fn hold(&self, namespace: &str, name: &str) -> Arc<Held<K>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, known| known.strong_count() > 0);
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(known) = held.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let token = self.tasks.token().child_token();
        let (tell, state) = watch::channel(None);
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        self.tasks.spawn("object watch", follow(api, name.to_owned(), token.clone(), tell));
        let fresh = Arc::new(Held { state, _watch: token.drop_guard() });
        held.insert(key, Arc::downgrade(&fresh));
        fresh
    }

    /// The object's state, watched from now on.
    pub(crate) async fn get(&self, namespace: &str, name: &str) -> Result<Read<K>, ObjectError> {
        let held = self.hold(namespace, name);
        let mut state = held.state.clone();
        let known = {
            let told = state.wait_for(Option::is_some);
            match tokio::time::timeout(FIRST_TIMEOUT, told).await {
                Ok(Ok(known)) => Some(known.clone().flatten()),
                Ok(Err(_)) | Err(_) => None,
            }
        };
        let known = known.ok_or_else(|| ObjectError::Silence {
            kind: <K as kube::Resource>::kind(&()).into_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            within: FIRST_TIMEOUT,
        })?;
        let object = match known {
            Some(known) => Some(known),
            // A watch may lag behind an object that was made just before its pod.
            None => self.read(namespace, name).await?.map(Arc::new),
        };
        Ok(Read { object, since: Since { state, _held: held } })
    }

    /// Reads an object once, without a watch.
    pub(crate) async fn read(&self, namespace: &str, name: &str) -> Result<Option<K>, ObjectError> {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        api.get_opt(name).await.map_err(|source| ObjectError::Api {
            kind: <K as kube::Resource>::kind(&()).into_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            source: Box::new(source),
        })
    }
}

async fn follow<K>(
    api: Api<K>,
    name: String,
    token: CancellationToken,
    tell: watch::Sender<State<K>>,
) where
    K: Watched,
{
    let watching = async {
        let mut states = watcher::watch_object(api, &name).default_backoff().boxed();
        while let Some(state) = states.next().await {
            match state {
                Ok(state) => {
                    tell.send_replace(Some(state.map(Arc::new)));
                }
                Err(error) => {
                    let kind = <K as kube::Resource>::kind(&());
                    tracing::debug!(%kind, name, cause = %error, "watch of one object failed");
                }
            }
        }
    };
    token.run_until_cancelled(watching).await;
}
