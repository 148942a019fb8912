//! Traffic control: limiting the rate of what leaves a link, and redirecting what comes in
//! (`linux/pkt_sched.h`, `linux/pkt_cls.h`).

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::Links;
use crate::error::NetlinkError;
use crate::wire::{Wire, find, ne32, text_of};

const NEW_QDISC: u16 = 36;
const GET_QDISC: u16 = 38;
const NEW_FILTER: u16 = 44;
const GET_FILTER: u16 = 46;

/// Size of `struct tcmsg`.
const HEADER_BYTES: usize = 20;
const KIND: u16 = 1;
const OPTIONS: u16 = 2;

const ROOT: u32 = 0xffff_ffff;
/// `TC_H_INGRESS`, and the handle that an ingress qdisc always has.
const INGRESS: u32 = 0xffff_fff1;
const INGRESS_HANDLE: u32 = 0xffff_0000;
const FIRST_HANDLE: u32 = 0x0001_0000;

const TBF_PARAMETERS: u16 = 1;
const TBF_RATE64: u16 = 4;
/// Size of `struct tc_ratespec`.
const RATE_BYTES: usize = 12;

/// A tick of the packet scheduler is 64 nanoseconds (`PSCHED_SHIFT`).
const TICK_NS: u128 = 64;

/// A token bucket: `rate` on average, `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    /// Bytes a second.
    pub rate: u64,
    /// Bytes.
    pub burst: u32,
    /// How many bytes wait at most; what comes beyond is dropped.
    pub limit: u32,
}

/// A queueing discipline as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// The kernel's name of it: `tbf`, `ingress`, `noqueue` …
    pub kind: String,
    /// It serves all that leaves the link.
    pub root: bool,
    /// Its parameters, where it is a token bucket. The burst is what the kernel makes of it: whole
    /// ticks of the time that it takes.
    pub token_bucket: Option<TokenBucket>,
}

impl TokenBucket {
    /// The time that a burst takes, in ticks.
    fn ticks(self) -> u32 {
        let burst_ns = u128::from(self.burst) * 1_000_000_000 / u128::from(self.rate.max(1));
        u32::try_from(burst_ns / TICK_NS).unwrap_or(u32::MAX)
    }

    /// `struct tc_tbf_qopt`: two rates, limit, buffer, MTU.
    fn write(self, wire: &mut Wire) {
        let mut parameters = [0; 2 * RATE_BYTES + 12];
        let rate = u32::try_from(self.rate).unwrap_or(u32::MAX);
        // TC_LINKLAYER_ETHERNET: else the kernel wants a table of 256 times.
        parameters[1] = 1;
        parameters[8..12].copy_from_slice(&rate.to_ne_bytes());
        parameters[24..28].copy_from_slice(&self.limit.to_ne_bytes());
        parameters[28..32].copy_from_slice(&self.ticks().to_ne_bytes());
        wire.attribute(TBF_PARAMETERS, &parameters);
        if self.rate > u64::from(u32::MAX) {
            wire.attribute(TBF_RATE64, &self.rate.to_ne_bytes());
        }
    }

    fn read(options: &[u8]) -> Option<Self> {
        let parameters = find(options, TBF_PARAMETERS)?;
        let rate64 = find(options, TBF_RATE64).and_then(|value| value.try_into().ok());
        let rate = rate64.map(u64::from_ne_bytes).or(ne32(parameters, 8).map(u64::from))?;
        let ticks = ne32(parameters, 28)?;
        let burst = u128::from(ticks) * TICK_NS * u128::from(rate) / 1_000_000_000;
        let burst = u32::try_from(burst).unwrap_or(u32::MAX);
        Some(Self { rate, burst, limit: ne32(parameters, 24)? })
    }

    /// Whether this is what the kernel shows after `wanted` was set: it keeps the burst as a time.
    #[must_use]
    pub fn is(self, wanted: Self) -> bool {
        let near = self.ticks().abs_diff(wanted.ticks()) <= 1;
        self.rate == wanted.rate && self.limit == wanted.limit && near
    }
}

impl Links {
    /// Limits what leaves a link.
    ///
    /// # Errors
    /// EEXIST when the link has a queueing discipline that somebody set.
    pub fn add_token_bucket(&mut self, link: u32, bucket: TokenBucket) -> Result<(), NetlinkError> {
        let request = || format!("add token bucket {bucket:?} to link {link}");
        self.connection.request(NEW_QDISC, NLM_F_CREATE | NLM_F_EXCL, request, |wire| {
            header(wire, link, FIRST_HANDLE, ROOT, 0);
            wire.text(KIND, "tbf");
            wire.nest(OPTIONS, |wire| bucket.write(wire));
        })
    }

