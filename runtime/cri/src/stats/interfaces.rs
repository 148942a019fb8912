//! The counters of a network namespace's interfaces.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// One interface's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) name: String,
    pub(super) rx_bytes: u64,
    pub(super) rx_errors: u64,
    pub(super) tx_bytes: u64,
    pub(super) tx_errors: u64,
}

/// Reads them in a thread of its own, that is in the namespace for the rest of its short life: a
/// thread of a pool must not come back changed. Blocks.
pub(super) fn read(namespace: &Path) -> io::Result<Vec<Counters>> {
    let file = File::open(namespace)?;
    let reader = std::thread::Builder::new().name("interfaces".to_owned()).spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        std::fs::read_to_string("/proc/thread-self/net/dev")
    })?;
    let text = reader.join().map_err(|_panic| io::Error::other("the reading thread failed"))??;
    Ok(parse(&text))
}

/// proc_pid_net(5): two lines of headings, then a name and sixteen numbers.
fn parse(text: &str) -> Vec<Counters> {
    text.lines()
        .filter_map(|line| {
            let (name, numbers) = line.split_once(':')?;
            let numbers: Vec<u64> =
                numbers.split_whitespace().map_while(|number| number.parse().ok()).collect();
            Some(Counters {
                name: name.trim().to_owned(),
                rx_bytes: *numbers.first()?,
                rx_errors: *numbers.get(2)?,
                tx_bytes: *numbers.get(8)?,
                tx_errors: *numbers.get(10)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       2    0    0    0     0          0         0      100       2    0    0    0     0       0          0
  eth0: 7334391    5036    1    0    0     0          0         0   307241    3919    2    0    0     0       0          0
";
        let expected = Counters {
            name: "eth0".to_owned(),
            rx_bytes: 7_334_391,
            rx_errors: 1,
            tx_bytes: 307_241,
            tx_errors: 2,
        };
        assert_eq!(parse(text)[1], expected);
        assert_eq!(parse(text).len(), 2);
        assert_eq!(parse("nonsense: 1 2\n"), []);
    }
}
