//! `host-local`: addresses from ranges, kept in files on this host, one per address.

mod options;
mod range;
mod store;

use std::net::IpAddr;

use corten_cni_types::{AddResult, CniError, IpConfig, IpNet, codes};

use crate::Plugin;
use crate::skel::Call;
use options::Options;
use range::RangeSet;
use store::Store;

pub(crate) const PLUGIN: Plugin = Plugin { name: "host-local", add, del, check, gc, status };

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    let dns = options.dns()?;
    let store = Store::open(&options.data_dir, &call.network)?;
    let ips = allocate(call, &options, &store)?;
    Ok(AddResult { ips, routes: options.routes, dns, ..AddResult::default() })
}

/// One address of every range set, or none at all.
fn allocate(call: &Call, options: &Options, store: &Store) -> Result<Vec<IpConfig>, CniError> {
    let mut requested = options.requested.clone();
    let held = store.find(&call.container_id, &call.ifname)?;
    let mut taken = Vec::new();
    let mut outcome = Ok(());
    for (index, set) in options.ranges.iter().enumerate() {
        let position = requested.iter().position(|&address| set.range_of(address).is_some());
        let wanted = position.map(|position| requested.remove(position));
        match allocate_one(call, store, index, set, wanted, &held) {
            Ok(config) => taken.push(config),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if outcome.is_ok() && !requested.is_empty() {
        let list: Vec<_> = requested.iter().map(ToString::to_string).collect();
        let msg = format!("requested addresses {} are in no range", list.join(", "));
        outcome = Err(CniError::new(codes::INVALID_CONFIG, msg));
    }
    if let Err(error) = outcome {
        for config in &taken {
            store.release(config.address.address())?;
        }
        return Err(error);
    }
    Ok(taken)
}

fn allocate_one(
    call: &Call,
    store: &Store,
    index: usize,
    set: &RangeSet,
    wanted: Option<IpAddr>,
    held: &[IpAddr],
) -> Result<IpConfig, CniError> {
    let (id, ifname) = (&call.container_id, &call.ifname);
    if let Some(address) = held.iter().find(|&&address| set.range_of(address).is_some()) {
        let msg = format!("{id}'s {ifname} has address {address} already");
        return Err(CniError::new(codes::INVALID_CONFIG, msg));
    }
    let config = |address: IpAddr| {
        let range = set.range_of(address)?;
        let address = IpNet::new(address, range.subnet.prefix())?;
        Some(IpConfig { interface: None, address, gateway: Some(range.gateway) })
    };
    let none_left = || {
        let msg = format!("no address is left in ranges {set}");
        CniError::new(codes::INTERNAL, msg)
    };
    if let Some(address) = wanted {
        if set.is_gateway(address) {
            let msg = format!("requested address {address} is the gateway's");
            return Err(CniError::new(codes::INVALID_CONFIG, msg));
        }
        if !store.reserve(address, id, ifname)? {
            let msg = format!("requested address {address} is taken");
            return Err(CniError::new(codes::INVALID_CONFIG, msg));
        }
        store.set_last(index, address)?;
        return config(address).ok_or_else(none_left);
    }
    let reserved = store.reserved()?;
    for address in set.after(store.last(index)?) {
        if !reserved.contains(&address) && store.reserve(address, id, ifname)? {
            store.set_last(index, address)?;
            return config(address).ok_or_else(none_left);
        }
    }
    Err(none_left())
}

/// Releases by owner, not by configuration, which may have changed since ADD.
fn del(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let Some(store) = Store::open_if_there(&options.data_dir, &call.network)? else {
        return Ok(());
    };
    for address in store.find(&call.container_id, &call.ifname)? {
        store.release(address)?;
    }
    Ok(())
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let store = Store::open(&options.data_dir, &call.network)?;
    if store.find(&call.container_id, &call.ifname)?.is_empty() {
        let msg = format!("{}'s {} has no address", call.container_id, call.ifname);
        return Err(CniError::new(codes::INTERNAL, msg));
    }
    Ok(())
}

/// Releases the addresses of all who are not in the list of those that still exist. After a
/// reboot that is everybody.
fn gc(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let Some(store) = Store::open_if_there(&options.data_dir, &call.network)? else {
        return Ok(());
    };
    for (address, owner) in store.owners()? {
        let valid = owner.as_ref().is_some_and(|owner| match &owner.ifname {
            Some(ifname) => call.is_valid(&owner.container_id, ifname),
            // Files of the oldest version of the reference plugin do not tell the interface.
            None => call.valid_attachments.iter().any(|it| it.container_id == owner.container_id),
        });
        if !valid {
            store.release(address)?;
        }
    }
    Ok(())
}

fn status(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let not_available = |error: CniError| CniError { code: codes::NOT_AVAILABLE, ..error };
    let store = Store::open(&options.data_dir, &call.network).map_err(not_available)?;
    let reserved = store.reserved().map_err(not_available)?;
    for set in &options.ranges {
        if set.after(None).all(|address| reserved.contains(&address)) {
            let msg = format!("no address is left in ranges {set}");
            return Err(CniError::new(codes::NOT_AVAILABLE, msg));
        }
    }
    Ok(())
}
