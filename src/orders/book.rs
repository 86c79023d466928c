//! The orders that are known, each once.
//!
//! Owns who an order belongs to, its name in the node, the order of submission, and how many are remembered. Must not contain: what
//! happens to an order. Driven by the desk.
//!
//! Laws: an account has at most one order of a name, and in the order in which they were submitted its orders have rising numbers; one
//! to which something may still happen is never forgotten; of the others those that ended longest ago go first.
use super::order::{Order, Status, Submit};
use super::params::{List, Which};
use hashbrown::HashMap;
use rust_decimal::Decimal;
use std::collections::{BTreeSet, VecDeque};

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
    orders: HashMap<u64, Order>,
    accounts: HashMap<Box<str>, Account>,
    /// Numbers of those to which nothing more happens, in the order in which they ended.
    ended: VecDeque<u64>,
}

#[derive(Debug, Default)]
struct Account {
    orders: BTreeSet<u64>,
    by_client: HashMap<Box<str>, u64>,
}

impl Book {
    /// No orders yet, and at most `max` (at least one); their names begin with `prefix`, which no book before had.
    pub fn new(prefix: &str, max: usize) -> Self {
        Self {
            prefix: format!("{prefix}-").into(),
            max: max.max(1),
            last: 0,
            orders: HashMap::new(),
            accounts: HashMap::new(),
            ended: VecDeque::new(),
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
        (number, format!("{}{number}", self.prefix).into())
    }

    /// What an order is to those that are known.
    pub fn known(&self, asked: &Submit) -> Known<'_> {
        let found = self.by_client(&asked.account, &asked.client_order_id);
        match found.and_then(|number| self.orders.get(&number)) {
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

    /// The order of that number.
    pub fn get(&self, number: u64) -> Option<&Order> {
        self.orders.get(&number)
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
        let number = self.last;
        let account = order.asked.account.clone();
        let account = self.accounts.entry(account).or_default();
        account.orders.insert(number);
        let name = order.asked.client_order_id.clone();
        account.by_client.insert(name, number);
        let ends = order.status.is_final();
        self.orders.insert(number, order);
        if ends {
            self.ended.push_back(number);
        }
        while self.orders.len() > self.max
            && let Some(oldest) = self.ended.pop_front()
        {
            self.forget(oldest);
        }
        number
    }

    /// Something has happened to an order.
    pub fn change(&mut self, number: u64, status: Status, price: Option<Decimal>, ts_us: u64) {
        let Some(order) = self.orders.get_mut(&number) else {
            return;
        };
        if status.is_final() && !order.status.is_final() {
            self.ended.push_back(number);
        }
        (order.status, order.price, order.ts_us) = (status, price, ts_us);
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
        let page = page.filter_map(|number| self.orders.get(number)).collect();
        Ok((page, numbers.next().is_some()))
    }

    fn by_client(&self, account: &str, client_order_id: &str) -> Option<u64> {
        let account = self.accounts.get(account)?;
        account.by_client.get(client_order_id).copied()
    }

    fn forget(&mut self, number: u64) {
        let Some(order) = self.orders.remove(&number) else {
            return;
        };
        let Submit {
            account,
            client_order_id,
            ..
        } = order.asked;
        if let Some(of) = self.accounts.get_mut(&account) {
            of.orders.remove(&number);
            of.by_client.remove(&client_order_id);
            if of.orders.is_empty() {
                self.accounts.remove(&account);
            }
        }
    }
}

/// `after` is the name of no order that there ever was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownAfter;
