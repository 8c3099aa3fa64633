//! A `SELECT` with as many conditions as were asked for.

use sqlx::AssertSqlSafe;

use crate::page::Page;
use crate::sql::value::Value;

/// A list's statement in the making. Every piece of text in it is ours; what others say goes into
/// its values.
pub(crate) struct Select {
    sql: String,
    values: Vec<Value>,
    joint: &'static str,
}

impl Select {
    /// Begins with `SELECT … FROM …`.
    pub(crate) fn new(from: &'static str) -> Self {
        Self {
            sql: from.to_owned(),
            values: Vec::new(),
            joint: " WHERE ",
        }
    }

    /// Asks for `condition`, which ends where its value comes, such as `subject =`.
    pub(crate) fn when(mut self, condition: &'static str, value: impl Into<Value>) -> Self {
        self.condition(condition);
        self.place(value.into());
        self
    }

    /// Asks for `condition` if there is a value for it.
    pub(crate) fn when_some<V: Into<Value>>(
        self,
        condition: &'static str,
        value: Option<V>,
    ) -> Self {
        match value {
            Some(value) => self.when(condition, value),
            None => self,
        }
    }

    /// Asks for rows that come after a pair, such as `(at, id) <`.
    pub(crate) fn when_pair(mut self, condition: &'static str, pair: Option<(i64, i64)>) -> Self {
        if let Some((one, two)) = pair {
            self.condition(condition);
            self.sql.push_str(" (");
            self.place(one.into());
            self.sql.push(',');
            self.place(two.into());
            self.sql.push(')');
        }
        self
    }

    /// Ends with the order, and one row more than the page has, which tells whether there is more.
    pub(crate) fn page(
        mut self,
        order: &'static str,
        page: &Page,
    ) -> (AssertSqlSafe<String>, Vec<Value>) {
        self.sql.push_str(" ORDER BY ");
        self.sql.push_str(order);
        self.sql.push_str(" LIMIT");
        self.place((i64::from(page.limit()) + 1).into());
        (AssertSqlSafe(self.sql), self.values)
    }

    /// Ends where one row is enough.
    pub(crate) fn one(mut self) -> (AssertSqlSafe<String>, Vec<Value>) {
        self.sql.push_str(" LIMIT 1");
        (AssertSqlSafe(self.sql), self.values)
    }

    fn condition(&mut self, condition: &'static str) {
        self.sql.push_str(self.joint);
        self.sql.push_str(condition);
        self.joint = " AND ";
    }

    fn place(&mut self, value: Value) {
        self.values.push(value);
        self.sql.push_str(" $");
        self.sql.push_str(&self.values.len().to_string());
    }
}
