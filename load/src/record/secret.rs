//! What of a command line may be shown to others.
//!
//! Pure. A URL may carry who one is (`user:password@`) and what one may do (`?token=…`): both are cut, wherever in an argument it
//! stands. What is cut stays visible as such.

/// Stands where something was.
const CUT: &str = "***";

/// An argument without the secrets of the URLs in it.
pub fn cut(argument: &str) -> String {
    let mut rest = argument;
    let mut shown = String::with_capacity(argument.len());
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = url.find(ends_a_url).unwrap_or(url.len());
        shown.push_str(&cut_url(&url[..end]));
        rest = &url[end..];
    }
    shown.push_str(rest);
    shown
}

/// What no URL has in it, but what is written around one.
fn ends_a_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | ',')
}

/// What follows `scheme://`.
fn cut_url(url: &str) -> String {
    let authority_end = url.find(['/', '?', '#']).unwrap_or(url.len());
    let (authority, path) = url.split_at(authority_end);
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{CUT}@{host}"),
        None => authority.to_owned(),
    };
    let path = match path.find(['?', '#']) {
        Some(at) => format!("{}{CUT}", &path[..=at]),
        None => path.to_owned(),
    };
    authority + &path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn users_passwords_and_queries_are_cut_and_the_rest_stays() {
        for (argument, shown) in [
            ("--step", "--step"),
            ("ws://127.0.0.1:8124/ws", "ws://127.0.0.1:8124/ws"),
            (
                "--url=ws://me:pw@h:1/ws?token=t",
                "--url=ws://***@h:1/ws?***",
            ),
            ("ws://h?token=t", "ws://h?***"),
            ("ws://h/ws#t", "ws://h/ws#***"),
            ("ws://a@b@h/x", "ws://***@h/x"),
            (
                "{\"a\":\"http://u@h/\",\"b\":\"ws://h/?q\"}",
                "{\"a\":\"http://***@h/\",\"b\":\"ws://h/?***\"}",
            ),
            ("mail me@home", "mail me@home"),
            ("://", "://"),
        ] {
            assert_eq!(cut(argument), shown);
        }
    }

    proptest! {
        #[test]
        fn no_secret_comes_through(
            user in "[A-Z]{8}", token in "[A-Z]{8}", host in "[a-z]{1,9}(:[0-9]{1,5})?", path in "(/[a-z]{0,5}){0,3}",
            before in "(--url=)?", after in "( [a-z]*)?",
        ) {
            let shown = cut(&format!("{before}ws://{user}:x@{host}{path}?token={token}{after}"));
            prop_assert!(!shown.contains(&user) && !shown.contains(&token), "{}", shown);
            prop_assert!(shown.contains(&host) && shown.contains(&path) && shown.ends_with(&after), "{}", shown);
        }
    }
}
