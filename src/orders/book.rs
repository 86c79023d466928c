//! The orders that are known, each once.
//!
//! Owns who an order belongs to, its name in the node, the order of submission, and how many are remembered. Must not contain: what
//! happens to an order. Driven by the desk.
//!
//! Laws: an account has at most one order of a name, and in the order in which they were submitted its orders have rising numbers; one
//! to which something may still happen is never forgotten; of the others those that ended longest ago go first.
use super::order::{Order, Standing, Submit};
use super::params::{List, Which};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

/// What an order is to those that are known.
#[derive(Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// There is none of its name.
    New,
    /// It is this one, again.
    Again(&'a Order),
    /// Its name belongs to another.
    Other(&'a Order),
}

/// See the module.
#[derive(Debug)]
pub struct Book {
    /// What all names in this node begin with.
    prefix: Box<str>,
    max: usize,
    last: u64,
    /// By number. In boxes, so that inserting one moves little.
    orders: BTreeMap<u64, Box<Kept>>,
    accounts: HashMap<Box<str>, Account>,
    hasher: DefaultHashBuilder,
    /// Those to which nothing more happens: when they ended, and their numbers.
    ended: BTreeSet<(u64, u64)>,
}

/// An order, with the hash of its account's name for it.
#[derive(Debug)]
struct Kept {
    order: Order,
    hash: u64,
}

#[derive(Debug, Default)]
struct Account {
    orders: BTreeSet<u64>,
    by_client: HashTable<Named>,
}

/// The number behind an account's name for an order. The name itself is the order's: its hash tells almost all others apart, and a table
/// that grows needs to look at no order.
#[derive(Debug, Clone, Copy)]
struct Named {
    hash: u64,
    number: u64,
}

impl Book {
    /// No orders yet, and at most `max` (at least one); their names begin with `prefix`, which no book before had.
    pub fn new(prefix: &str, max: usize) -> Self {
        Self {
            prefix: format!("{prefix}-").into(),
            max: max.max(1),
            last: 0,
            orders: BTreeMap::new(),
            accounts: HashMap::new(),
            hasher: DefaultHashBuilder::default(),
            ended: BTreeSet::new(),
        }
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// Whether there is room for one more, be it that of one that has ended.
    pub fn has_room(&self) -> bool {
        self.orders.len() < self.max || !self.ended.is_empty()
    }

    /// The number and the name that the next order gets.
    pub fn next(&self) -> (u64, Box<str>) {
        let number = self.last + 1;
        let mut buffer = itoa::Buffer::new();
        let parts: [&str; 2] = [&self.prefix, buffer.format(number)];
        (number, parts.concat().into())
    }

    /// What an order is to those that are known.
    pub fn known(&self, asked: &Submit) -> Known<'_> {
        let found = self.by_client(&asked.account, &asked.client_order_id);
        match found.and_then(|number| self.get(number)) {
            None => Known::New,
            Some(order) if order.asked == *asked => Known::Again(order),
            Some(order) => Known::Other(order),
        }
    }

    /// The number of an order.
    pub fn find(&self, which: &Which) -> Option<u64> {
        let number = match which {
            Which::Id(id) => self.number(id),
            Which::Client {
                account,
                client_order_id,
            } => self.by_client(account, client_order_id),
        };
        number.filter(|n| self.orders.contains_key(n))
    }

    /// The orders with larger numbers than this one, and their numbers.
    pub fn after(&self, number: u64) -> impl Iterator<Item = (u64, &Order)> {
        let orders = self.orders.range(number + 1..);
        orders.map(|(number, kept)| (*number, &kept.order))
    }

    /// How many orders it ever had: the largest number.
    pub fn accepted(&self) -> u64 {
        self.last
    }

    /// The order of that number.
    pub fn get(&self, number: u64) -> Option<&Order> {
        self.orders.get(&number).map(|kept| &kept.order)
    }

    /// The number in a name that this book gives.
    pub fn number(&self, id: &str) -> Option<u64> {
        let digits = id.strip_prefix(&*self.prefix)?;
        let number: u64 = digits.parse().ok()?;
        // One way to write it, no sign and no zeros before it.
        (number > 0 && number <= self.last && itoa::Buffer::new().format(number) == digits)
            .then_some(number)
    }

    /// Enters an order that is new, under the number that [`next`](Self::next) has told.
    pub fn insert(&mut self, order: Order) -> u64 {
        self.last += 1;
        self.enter(self.last, order);
        self.trim(self.max);
        self.last
    }

    /// What was told of an order is read again, in the order in which it was told; what is known already may be told again. One that this
    /// book can't have named is left out.
    pub fn restore(&mut self, order: Order) {
        let digits = order.id.strip_prefix(&*self.prefix);
        let Some(number) = digits.and_then(|digits| digits.parse().ok()) else {
            return;
        };
        self.last = self.last.max(number);
        match self.get(number).map(|known| known.standing.status) {
            None => self.enter(number, order),
            Some(known) if known.is_final() || order.standing.status <= known => {}
            Some(_) => self.change(number, order.standing),
        }
        // Which of them was forgotten shows when all has been told.
        self.trim(2 * self.max);
    }

    /// So many orders had numbers before.
    pub fn restore_accepted(&mut self, orders: u64) {
        self.last = self.last.max(orders);
    }

    /// All was told.
    pub fn end_restoring(&mut self) {
        self.trim(self.max);
    }

    /// Forgets those that ended longest ago until there are no more than so many.
    fn trim(&mut self, max: usize) {
        while self.orders.len() > max
            && let Some((_, oldest)) = self.ended.pop_first()
        {
            self.forget(oldest);
        }
    }

    /// Numbers of the orders to which something may still happen, in the order of their submission.
    pub fn unfinished(&self) -> Vec<u64> {
        let working = self.after(0);
        let working = working.filter(|(_, order)| !order.standing.status.is_final());
        working.map(|(number, _)| number).collect()
    }

    fn enter(&mut self, number: u64, order: Order) {
        let hash = self.hasher.hash_one(&*order.asked.client_order_id);
        let account = match self.accounts.get_mut(&order.asked.account) {
            Some(account) => account,
            None => self
                .accounts
                .entry(order.asked.account.clone())
                .or_default(),
        };
        account.orders.insert(number);
        let named = Named { hash, number };
        account.by_client.insert_unique(hash, named, |n| n.hash);
        if order.standing.status.is_final() {
            self.ended.insert((order.standing.ts_us, number));
        }
        self.orders.insert(number, Box::new(Kept { order, hash }));
    }

    /// Something has happened to an order.
    pub fn change(&mut self, number: u64, standing: Standing) {
        let Some(Kept { order, .. }) = self.orders.get_mut(&number).map(Box::as_mut) else {
            return;
        };
        if standing.status.is_final() && !order.standing.status.is_final() {
            self.ended.insert((standing.ts_us, number));
        }
        order.standing = standing;
    }

    /// A page of an account's orders, and whether there are more. `Err`: there never was an `after` of that name.
    pub fn list(&self, list: &List) -> Result<(Vec<&Order>, bool), UnknownAfter> {
        let after = match &list.after {
            Some(id) => self.number(id).ok_or(UnknownAfter)?,
            None => 0,
        };
        let Some(account) = self.accounts.get(&list.account) else {
            return Ok((Vec::new(), false));
        };
        let mut numbers = account.orders.range(after + 1..);
        let page = numbers.by_ref().take(list.limit);
        let page = page.filter_map(|number| self.get(*number)).collect();
        Ok((page, numbers.next().is_some()))
    }

    fn by_client(&self, account: &str, client_order_id: &str) -> Option<u64> {
        let account = self.accounts.get(account)?;
        let hash = self.hasher.hash_one(client_order_id);
        let is_it = |named: &Named| {
            let order = || self.get(named.number);
            named.hash == hash
                && order().is_some_and(|o| *o.asked.client_order_id == *client_order_id)
        };
        Some(account.by_client.find(hash, is_it)?.number)
    }

    fn forget(&mut self, number: u64) {
        let Some(kept) = self.orders.remove(&number) else {
            return;
        };
        let (account, hash) = (&kept.order.asked.account, kept.hash);
        if let Some(of) = self.accounts.get_mut(account) {
            of.orders.remove(&number);
            if let Ok(named) = of.by_client.find_entry(hash, |n| n.number == number) {
                named.remove();
            }
            if of.orders.is_empty() {
                self.accounts.remove(account);
            }
        }
    }
}

/// `after` is the name of no order that there ever was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownAfter;
