//! Reading and printing base URLs.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use super::{BaseUrl, Tls};

/// A text that is no base URL of a provider. What was written is not told again: a credential may stand anywhere in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    #[error("a base URL starts with `https://` or `http://`")]
    Scheme,
    #[error("a base URL must not hold a user, a query, a fragment, escapes or white space")]
    Extra,
    #[error("what stands where the host belongs is not a host name or an IP address")]
    Host,
    #[error("what follows the host is not a port")]
    Port,
    #[error("the path must not hold empty, `.` or `..` segments")]
    Path,
}

/// Reads `http(s)://host[:port][/path]`; a trailing slash of the path is dropped.
///
/// ```
/// let url: policy::documents::BaseUrl = "https://api.groq.com/openai/v1/".parse()?;
/// assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("api.groq.com", 443, "/openai/v1"));
/// # Ok::<(), policy::documents::BaseUrlError>(())
/// ```
impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (Tls::Verified, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (Tls::Plain, rest)
        } else {
            return Err(BaseUrlError::Scheme);
        };
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '%' | '\\');
        if !rest.chars().all(is_plain) {
            return Err(BaseUrlError::Extra);
        }
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path.strip_suffix('/').unwrap_or(path)),
            None => (rest, ""),
        };
        let is_normal = |segment: &str| !matches!(segment, "" | "." | "..");
        if !path.is_empty() && !path.split('/').all(is_normal) {
            return Err(BaseUrlError::Path);
        }
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => read_port(port)?,
            None if tls == Tls::Verified => 443,
            None => 80,
        };
        let path = if path.is_empty() {
            String::new()
        } else {
            format!("/{path}")
        };
        Ok(Self {
            tls,
            host,
            port,
            path,
        })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual_port) = match self.tls {
            Tls::Verified => ("https", 443),
            Tls::Plain => ("http", 80),
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]", self.host)?;
        } else {
            write!(f, "{scheme}://{}", self.host)?;
        }
        if self.port != usual_port {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl BaseUrl {
    /// Returns host and port as HTTP names them: the scheme's own port is left out.
    ///
    /// ```
    /// let url: policy::documents::BaseUrl = "https://[::1]:8443/v1".parse()?;
    /// assert_eq!(url.authority(), "[::1]:8443");
    /// # Ok::<(), policy::documents::BaseUrlError>(())
    /// ```
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.tls, self.port) {
            (Tls::Verified, 443) | (Tls::Plain, 80) => host,
            (Tls::Verified | Tls::Plain, port) => format!("{host}:{port}"),
        }
    }

    /// Whether the host is this machine, by name or address.
    pub fn is_loopback(&self) -> bool {
        let is_v4 = || {
            self.host
                .parse::<Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback())
        };
        let is_v6 = || {
            self.host
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| address.is_loopback())
        };
        self.host == "localhost" || self.host.ends_with(".localhost") || is_v4() || is_v6()
    }
}

fn split_authority(authority: &str) -> Result<(String, Option<&str>), BaseUrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(BaseUrlError::Host)?;
        let address: Ipv6Addr = host.parse().map_err(|_invalid| BaseUrlError::Host)?;
        return match port.strip_prefix(':') {
            None if port.is_empty() => Ok((address.to_string(), None)),
            None => Err(BaseUrlError::Host),
            port => Ok((address.to_string(), port)),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host = host.to_ascii_lowercase();
    if is_host(&host) {
        Ok((host, port))
    } else {
        Err(BaseUrlError::Host)
    }
}

fn read_port(port: &str) -> Result<u16, BaseUrlError> {
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_number { port.parse().ok() } else { None };
    number.filter(|port| *port != 0).ok_or(BaseUrlError::Port)
}

/// Whether `host` is a lower-case DNS name or an IP address without brackets.
pub(crate) fn is_host(host: &str) -> bool {
    if host.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    let is_name = host.len() <= 253 && host.split('.').all(is_label);
    // A last label that is a number makes it an address (WHATWG URL, "ends in a number"), and then it must be a whole
    // one: what resolvers make of other spellings is not known here.
    let is_number = |label: &str| {
        let hex = label.strip_prefix("0x");
        hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            || label.bytes().all(|b| b.is_ascii_digit())
    };
    let is_numeric = host.rsplit('.').next().is_some_and(is_number);
    is_name && (!is_numeric || host.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, want: (Tls, &str, u16, &str)) {
        let url: BaseUrl = text.parse().unwrap();
        assert_eq!(
            (url.tls, url.host.as_str(), url.port, url.path.as_str()),
            want
        );
        assert_eq!(url.to_string().parse(), Ok(url));
    }

    #[test]
    fn urls_are_read() {
        reads(
            "https://api.openai.com/v1",
            (Tls::Verified, "api.openai.com", 443, "/v1"),
        );
        reads(
            "http://localhost:11434/v1/",
            (Tls::Plain, "localhost", 11434, "/v1"),
        );
        reads(
            "https://API.Anthropic.com",
            (Tls::Verified, "api.anthropic.com", 443, ""),
        );
        reads(
            "http://127.0.0.1:9/a/b",
            (Tls::Plain, "127.0.0.1", 9, "/a/b"),
        );
        reads("https://[::1]:8443/", (Tls::Verified, "::1", 8443, ""));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "api.openai.com",
            "ftp://x",
            "https://",
            "https:///v1",
            "https://a b",
            "https://u:p@h",
            "https://h/?q",
            "https://h/#f",
            "https://h/%2e",
            "https://h:0",
            "https://h:99999",
            "https://h:",
            "https://h:+80",
            "https://-h",
            "https://1.2.3",
            "https://h/a//b",
            "https://h/../b",
            "https://[::1",
            "https://[::1]x",
            "https://[h]",
            "https://h\\x",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_written_is_not_told_again() {
        for text in [
            "https://ops:hunter2@h/v1",
            "https://hunter2@h",
            "https://ops:hunter2/v1",
            "https://hunter2!/v1",
            "https://-hunter2",
            "https://[hunter2]",
            "https://[::1]hunter2",
            "https://h:hunter2",
            "https://h/a//hunter2",
            "https://h/?key=hunter2",
            "ftp://ops:hunter2@h",
            "hunter2",
        ] {
            let refused = text.parse::<BaseUrl>().unwrap_err();
            assert!(
                !format!("{refused} {refused:?}").contains("hunter2"),
                "{text}: {refused}"
            );
        }
    }

    #[test]
    fn loopback_hosts_are_known() {
        for (text, want) in [
            ("http://localhost", true),
            ("http://127.3.2.1", true),
            ("http://[::1]", true),
            ("http://10.0.0.1", false),
            ("https://api.openai.com", false),
        ] {
            assert_eq!(
                text.parse::<BaseUrl>().unwrap().is_loopback(),
                want,
                "{text}"
            );
        }
    }
}
