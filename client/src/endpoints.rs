//! Which server to try next, pure; `now` is an argument.
//!
//! Laws: the one that failed longest ago comes first, one that never failed before all others, in the order given; one that
//! is barred never comes; there are never more than the limit.
use crate::endpoint::Endpoint;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Endpoints {
    all: Vec<Known>,
    limit: usize,
}

#[derive(Debug)]
struct Known {
    endpoint: Endpoint,
    failed: Option<Instant>,
    use_: Use,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Possible,
    /// It said that we must not return.
    Barred,
}

impl Endpoints {
    /// Those the program names are always kept; servers may add to them up to `limit`.
    pub(crate) fn new(endpoints: Vec<Endpoint>, limit: usize) -> Self {
        let mut all = Self {
            all: Vec::new(),
            limit: limit.max(endpoints.len()),
        };
        for endpoint in endpoints {
            all.add(endpoint);
        }
        all
    }

    /// The next to try; `None` where none is left.
    pub(crate) fn first(&self) -> Option<&Endpoint> {
        let possible = self.all.iter().filter(|known| known.use_ == Use::Possible);
        // Of equals the first is taken.
        let first = possible.min_by_key(|known| known.failed);
        first.map(|known| &known.endpoint)
    }

    pub(crate) fn handle_failure(&mut self, now: Instant, endpoint: &Endpoint) {
        if let Some(known) = self.find(endpoint) {
            known.failed = Some(now);
        }
    }

    /// It must not be tried again.
    pub(crate) fn bar(&mut self, endpoint: &Endpoint) {
        if let Some(known) = self.find(endpoint) {
            known.use_ = Use::Barred;
        }
    }

    /// Takes what a server says about others. A connection that could be read by nobody is not given up for one that can,
    /// and what is no URL is passed over.
    pub(crate) fn learn(&mut self, from: &Endpoint, urls: &[String]) {
        for url in urls {
            match Endpoint::parse(url) {
                Ok(endpoint) if endpoint.scheme() >= from.scheme() => self.add(endpoint),
                _ => {}
            }
        }
    }

    fn add(&mut self, endpoint: Endpoint) {
        if self.all.len() < self.limit && self.find(&endpoint).is_none() {
            self.all.push(Known {
                endpoint,
                failed: None,
                use_: Use::Possible,
            });
        }
    }

    fn find(&mut self, endpoint: &Endpoint) -> Option<&mut Known> {
        self.all
            .iter_mut()
            .find(|known| known.endpoint == *endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn endpoint(name: &str) -> Endpoint {
        Endpoint::parse(&format!("ws://{name}")).unwrap()
    }

    fn endpoints(names: &[&str]) -> Endpoints {
        Endpoints::new(names.iter().map(|name| endpoint(name)).collect(), 4)
    }

    fn first(endpoints: &Endpoints) -> Option<String> {
        endpoints.first().map(|first| first.host().to_owned())
    }

    #[test]
    fn what_servers_add_is_bounded_and_never_less_safe() {
        let mut known = endpoints(&["a"]);
        let from = endpoint("a");
        let urls = ["ws://a", "ws://b", "x", "ws://c", "ws://d", "ws://e"].map(String::from);
        known.learn(&from, &urls);
        let all: Vec<_> = known
            .all
            .iter()
            .map(|known| known.endpoint.host())
            .collect();
        assert_eq!(all, ["a", "b", "c", "d"]);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_safe_connection_is_not_given_up_for_one_that_is_not() {
        let from = Endpoint::parse("wss://a").unwrap();
        let mut known = Endpoints::new(vec![from.clone()], 4);
        known.learn(&from, &["ws://b".into(), "wss://c".into()]);
        assert_eq!(known.all.len(), 2);
    }

    #[test]
    fn where_all_are_barred_none_is_left() {
        let mut known = endpoints(&["a", "b"]);
        known.bar(&endpoint("a"));
        assert_eq!(first(&known).as_deref(), Some("b"));
        known.bar(&endpoint("b"));
        assert_eq!(first(&known), None);
    }

    proptest! {
        #[test]
        fn the_one_that_failed_longest_ago_comes_first(failures in prop::collection::vec(0..4_usize, 0..40)) {
            let names = ["a", "b", "c", "d"];
            let mut known = endpoints(&names);
            let start = Instant::now();
            // By the last time of each, never first.
            let mut order: Vec<usize> = (0..4).collect();
            for (at, failed) in failures.into_iter().enumerate() {
                known.handle_failure(start + Duration::from_secs(at as u64), &endpoint(names[failed]));
                order.retain(|other| *other != failed);
                order.push(failed);
                // Those that never failed stand in the order given, in front.
                prop_assert_eq!(first(&known).unwrap(), names[order[0]]);
            }
        }
    }
}
