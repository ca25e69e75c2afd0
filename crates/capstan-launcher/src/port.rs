//! Picks ports of the loopback address that stay free until a server binds them.

use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which systems lend ports to outgoing connections: a port lent while a crashed server is down
/// would keep it from coming back on the same port.
const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

/// `wanted`, or a port that is free right now if `wanted` is 0.
pub(crate) fn choose(wanted: u16) -> u16 {
    if wanted != 0 {
        return wanted;
    }
    let start = (crate::tag::number() % u64::from(COUNT)) as u16;
    (0..COUNT).map(|step| FIRST + (start + step) % COUNT).find(|port| is_free(*port)).unwrap_or(FIRST + start)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_port_is_left_alone() {
        assert_eq!(choose(4222), 4222);
    }

    #[test]
    fn a_port_in_use_is_never_chosen() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
        assert!(is_free(choose(0)));
    }
}
