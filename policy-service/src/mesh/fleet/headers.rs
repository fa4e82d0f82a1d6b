//! Headers that did not pass, summed over VMs.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use policy::header::is_plain;
use serde::Serialize;
use utoipa::ToSchema;
use wire::mesh::VmCounters;

/// Names that are kept apart, each way; VMs may each have met others.
const KEPT: usize = 256;

/// Names that are shown, each way; 64 in all.
const SHOWN: usize = 32;

/// Headers that did not pass because no list names them, since the service started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DroppedHeaders {
    /// From clients to providers.
    pub request: Vec<DroppedHeader>,
    /// From clients to providers: what has no place in the list, and names that are no plain words.
    pub other_request: u64,
    /// From providers to clients.
    pub response: Vec<DroppedHeader>,
    /// From providers to clients: what has no place in the list, and names that are no plain words.
    pub other_response: u64,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DroppedHeader {
    pub name: String,
    pub count: u64,
}

/// Sums by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped {
    request: Counts,
    response: Counts,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    by_name: BTreeMap<String, u64>,
    others: u64,
}

impl Dropped {
    /// Reads what a VM told; a name that no filter tells has none here either.
    pub(super) fn read(counters: Option<&VmCounters>) -> Self {
        let mut dropped = Self::default();
        for told in counters
            .iter()
            .flat_map(|counters| &counters.dropped_headers)
        {
            let counts = if told.is_response {
                &mut dropped.response
            } else {
                &mut dropped.request
            };
            counts.add(&told.name, told.count);
        }
        dropped
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.request.add_all(&other.request);
        self.response.add_all(&other.response);
    }

    /// Returns the commonest names first.
    pub(super) fn shown(self) -> DroppedHeaders {
        let (request, other_request) = self.request.shown();
        let (response, other_response) = self.response.shown();
        DroppedHeaders {
            request,
            other_request,
            response,
            other_response,
        }
    }
}

impl Counts {
    fn add(&mut self, name: &str, count: u64) {
        let has_place = self.by_name.len() < KEPT || self.by_name.contains_key(name);
        let sum = if has_place && is_plain(name) {
            self.by_name.entry(name.to_owned()).or_default()
        } else {
            &mut self.others
        };
        *sum = sum.saturating_add(count);
    }

    fn add_all(&mut self, other: &Self) {
        for (name, count) in &other.by_name {
            self.add(name, *count);
        }
        self.others = self.others.saturating_add(other.others);
    }

    fn shown(self) -> (Vec<DroppedHeader>, u64) {
        let named = self.by_name.into_iter();
        let mut named: Vec<_> = named
            .map(|(name, count)| DroppedHeader { name, count })
            .collect();
        named.sort_by_key(|header| Reverse(header.count));
        let rest = named.split_off(named.len().min(SHOWN));
        let others = rest
            .iter()
            .fold(self.others, |sum, header| sum.saturating_add(header.count));
        (named, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(headers: &[(bool, &str, u64)]) -> Dropped {
        let headers = headers
            .iter()
            .map(|(is_response, name, count)| wire::mesh::DroppedHeader {
                is_response: *is_response,
                name: (*name).to_owned(),
                count: *count,
            });
        let counters = VmCounters {
            dropped_headers: headers.collect(),
            ..VmCounters::default()
        };
        Dropped::read(Some(&counters))
    }

    fn header(name: &str, count: u64) -> DroppedHeader {
        DroppedHeader {
            name: name.to_owned(),
            count,
        }
    }

    #[test]
    fn names_are_summed_by_way_and_the_commonest_come_first() {
        let mut sum = told(&[
            (false, "via", 1),
            (false, "te", 4),
            (true, "via", 2),
            (true, "", 5),
        ]);
        sum.add(&told(&[
            (false, "via", 6),
            (false, "<b>", 3),
            (false, &"x".repeat(65), 1),
        ]));
        let want = DroppedHeaders {
            request: vec![header("via", 7), header("te", 4)],
            other_request: 4,
            response: vec![header("via", 2)],
            other_response: 5,
        };
        assert_eq!(sum.shown(), want);
    }

    #[test]
    fn no_fleet_makes_it_long_and_nothing_is_lost() {
        let mut sum = Dropped::default();
        for vm in 0..40 {
            let names: Vec<String> = (0..32).map(|nth| format!("x-{vm}-{nth}")).collect();
            let headers: Vec<_> = names.iter().map(|name| (false, name.as_str(), 1)).collect();
            sum.add(&told(&headers));
        }
        assert_eq!(sum.request.by_name.len(), KEPT);
        let shown = sum.shown();
        assert_eq!(
            (shown.request.len(), shown.other_request),
            (SHOWN, 40 * 32 - SHOWN as u64)
        );
    }
}
