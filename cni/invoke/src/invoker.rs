//! The verbs, over a whole chain of plugins.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use corten_cni_types::{
    AddResult, Attachment, Command, NetworkConfList, PluginConf, RuntimeArgs, Version, keys,
    validate_container_id, validate_interface_name,
};
use serde_json::{Map, Value, json};

use crate::cache::{Cache, Entry};
use crate::{Environment, InvokeError, Program};

/// How long a plugin may take, unless told otherwise: a DHCP lease or a cloud's address may take
/// many seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Runs networks' plugins. Calls for different containers may run at once; GC waits for the
/// others and keeps them waiting (specification, section "GC").
#[derive(Debug)]
pub struct Invoker {
    bin_dirs: Vec<PathBuf>,
    cache: Cache,
    limit: Duration,
    gc: RwLock<()>,
}

impl Invoker {
    /// Plugins come from `bin_dirs`, in order; results are kept below `cache_dir` (the reference
    /// library's is `/var/lib/cni`).
    #[must_use]
    pub fn new(bin_dirs: Vec<PathBuf>, cache_dir: &Path) -> Self {
        Self { bin_dirs, cache: Cache::new(cache_dir), limit: TIME_LIMIT, gc: RwLock::new(()) }
    }

    /// Sets how long each plugin may take.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Attaches a container: every plugin in order, each given the result of the one before. When
    /// this fails the caller must still call [`Invoker::del`].
    ///
    /// # Errors
    /// The first plugin's failure.
    pub fn add(
        &self,
        network: &NetworkConfList,
        args: &RuntimeArgs,
    ) -> Result<AddResult, InvokeError> {
        validate(args)?;
        let _shared = self.gc.read().unwrap_or_else(PoisonError::into_inner);
        // Also when this process is killed on the way it is known afterwards what is to be undone.
        let list = list_json(network);
        self.cache.write(&Entry::new(&network.name, &list, args, Value::Null))?;
        let environment = self.environment(args);
        let mut result: Option<AddResult> = None;
        for plugin in &network.plugins {
            let previous = result.as_ref().map(|result| result.to_json(network.cni_version));
            let conf = configuration(network, plugin, Some(args), previous);
            let program = Program::find(&plugin.plugin_type, &self.bin_dirs)?;
            result =
                Some(program.call_for_result(Command::Add, &environment, &conf, self.limit)?);
        }
        let result = result.unwrap_or_default();
        let value = result.to_json(network.cni_version);
        self.cache.write(&Entry::new(&network.name, &list, args, value))?;
        Ok(result)
    }

    /// Detaches a container: every plugin in reverse order. Repeating it does no harm, nor does a
    /// container that was never attached.
    ///
    /// # Errors
    /// The first plugin's failure; the cached result is kept, so that the call can be repeated.
    pub fn del(&self, network: &NetworkConfList, args: &RuntimeArgs) -> Result<(), InvokeError> {
        validate(args)?;
        let _shared = self.gc.read().unwrap_or_else(PoisonError::into_inner);
        self.del_unlocked(network, args)
    }

    /// Detaches a container from every network that it was attached to by this interface, with the
    /// configuration that each had then: it may have been changed or replaced meanwhile. Returns
    /// how many there were.
    ///
    /// # Errors
    /// All failures; what failed can be repeated.
    pub fn del_cached(&self, args: &RuntimeArgs) -> Result<usize, InvokeError> {
        validate(args)?;
        let _shared = self.gc.read().unwrap_or_else(PoisonError::into_inner);
        let entries = self.cache.list(|entry| {
            entry.container_id == args.container_id && entry.if_name == args.ifname
        })?;
        let failures = entries
            .iter()
            .filter_map(|entry| {
                let network = entry.network();
                network.and_then(|network| self.del_unlocked(&network, args)).err()
            })
            .collect();
        InvokeError::collect(failures)?;
        Ok(entries.len())
    }

