//! The credential of filters and Envoys towards this service.

use std::fmt;

use policy::secret::Secret;
use sha2::{Digest, Sha256};
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Admits calls that carry `authorization: Bearer <token>`.
#[derive(Clone)]
pub(crate) struct FilterToken {
    digest: [u8; 32],
}

impl FilterToken {
    pub(crate) fn new(token: &Secret) -> Self {
        Self {
            digest: Sha256::digest(token.expose()).into(),
        }
    }

    fn admits(&self, metadata: &MetadataMap) -> bool {
        let mut values = metadata.get_all("authorization").iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let Some(token) = value.as_bytes().strip_prefix(b"Bearer ") else {
            return false;
        };
        let presented: [u8; 32] = Sha256::digest(token).into();
        // Digests of equal length, every byte looked at: the time says nothing about the token.
        let differences = self
            .digest
            .iter()
            .zip(presented)
            .map(|(own, other)| own ^ other);
        differences.fold(0, |all, difference| all | difference) == 0
    }
}

impl fmt::Debug for FilterToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilterToken(…)")
    }
}

impl Interceptor for FilterToken {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.admits(request.metadata()) {
            return Ok(request);
        }
        Err(Status::unauthenticated(
            "filter token missing or wrong: attach it to the policy cluster as `authorization: Bearer …`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], want: bool) {
        let mut metadata = MetadataMap::new();
        for value in values {
            metadata.append("authorization", value.parse().unwrap());
        }
        assert_eq!(
            FilterToken::new(&Secret::new("right")).admits(&metadata),
            want,
            "{values:?}"
        );
    }

    #[test]
    fn only_the_token_itself_is_admitted() {
        check(&["Bearer right"], true);
        check(&[], false);
        check(&["Bearer wrong"], false);
        check(&["Bearer "], false);
        check(&["right"], false);
        check(&["Basic right"], false);
        check(&["Bearer right", "Bearer right"], false);
    }
}
