//! Which of many patterns match a topic.
//!
//! Owns the patterns, token by token in a tree. Must not contain: topics or who watches. Driven by `interest`.
//!
//! A new topic walks down the tree once, with a way for its token and one for `*` at each step, so it meets the patterns that
//! could match it and not all there are.
use super::interest::ViewId;
use hashbrown::HashMap;
use slab::Slab;

/// The tree's root is always its first node.
const ROOT: usize = 0;

/// See the module.
#[derive(Debug)]
pub(super) struct Patterns {
    nodes: Slab<Node>,
}

/// What follows one sequence of tokens.
#[derive(Debug, Default)]
struct Node {
    tokens: HashMap<Box<str>, usize>,
    /// After `*`.
    any: Option<usize>,
    /// The pattern that ends here.
    ends: Option<ViewId>,
    /// The pattern that ends with `>` behind this.
    rest: Option<ViewId>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.any.is_none() && self.ends.is_none() && self.rest.is_none()
    }
}

impl Default for Patterns {
    fn default() -> Self {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::default());
        debug_assert_eq!(root, ROOT);
        Self { nodes }
    }
}

impl Patterns {
    /// Adds a checked pattern.
    pub(super) fn insert(&mut self, pattern: &str, view: ViewId) {
        let mut node = ROOT;
        for token in pattern.split('.') {
            if token == ">" {
                self.nodes[node].rest = Some(view);
                return;
            }
            node = self.step_or_grow(node, token);
        }
        self.nodes[node].ends = Some(view);
    }

    /// Removes a pattern that was added, and the branch that led to nothing else.
    pub(super) fn remove(&mut self, pattern: &str) {
        let mut way = vec![(ROOT, "")];
        for token in pattern.split('.').filter(|token| *token != ">") {
            let Some(next) = self.step(way[way.len() - 1].0, token) else {
                return;
            };
            way.push((next, token));
        }
        let last = &mut self.nodes[way[way.len() - 1].0];
        if pattern == ">" || pattern.ends_with(".>") {
            last.rest = None;
        } else {
            last.ends = None;
        }
        while let Some((node, token)) = way.pop() {
            let Some(&(parent, _)) = way.last() else {
                return;
            };
            if !self.nodes[node].is_empty() {
                return;
            }
            self.nodes.remove(node);
            let parent = &mut self.nodes[parent];
            if token == "*" {
                parent.any = None;
            } else {
                parent.tokens.remove(token);
            }
        }
    }

    /// Shows the patterns that match a checked topic.
    pub(super) fn matching(&self, topic: &str, found: &mut impl FnMut(ViewId)) {
        self.walk(ROOT, Some(topic), found);
    }

    /// No deeper than a topic has tokens.
    fn walk(&self, node: usize, topic: Option<&str>, found: &mut impl FnMut(ViewId)) {
        let node = &self.nodes[node];
        let Some(topic) = topic else {
            node.ends.into_iter().for_each(found);
            return;
        };
        node.rest.into_iter().for_each(&mut *found);
        let (token, rest) = match topic.split_once('.') {
            Some((token, rest)) => (token, Some(rest)),
            None => (topic, None),
        };
        for next in node.tokens.get(token).into_iter().chain(&node.any) {
            self.walk(*next, rest, found);
        }
    }

    fn step(&self, node: usize, token: &str) -> Option<usize> {
        let node = &self.nodes[node];
        if token == "*" {
            node.any
        } else {
            node.tokens.get(token).copied()
        }
    }

    fn step_or_grow(&mut self, node: usize, token: &str) -> usize {
        if let Some(next) = self.step(node, token) {
            return next;
        }
        let next = self.nodes.insert(Node::default());
        if token == "*" {
            self.nodes[node].any = Some(next);
        } else {
            self.nodes[node].tokens.insert(token.into(), next);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use pubsub_wire::topic::matches;

    /// Patterns and topics of few different tokens, so that they meet often.
    fn pattern() -> impl Strategy<Value = String> {
        let token = prop::sample::select(&["a", "b", "*"][..]);
        (vec(token, 0..4), any::<bool>()).prop_filter_map("no wildcard", |(mut tokens, rest)| {
            if rest {
                tokens.push(">");
            }
            let text = tokens.join(".");
            text.contains(['*', '>']).then_some(text)
        })
    }

    proptest! {
        #[test]
        fn those_that_match_are_found_and_what_is_removed_leaves_nothing(
            patterns in btree_set(pattern(), 0..30),
            gone in vec(any::<bool>(), 30),
            topics in vec("[ab](\\.[ab]){0,3}", 1..20),
        ) {
            let mut tree = Patterns::default();
            let all: Vec<(String, ViewId)> =
                patterns.into_iter().zip(0..).map(|(text, n)| (text, ViewId::numbered(n))).collect();
            for (text, view) in &all {
                tree.insert(text, *view);
            }
            for ((text, _), _) in all.iter().zip(&gone).filter(|(_, gone)| **gone) {
                tree.remove(text);
            }
            let left = || all.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(pattern, _)| pattern);
            for topic in topics {
                let mut found = Vec::new();
                tree.matching(&topic, &mut |view| found.push(view));
                let mut expected: Vec<ViewId> =
                    left().filter(|(text, _)| matches(text, &topic)).map(|(_, view)| *view).collect();
                found.sort();
                expected.sort();
                prop_assert_eq!(found, expected, "{}", topic);
            }
            for (text, _) in left() {
                tree.remove(text);
            }
            // Nobody is left, so neither is any branch.
            for (text, _) in &all {
                tree.remove(text);
            }
            prop_assert!(tree.nodes.len() == 1 && tree.nodes[ROOT].is_empty());
        }
    }
}