    /// Gives a link a place for filters of what comes in.
    ///
    /// # Errors
    /// EEXIST when it has one.
    pub fn add_ingress(&mut self, link: u32) -> Result<(), NetlinkError> {
        let request = || format!("add ingress to link {link}");
        self.connection.request(NEW_QDISC, NLM_F_CREATE | NLM_F_EXCL, request, |wire| {
            header(wire, link, INGRESS_HANDLE, INGRESS, 0);
            wire.text(KIND, "ingress");
        })
    }

    /// Redirects all that comes in by a link, as if it left by another. The link needs
    /// [`Links::add_ingress`] before.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn redirect_ingress(&mut self, link: u32, to: u32) -> Result<(), NetlinkError> {
        /// Priority 1; ETH_P_ALL in network byte order.
        const INFO: u32 = 1 << 16 | 0x0003_u16.to_be() as u32;
        let request = || format!("redirect ingress of link {link} to link {to}");
        self.connection.request(NEW_FILTER, NLM_F_CREATE | NLM_F_EXCL, request, |wire| {
            header(wire, link, 0, INGRESS_HANDLE, INFO);
            wire.text(KIND, "u32");
            wire.nest(OPTIONS, |wire| write_redirection(wire, to));
        })
    }

    /// The queueing disciplines of a link.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn qdiscs(&mut self, link: u32) -> Result<Vec<Qdisc>, NetlinkError> {
        self.connection.dump(
            GET_QDISC,
            || format!("list queueing disciplines of link {link}"),
            |wire| header(wire, link, 0, 0, 0),
            |body| Ok(read(link, body)),
        )
    }

    /// How many filters a link has for what comes in.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn ingress_filters(&mut self, link: u32) -> Result<usize, NetlinkError> {
        let list = self.connection.dump(
            GET_FILTER,
            || format!("list ingress filters of link {link}"),
            |wire| header(wire, link, 0, INGRESS_HANDLE, 0),
            |body| Ok((ne32(body, 4) == Some(link)).then_some(())),
        )?;
        Ok(list.len())
    }
}

/// `struct tcmsg`.
fn header(wire: &mut Wire, link: u32, handle: u32, parent: u32, info: u32) {
    let mut bytes = [0; HEADER_BYTES];
    for (place, value) in [(4, link), (8, handle), (12, parent), (16, info)] {
        bytes[place..place + 4].copy_from_slice(&value.to_ne_bytes());
    }
    wire.raw(&bytes);
}

/// A `u32` filter that every packet matches, with a `mirred` action.
fn write_redirection(wire: &mut Wire, to: u32) {
    const CLASS_ID: u16 = 1;
    const SELECTOR: u16 = 5;
    const ACTIONS: u16 = 7;
    const MIRRED_PARAMETERS: u16 = 2;
    const STOLEN: u32 = 4;
    const EGRESS_REDIRECT: u32 = 1;
    // `struct tc_u32_sel` with one key, whose mask is zero: TC_U32_TERMINAL, one key.
    let mut selector = [0; 32];
    selector[0] = 1;
    selector[2] = 1;
    wire.attribute(CLASS_ID, &(FIRST_HANDLE | 1).to_ne_bytes());
    wire.attribute(SELECTOR, &selector);
    wire.nest(ACTIONS, |wire| {
        wire.nest(1, |wire| {
            wire.text(KIND, "mirred");
            wire.nest(OPTIONS, |wire| {
                // `struct tc_mirred`: index, capabilities, action, two counts, what to do, link.
                let fields = [0, 0, STOLEN, 0, 0, EGRESS_REDIRECT, to];
                let bytes: Vec<_> = fields.into_iter().flat_map(u32::to_ne_bytes).collect();
                wire.attribute(MIRRED_PARAMETERS, &bytes);
            });
        });
    });
}

fn read(link: u32, body: &[u8]) -> Option<Qdisc> {
    if ne32(body, 4) != Some(link) {
        return None;
    }
    let root = ne32(body, 12) == Some(ROOT);
    let attributes = body.get(HEADER_BYTES..)?;
    let kind = text_of(find(attributes, KIND)?);
    let options = find(attributes, OPTIONS).filter(|_options| kind == "tbf");
    Some(Qdisc { kind, root, token_bucket: options.and_then(TokenBucket::read) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_buckets_survive_the_kernel_form() {
        for bucket in [
            TokenBucket { rate: 125_000, burst: 10_000, limit: 13_125 },
            TokenBucket { rate: 6_000_000_000, burst: 200_000_000, limit: 350_000_000 },
        ] {
            let mut wire = Wire::default();
            bucket.write(&mut wire);
            let read = TokenBucket::read(wire.bytes()).unwrap();
            assert!(read.is(bucket), "{read:?} {bucket:?}");
            assert!(!read.is(TokenBucket { rate: bucket.rate + 1, ..bucket }));
        }
        assert_eq!(TokenBucket::read(&[]), None);
    }
}