    /// DEL for every cached attachment that is not in `valid`, whatever its network, with the
    /// configuration that it was made with. What networks left behind that are configured no more
    /// goes this way.
    ///
    /// # Errors
    /// All failures; every attachment is tried.
    pub fn del_stale(&self, valid: &[Attachment]) -> Result<(), InvokeError> {
        let _exclusive = self.gc.write().unwrap_or_else(PoisonError::into_inner);
        self.del_stale_unlocked(|_network| true, valid)
    }

    fn del_stale_unlocked(
        &self,
        of_network: impl Fn(&str) -> bool,
        valid: &[Attachment],
    ) -> Result<(), InvokeError> {
        let stale = self.cache.list(|entry| {
            let is_entry = |valid: &Attachment| {
                valid.container_id == entry.container_id && valid.ifname == entry.if_name
            };
            of_network(&entry.network_name) && !valid.iter().any(is_entry)
        })?;
        let failures = stale
            .iter()
            .filter_map(|entry| {
                let mut args = entry.args();
                if !args.netns.exists() {
                    // The namespace went away; what is outside of it did not.
                    args.netns = PathBuf::new();
                }
                entry.network().and_then(|network| self.del_unlocked(&network, &args)).err()
            })
            .collect();
        InvokeError::collect(failures)
    }

    fn del_unlocked(
        &self,
        network: &NetworkConfList,
        args: &RuntimeArgs,
    ) -> Result<(), InvokeError> {
        let cached = self.cache.read(&network.name, &args.container_id, &args.ifname)?;
        let args = &with_cached(args, cached.as_ref());
        let previous = cached
            .map(|entry| entry.result)
            .filter(|result| network.cni_version.del_has_prev_result() && result.is_object());
        let environment = self.environment(args);
        for plugin in network.plugins.iter().rev() {
            let conf = configuration(network, plugin, Some(args), previous.clone());
            let program = Program::find(&plugin.plugin_type, &self.bin_dirs)?;
            program.call(Command::Del, &environment, &conf, self.limit)?;
        }
        self.cache.remove(&network.name, &args.container_id, &args.ifname)
    }

    /// Asks every plugin whether the attachment is as ADD left it. Does nothing where the network
    /// says `disableCheck`.
    ///
    /// # Errors
    /// The first plugin's failure; [`InvokeError::Version`] before 0.4.0.
    pub fn check(&self, network: &NetworkConfList, args: &RuntimeArgs) -> Result<(), InvokeError> {
        validate(args)?;
        if !network.cni_version.has_check() {
            return Err(too_old(network, Command::Check, Version::V0_4_0));
        }
        if network.disable_check {
            return Ok(());
        }
        let _shared = self.gc.read().unwrap_or_else(PoisonError::into_inner);
        let cached = self.cache.read(&network.name, &args.container_id, &args.ifname)?;
        let Some(cached) = cached.filter(|entry| entry.result.is_object()) else {
            return Err(InvokeError::NotAdded {
                network: network.name.clone(),
                container_id: args.container_id.clone(),
                ifname: args.ifname.clone(),
            });
        };
        let environment = self.environment(args);
        for plugin in &network.plugins {
            let conf = configuration(network, plugin, Some(args), Some(cached.result.clone()));
            let program = Program::find(&plugin.plugin_type, &self.bin_dirs)?;
            program.call(Command::Check, &environment, &conf, self.limit)?;
        }
        Ok(())
    }

    /// Asks every plugin whether it could serve an ADD. Before version 1.1.0 there is no such
    /// verb: then it is only seen to that the binaries are there.
    ///
    /// # Errors
    /// The first plugin's failure.
    pub fn status(&self, network: &NetworkConfList) -> Result<(), InvokeError> {
        let environment = self.environment(&RuntimeArgs::default());
        for plugin in &network.plugins {
            let program = Program::find(&plugin.plugin_type, &self.bin_dirs)?;
            if network.cni_version.has_gc_and_status() {
                let conf = configuration(network, plugin, None, None);
                program.call(Command::Status, &environment, &conf, self.limit)?;
            }
        }
        Ok(())
    }

