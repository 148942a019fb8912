//! The options.

use std::path::{Path, PathBuf};

use corten_cni_types::{CniError, codes};
use corten_sys_netlink::route::{Link, LinkChange, MacAddress};
use serde::Deserialize;
use serde_json::Map;

use super::sysctl;
use crate::conf;
use crate::skel::Call;

const HONOURED: &[&str] = &["dataDir", "sysctl", "mac", "promisc", "mtu", "txQLen", "allmulti"];

/// Where it is kept what interfaces were like before: gone after a reboot, as they are.
const DATA_DIR: &str = "/run/cni/tuning";

/// Patterns of the sysctls that may be set, a line each; all may where there is no such file.
const ALLOWLIST: &str = "/etc/cni/tuning/allowlist.conf";

#[derive(Debug)]
pub(super) struct Options {
    pub(super) data_dir: PathBuf,
    pub(super) sysctls: Vec<(String, String)>,
    pub(super) mac: Option<MacAddress>,
    pub(super) promiscuous: bool,
    pub(super) mtu: Option<u32>,
    pub(super) tx_queue_length: Option<u32>,
    pub(super) all_multicast: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    data_dir: Option<PathBuf>,
    sysctl: Option<Map<String, serde_json::Value>>,
    mac: Option<String>,
    promisc: Option<bool>,
    mtu: Option<u32>,
    #[serde(rename = "txQLen")]
    tx_q_len: Option<u32>,
    allmulti: Option<bool>,
}

impl Options {
    /// What stands in `args.cni` comes before what the runtime is told, and that before the rest.
    pub(super) fn read(call: &Call) -> Result<Self, CniError> {
        let mut written: Written = conf::read(call, HONOURED)?;
        let [environment] = conf::environment_args(call, ["MAC"])?;
        let mac = conf::argument_text(call, "runtimeConfig", "mac").or(environment);
        written.mac = mac.filter(|text| !text.is_empty()).or(written.mac);
        if let Some(args) = conf::arguments(call, "args.cni") {
            let args: Written = conf::from_map(args)?;
            let sysctls = args.sysctl.into_iter().flatten();
            written.sysctl.get_or_insert_default().extend(sysctls);
            written.mac = args.mac.or(written.mac);
            written.promisc = args.promisc.or(written.promisc);
            written.mtu = args.mtu.or(written.mtu);
            written.tx_q_len = args.tx_q_len.or(written.tx_q_len);
            written.allmulti = args.allmulti.or(written.allmulti);
        }
        let mac = written.mac.filter(|text| !text.is_empty());
        Ok(Self {
            data_dir: written
                .data_dir
                .filter(|dir| !dir.as_os_str().is_empty())
                .unwrap_or_else(|| PathBuf::from(DATA_DIR)),
            sysctls: sysctls(written.sysctl.unwrap_or_default())?,
            mac: mac.map(|text| conf::parse_mac("mac", &text)).transpose()?,
            promiscuous: written.promisc.unwrap_or(false),
            mtu: written.mtu.filter(|&mtu| mtu != 0),
            tx_queue_length: written.tx_q_len,
            all_multicast: written.allmulti,
        })
    }

    /// Whether anything about the interface itself is to be set.
    pub(super) fn changes_interface(&self) -> bool {
        self.mac.is_some()
            || self.promiscuous
            || self.mtu.is_some()
            || self.tx_queue_length.is_some()
            || self.all_multicast.is_some()
    }

    /// All of it in one request.
    pub(super) fn change(&self) -> LinkChange<'static> {
        LinkChange {
            mac: self.mac,
            promiscuous: self.promiscuous.then_some(true),
            mtu: self.mtu,
            tx_queue_length: self.tx_queue_length,
            all_multicast: self.all_multicast,
            ..LinkChange::default()
        }
    }

    /// In what an interface is not as it was set.
    pub(super) fn difference(&self, link: &Link) -> Option<String> {
        let differs = |what: &str, is: String, wanted: Option<String>| {
            let wanted = wanted.filter(|wanted| *wanted != is)?;
            Some(format!("{what} is {is}, not {wanted}"))
        };
        let text = |number: u32| number.to_string();
        let all_multicast = self.all_multicast.map(|it| it.to_string());
        let promiscuous = self.promiscuous.then(|| true.to_string());
        differs("mac", link.mac.to_string(), self.mac.map(|mac| mac.to_string()))
            .or_else(|| differs("promisc", link.promiscuous.to_string(), promiscuous))
            .or_else(|| differs("mtu", text(link.mtu), self.mtu.map(text)))
            .or_else(|| differs("allmulti", link.all_multicast.to_string(), all_multicast))
            .or_else(|| {
                differs("txQLen", text(link.tx_queue_length), self.tx_queue_length.map(text))
            })
    }

    pub(super) fn refuse_sysctls_that_are_not_allowed(&self) -> Result<(), CniError> {
        let path = Path::new(ALLOWLIST);
        match std::fs::read_to_string(path) {
            Ok(list) => refuse(&self.sysctls, &list),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(super::failed("read", path, &error)),
        }
    }
}

fn sysctls(map: Map<String, serde_json::Value>) -> Result<Vec<(String, String)>, CniError> {
    map.into_iter()
        .map(|(key, value)| {
            // Found wrong here, nothing has been set yet.
            sysctl::path(&key, "lo")?;
            let Some(text) = value.as_str() else {
                let msg = format!("sysctl.{key} must be text, not {value}");
                return Err(CniError::new(codes::INVALID_CONFIG, msg));
            };
            Ok((key, text.to_owned()))
        })
        .collect()
}

fn refuse(sysctls: &[(String, String)], allowlist: &str) -> Result<(), CniError> {
    let patterns: Vec<_> = allowlist
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            regex_lite::Regex::new(line).map_err(|error| {
                let msg = format!("{ALLOWLIST}: {line:?} is no pattern");
                CniError::caused(codes::INVALID_CONFIG, msg, &error)
            })
        })
        .collect::<Result<_, _>>()?;
    for (key, _value) in sysctls {
        if !patterns.iter().any(|pattern| pattern.is_match(key)) {
            let msg = format!("sysctl {key} is not allowed: {ALLOWLIST} has no pattern for it");
            return Err(CniError::new(codes::INVALID_CONFIG, msg));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_pattern_matches_is_allowed() {
        let sysctls = |key: &str| vec![(key.to_owned(), "1".to_owned())];
        let list = "^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$\n\n  net.core  \n";
        for allowed in ["net.ipv4.conf.IFNAME.arp_filter", "net.core.somaxconn"] {
            assert_eq!(refuse(&sysctls(allowed), list), Ok(()));
        }
        let error = refuse(&sysctls("net.ipv4.ip_forward"), list).unwrap_err();
        assert!(error.msg.starts_with("sysctl net.ipv4.ip_forward is not allowed"), "{error}");
        let error = refuse(&sysctls("net.x"), "(").unwrap_err();
        assert!(error.msg.contains("\"(\" is no pattern"), "{error}");
    }
}
