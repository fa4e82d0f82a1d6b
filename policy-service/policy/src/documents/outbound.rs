//! Where providers and webhooks may be: which addresses this mesh connects to on an administrator's word.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Which addresses base URLs of providers and the webhook may lead to.
///
/// Under a link-local address clouds tell a machine's own credentials to whoever asks on it, so such an address in a
/// URL is an attack more often than a wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboundAddresses {
    /// Those of this machine, of private networks and of the public network.
    #[default]
    Ordinary,
    /// Link-local ones and all others, too.
    Any,
}

impl OutboundAddresses {
    /// Whether a connection to `address` may be made.
    pub fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ordinary => is_ordinary(address),
        }
    }

    /// Whether a URL may name `host`: a name, or an address without brackets.
    ///
    /// ```
    /// use policy::documents::OutboundAddresses;
    /// assert!(OutboundAddresses::Ordinary.admits_host("10.0.0.1"));
    /// assert!(!OutboundAddresses::Ordinary.admits_host("169.254.169.254"));
    /// ```
    pub fn admits_host(self, host: &str) -> bool {
        host.parse().map_or(true, |address| self.admits(address))
    }
}

/// What is said of a URL whose address may not be connected to.
pub const NOT_ORDINARY: &str = "leads to an address that is neither this machine's nor of a private or the public network \
     (link-local, unspecified, multicast and reserved ones are not); `outbound_addresses: any` in the settings admits it";

/// Services that tell a machine's credentials, where clouds put them outside of link-local addresses.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

fn is_ordinary(address: IpAddr) -> bool {
    let is_metadata = METADATA.contains(&address);
    !is_metadata
        && match address {
            IpAddr::V4(address) => is_ordinary_v4(address),
            IpAddr::V6(address) => is_ordinary_v6(address),
        }
}

/// Loopback, private, shared (RFC 6598) and public addresses; of 192.0.0.0/24 (RFC 6890) none is a host's own.
fn is_ordinary_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    (1..224).contains(&first) && !address.is_link_local() && (first, second, third) != (192, 0, 0)
}

/// Loopback, unique local and global unicast addresses, and those that stand for an ordinary IPv4 address.
fn is_ordinary_v6(address: Ipv6Addr) -> bool {
    if address.is_loopback() {
        return true;
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let [first, second] = high.to_be_bytes();
        let [third, fourth] = low.to_be_bytes();
        is_ordinary(IpAddr::V4(Ipv4Addr::new(first, second, third, fourth)))
    };
    match [a, b, c, d, e, f] {
        // IPv4-compatible and IPv4-mapped; NAT64 (RFC 6052), and where operators have it (RFC 8215).
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0, 0, 0, 0, 0xffff, 0] => v4(g, h),
        [0x64, 0xff9b, 1, ..] => v4(g, h),
        // 6to4.
        [0x2002, ..] => v4(b, c),
        // Teredo: of its client's address each bit is turned round.
        [0x2001, 0, ..] => v4(!g, !h) && v4(c, d),
        // ISATAP, below any prefix.
        [.., 0 | 0x200, 0x5efe] => v4(g, h) && is_own_or_global(a),
        _ => is_own_or_global(a),
    }
}

/// fc00::/7 and 2000::/3.
const fn is_own_or_global(first: u16) -> bool {
    first & 0xfe00 == 0xfc00 || first & 0xe000 == 0x2000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::BaseUrl;

    /// Whether a base URL with this authority is read, and its host admitted.
    fn admitted(authority: &str) -> bool {
        let url = format!("http://{authority}/v1").parse::<BaseUrl>();
        url.is_ok_and(|url| OutboundAddresses::Ordinary.admits_host(&url.host))
    }

    #[test]
    fn this_machine_private_and_public_networks_are_admitted() {
        for authority in [
            "127.0.0.1",
            "127.9.9.9:8080",
            "localhost",
            "[::1]:9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "1.1.1.1",
            "[fd12:3456::1]",
            "[2606:4700::1111]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::1.1.1.1]",
            "[2002:0101:0101::1]",
            "api.openai.com",
            "169-254-169-254.example.com",
        ] {
            assert!(admitted(authority), "{authority}");
        }
    }

    #[test]
    fn other_addresses_are_not_in_whatever_spelling() {
        for authority in [
            "169.254.169.254",
            "169.254.0.1:80",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "100.100.100.200",
            "168.63.129.16",
            "[::]",
            "[fe80::1]",
            "[febf::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
            "[100::1]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[::169.254.169.254]",
            "[::ffff:0:169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[2001:0:101:101::5601:5601]",
            "[2606:4700::5efe:a9fe:a9fe]",
            "[::ffff:100.100.100.200]",
            "[::ffff:0.0.0.0]",
            // Spellings that resolvers take for 169.254.169.254.
            "2852039166",
            "0xa9fea9fe",
            "0XA9FEA9FE",
            "025177524776",
            "169.254.43518",
            "169.16689662",
            "0xa9.0xfe.0xa9.0xfe",
            "169.254.169.0xfe",
            "0251.0376.0251.0376",
            "0251.254.169.254",
            "169.254.169.254.",
            "0",
            "0x0",
            "0x",
            "1.0x",
        ] {
            assert!(!admitted(authority), "{authority}");
        }
    }

    #[test]
    fn any_means_any() {
        for host in ["169.254.169.254", "fe80::1", "0.0.0.0"] {
            assert!(OutboundAddresses::Any.admits_host(host), "{host}");
        }
    }

    proptest::proptest! {
        /// However an IPv4 address is wrapped, it is what it is.
        #[test]
        fn a_wrapped_address_is_judged_as_itself(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let [high, low] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
            let wanted = is_ordinary(address.into());
            for wrapped in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0x101, 0x101, 0, 0, !high, !low),
            ] {
                proptest::prop_assert_eq!(is_ordinary(wrapped.into()), wanted, "{}", wrapped);
            }
        }
    }
}