    /// Collects what attachments that are not in `valid` left behind: DEL for those that are
    /// cached, then GC of every plugin, which catches the rest. Does nothing where the network
    /// says `disableGC`. Every step is tried.
    ///
    /// # Errors
    /// All failures.
    pub fn gc(&self, network: &NetworkConfList, valid: &[Attachment]) -> Result<(), InvokeError> {
        if network.disable_gc {
            return Ok(());
        }
        let _exclusive = self.gc.write().unwrap_or_else(PoisonError::into_inner);
        let stale = self.del_stale_unlocked(|name| name == network.name, valid);
        let mut failures: Vec<_> = stale.err().into_iter().collect();
        if network.cni_version.has_gc_and_status() {
            let environment = self.environment(&RuntimeArgs::default());
            for plugin in &network.plugins {
                let mut conf = configuration(network, plugin, None, None);
                conf[keys::VALID_ATTACHMENTS] = json!(valid);
                conf[keys::VALID_ATTACHMENTS_OLD] = json!(valid);
                let outcome = Program::find(&plugin.plugin_type, &self.bin_dirs).and_then(|it| {
                    it.call(Command::Gc, &environment, &conf, self.limit).map(|_nothing| ())
                });
                failures.extend(outcome.err());
            }
        }
        InvokeError::collect(failures)
    }

    fn environment(&self, args: &RuntimeArgs) -> Environment {
        let mut path = OsString::new();
        for dir in &self.bin_dirs {
            if !path.is_empty() {
                path.push(":");
            }
            path.push(dir);
        }
        Environment {
            container_id: args.container_id.clone(),
            netns: args.netns.to_string_lossy().into_owned(),
            ifname: args.ifname.clone(),
            args: args.args_text(),
            path: path.to_string_lossy().into_owned(),
        }
    }
}

fn validate(args: &RuntimeArgs) -> Result<(), InvokeError> {
    validate_container_id(&args.container_id)
        .and_then(|()| validate_interface_name(&args.ifname))
        .map_err(|source| InvokeError::Parameter { source })
}

fn too_old(network: &NetworkConfList, command: Command, needed: Version) -> InvokeError {
    InvokeError::Version {
        command,
        network: network.name.clone(),
        version: network.cni_version.as_str(),
        needed: needed.as_str(),
    }
}

/// DEL is given what ADD was given, where the caller (a runtime that lost its memory) does not
/// say it.
fn with_cached(args: &RuntimeArgs, cached: Option<&Entry>) -> RuntimeArgs {
    let mut args = args.clone();
    if let Some(entry) = cached {
        if args.args.is_empty() {
            args.args.clone_from(&entry.cni_args);
        }
        if args.capability_args.is_empty() {
            args.capability_args = entry.capability_args.clone().into_iter().collect();
        }
    }
    args
}

/// What a plugin is given on its standard input (specification, "Deriving request configuration
/// from plugin configuration").
fn configuration(
    network: &NetworkConfList,
    plugin: &PluginConf,
    args: Option<&RuntimeArgs>,
    previous: Option<Value>,
) -> Value {
    let mut conf = plugin.raw.clone();
    conf.insert(keys::CNI_VERSION.to_owned(), network.cni_version.as_str().into());
    conf.insert(keys::NAME.to_owned(), network.name.clone().into());
    if let Some(args) = args {
        let declared: Map<_, _> = args
            .capability_args
            .iter()
            .filter(|(capability, _value)| plugin.has_capability(capability))
            .map(|(capability, value)| (capability.clone(), value.clone()))
            .collect();
        if !declared.is_empty() {
            conf.insert(keys::RUNTIME_CONFIG.to_owned(), Value::Object(declared));
        }
    }
    // Not an argument for plugins: the specification has the runtime take it out.
    conf.shift_remove(keys::CAPABILITIES);
    if let Some(previous) = previous {
        conf.insert(keys::PREV_RESULT.to_owned(), previous);
    }
    Value::Object(conf)
}

fn list_json(network: &NetworkConfList) -> Value {
    let plugins: Vec<_> = network.plugins.iter().map(|plugin| plugin.raw.clone()).collect();
    json!({
        "cniVersion": network.cni_version.as_str(),
        "name": network.name,
        "disableCheck": network.disable_check,
        "disableGC": network.disable_gc,
        "plugins": plugins,
    })
}
