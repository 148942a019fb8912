//! `conditionsV4` and `conditionsV6`: which packets the mappings hold for, in the words of `nft`
//! or of `iptables`. Only what is read here is honoured; any other word is refused by name.

use corten_cni_types::{IpNet, Protocol};
use corten_sys_netlink::tables::{Base, Expression, MetaKey, Operator, Register};

use super::rules::number;
use crate::nft;

/// The words of a list of conditions, in which spaces part words as well.
struct Words<'a> {
    words: std::iter::Peekable<Box<dyn Iterator<Item = &'a str> + 'a>>,
    ipv4: bool,
}

/// Reads the conditions of one family; none match everything.
pub(super) fn parse(conditions: &[String], ipv4: bool) -> Result<Vec<Expression>, String> {
    let words: Box<dyn Iterator<Item = &str>> =
        Box::new(conditions.iter().flat_map(|text| text.split_whitespace()));
    let mut words = Words { words: words.peekable(), ipv4 };
    let mut rule = Vec::new();
    while let Some(word) = words.words.next() {
        rule.extend(words.condition(word)?);
    }
    Ok(rule)
}

impl<'a> Words<'a> {
    fn next(&mut self, after: &str) -> Result<&'a str, String> {
        self.words.next().ok_or_else(|| format!("there is nothing after {after:?}"))
    }

    /// `!=` or nothing.
    fn operator(&mut self) -> Operator {
        match self.words.next_if(|word| *word == "!=") {
            Some(_not) => Operator::NotEqual,
            None => Operator::Equal,
        }
    }

    fn condition(&mut self, word: &str) -> Result<Vec<Expression>, String> {
        match word {
            "!" => {
                let option = self.next(word)?;
                self.option(option, Operator::NotEqual)
            }
            "ip" | "ip6" => {
                if (word == "ip") != self.ipv4 {
                    return Err(format!("{word:?} is of the other family"));
                }
                let field = self.next(word)?;
                let destination = match field {
                    "saddr" => false,
                    "daddr" => true,
                    other => return Err(unknown(other)),
                };
                let operator = self.operator();
                self.address(field, destination, operator)
            }
            "iifname" | "oifname" => {
                let operator = self.operator();
                self.interface(word, operator)
            }
            "tcp" | "udp" | "sctp" => {
                let field = self.next(word)?;
                let offset = match field {
                    "sport" => 0,
                    "dport" => 2,
                    other => return Err(unknown(other)),
                };
                let operator = self.operator();
                let mut rule = protocol(word, Operator::Equal)?;
                rule.extend(self.port(field, offset, operator)?);
                Ok(rule)
            }
            option => self.option(option, Operator::Equal),
        }
    }

    /// One of `iptables`' options.
    fn option(&mut self, option: &str, operator: Operator) -> Result<Vec<Expression>, String> {
        match option {
            "-s" | "--source" | "--src" => self.address(option, false, operator),
            "-d" | "--destination" | "--dst" => self.address(option, true, operator),
            "-i" | "--in-interface" => self.interface("iifname", operator),
            "-p" | "--protocol" => protocol(self.next(option)?, operator),
            "--sport" | "--source-port" => self.port(option, 0, operator),
            "--dport" | "--destination-port" => self.port(option, 2, operator),
            other => Err(unknown(other)),
        }
    }

    fn address(
        &mut self,
        after: &str,
        destination: bool,
        operator: Operator,
    ) -> Result<Vec<Expression>, String> {
        let text = self.next(after)?;
        let host = text.parse().ok().map(IpNet::host);
        let net = host.map_or_else(|| text.parse::<IpNet>().map_err(|it| it.to_string()), Ok)?;
        if net.is_ipv4() != self.ipv4 {
            return Err(format!("{text:?} is of the other family"));
        }
        Ok(nft::in_network(net, destination, operator).into())
    }

    fn interface(&mut self, word: &str, operator: Operator) -> Result<Vec<Expression>, String> {
        let name = self.next(word)?.trim_matches('"');
        corten_cni_types::validate_interface_name(name).map_err(|error| error.to_string())?;
        let key = if word == "oifname" { MetaKey::OutputName } else { MetaKey::InputName };
        Ok(nft::interface(key, name, operator).into())
    }

    fn port(
        &mut self,
        after: &str,
        offset: u32,
        operator: Operator,
    ) -> Result<Vec<Expression>, String> {
        let text = self.next(after)?;
        let port: u16 = text.parse().map_err(|error| format!("port {text:?}: {error}"))?;
        Ok(vec![
            Expression::Payload { base: Base::Transport, offset, length: 2, to: Register(0) },
            Expression::Compare { from: Register(0), operator, value: port.to_be_bytes().to_vec() },
        ])
    }
}

/// `meta l4proto`
pub(super) fn protocol(name: &str, operator: Operator) -> Result<Vec<Expression>, String> {
    let protocol = match name {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        other => return Err(format!("protocol {other:?} has no ports")),
    };
    Ok(vec![
        Expression::Meta { key: MetaKey::TransportProtocol, to: Register(0) },
        Expression::Compare { from: Register(0), operator, value: vec![number(protocol)] },
    ])
}

fn unknown(word: &str) -> String {
    format!(
        "{word:?} is not supported: there are ip and ip6 saddr and daddr, iifname, oifname, \
             tcp, udp and sctp sport and dport, and iptables' -s -d -i -p --sport --dport"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(words: &[&str], ipv4: bool) -> Result<Vec<Expression>, String> {
        parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>(), ipv4)
    }

    #[test]
    fn both_dialects_say_the_same() {
        let nft = rule(&["ip saddr != 10.0.0.0/8", "iifname", "\"eth0\""], true).unwrap();
        let iptables = rule(&["!", "-s", "10.0.0.0/8", "-i", "eth0"], true).unwrap();
        assert_eq!(nft, iptables);
        assert_eq!(nft.len(), 5);
        let nft = rule(&["tcp dport 80"], false).unwrap();
        assert_eq!(nft, rule(&["-p", "tcp", "--dport", "80"], false).unwrap());
        assert_eq!(rule(&[], true), Ok(vec![]));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let cases: &[(&[&str], &str)] = &[
            (&["-m", "comment"], "\"-m\" is not supported"),
            (&["ip", "ttl", "5"], "\"ttl\" is not supported"),
            (&["-s"], "nothing after \"-s\""),
            (&["-s", "fd00::/8"], "is of the other family"),
            (&["ip6", "saddr", "::1"], "is of the other family"),
            (&["-s", "ten"], "is not an address"),
            (&["-p", "icmp"], "has no ports"),
            (&["--dport", "x"], "port \"x\""),
        ];
        for (words, expected) in cases {
            let error = rule(words, true).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
    }
}
