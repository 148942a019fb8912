//! The vocabulary of the Container Network Interface, specification 1.1.0 (and 0.3.1 to 1.0.0):
//! configurations, results, errors, versions and the parameters of one call.
//!
//! Non-goals: finding or running plugins (`cni/invoke`), doing what a plugin does (`cni/plugins`).
//! Entry types: [`NetworkConfList`], [`PluginConf`], [`AddResult`], [`CniError`], [`RuntimeArgs`].
//! Privileges: none; nothing here touches the system.

mod address;
mod attachment;
mod command;
mod conf;
mod error;
mod result;
mod runtime;
mod version;

pub use address::{IpNet, ParseIpNetError};
pub use attachment::Attachment;
pub use command::{Command, ParseCommandError};
pub use conf::{ConfError, NetworkConfList, PluginConf, keys};
pub use error::{CniError, codes};
pub use result::{AddResult, Dns, Interface, IpConfig, ResultError, Route};
pub use runtime::{
    InvalidName, PortMapping, Protocol, RuntimeArgs, validate_container_id,
    validate_interface_name, validate_network_name,
};
pub use version::{ParseVersionError, Version};
