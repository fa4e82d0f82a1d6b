//! Connections that the service makes on an administrator's word, and names that lead where none may be made.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use policy::documents::{BaseUrl, NOT_ORDINARY, OutboundAddresses};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How long a name may take to resolve before a provider is accepted unseen.
const PATIENCE: Duration = Duration::from_secs(2);

/// Resolves names for one connection and leaves out every address that may not be connected to: what a name led to
/// before says nothing about where it leads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guarded(pub(crate) OutboundAddresses);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let Self(addresses) = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> =
                found.filter(|found| addresses.admits(found.ip())).collect();
            if admitted.is_empty() {
                let error = io::Error::new(io::ErrorKind::PermissionDenied, NOT_ORDINARY);
                return Err(error.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Whether the host of `url` is not known to lead to an address that may not be connected to. A name that does not
/// resolve here is not known to lead anywhere.
pub(crate) async fn admits(addresses: OutboundAddresses, url: &BaseUrl) -> bool {
    if addresses == OutboundAddresses::Any || url.is_loopback() {
        return true;
    }
    let looked = tokio::net::lookup_host((url.host.as_str(), url.port));
    match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(mut found)) => found.all(|found| addresses.admits(found.ip())),
        Ok(Err(_)) | Err(_) => addresses.admits_host(&url.host),
    }
}

/// Returns `url` as it may be shown: without what proves who asks. What is no URL is not shown at all.
pub(crate) fn without_user(url: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(url) else {
        return String::from("what is no URL");
    };
    let has_none = url.set_username("").is_ok() && url.set_password(None).is_ok();
    if has_none {
        url.into()
    } else {
        String::from("what is no URL")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resolvers take these spellings for 169.254.169.254 and 0.0.0.0: names that lead there, without any name server.
    const ASTRAY: [&str; 5] = [
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "0",
    ];

    fn url(host: &str) -> BaseUrl {
        let mut url: BaseUrl = "https://localhost".parse().unwrap();
        host.clone_into(&mut url.host);
        url
    }

    #[tokio::test]
    async fn a_name_that_leads_astray_is_not_connected_to() {
        for name in ASTRAY {
            let resolving = Guarded(OutboundAddresses::Ordinary).resolve(name.parse().unwrap());
            let Err(refused) = resolving.await else {
                panic!("{name} is admitted");
            };
            assert!(
                refused.to_string().contains("outbound_addresses"),
                "{refused}"
            );
            let found = Guarded(OutboundAddresses::Any).resolve(name.parse().unwrap());
            assert!(
                found.await.is_ok_and(|mut found| found.next().is_some()),
                "{name}"
            );
        }
        let found = Guarded(OutboundAddresses::Ordinary).resolve("localhost".parse().unwrap());
        assert!(found.await.is_ok_and(|mut found| found.next().is_some()));
    }

    #[test]
    fn a_user_is_never_shown() {
        for (url, shown) in [
            ("http://u:p@h/", "http://h/"),
            ("https://token@h:8443/v1", "https://h:8443/v1"),
            ("http://:p@h/", "http://h/"),
            ("http://u:p%40x@h/a?b", "http://h/a?b"),
            ("http:u:p@h", "http://h/"),
            ("u:p@h", "what is no URL"),
            ("//u:p@h", "what is no URL"),
            ("http://u:p@h:port", "what is no URL"),
            ("http://10.0.0.1:8080", "http://10.0.0.1:8080/"),
        ] {
            assert_eq!(without_user(url), shown, "{url}");
        }
    }

    #[tokio::test]
    async fn a_provider_whose_name_leads_astray_is_seen() {
        for name in ASTRAY {
            assert!(
                !admits(OutboundAddresses::Ordinary, &url(name)).await,
                "{name}"
            );
            assert!(admits(OutboundAddresses::Any, &url(name)).await, "{name}");
        }
        for name in ["localhost", "127.0.0.1", "nothing.invalid"] {
            assert!(
                admits(OutboundAddresses::Ordinary, &url(name)).await,
                "{name}"
            );
        }
    }
}
