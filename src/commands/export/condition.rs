//! Which rows are exported: comparisons of columns with values, joined by `and`.
//!
//! As in SQL, a comparison with null is not true. A condition also tells which row groups cannot
//! have a row that meets it, by the smallest and largest values that their files record.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, Scalar, StringArray,
        TimestampMicrosecondArray,
    },
    compute::{and_kleene, is_not_null, is_null, kernels::cmp},
    datatypes::{DataType, Schema},
    error::ArrowError,
};
use parquet::{data_type::AsBytes, file::statistics::Statistics};

use crate::{
    catalog::schema::timestamp,
    commands::export::column::{Column, ColumnPath},
    config::values::{invalid_time, parse_time},
};

/// The comparisons that a row must meet, all of them.
#[derive(Debug, Default)]
pub(super) struct Condition(Vec<Comparison>);

#[derive(Debug)]
struct Comparison {
    column: Column,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Null,
    NotNull,
    Compare(Operator, Literal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A value of the type of its column. A time is in microseconds.
#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Time(i64),
}

impl Condition {
    /// Reads a condition on rows with these columns, such as `mediaType = 'voice' and talk >= 60`.
    ///
    /// # Errors
    /// If it is not written like one, names a column that does not exist, or compares it with a
    /// value of another type.
    pub(super) fn read(text: &str, schema: &Schema) -> Result<Self, String> {
        let (mut comparisons, mut rest) = (Vec::new(), text.trim());
        loop {
            let (path, after) = ColumnPath::read(rest)?;
            let column = Column::find(&path, schema)?;
            let (test, after) = Test::read(&column, after.trim_start())?;
            comparisons.push(Comparison { column, test });
            let after = after.trim();
            match word(after, "and") {
                Some(next) => rest = next.trim_start(),
                None if after.is_empty() => return Ok(Self(comparisons)),
                None => return Err(format!("expected `and` or the end, found `{after}`")),
            }
        }
    }

    /// The columns that it compares.
    pub(super) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.0.iter().map(|comparison| &comparison.column)
    }

    /// The rows that meet it. `None` if it has no comparison, so that all rows do.
    pub(super) fn of(&self, rows: &RecordBatch) -> Result<Option<BooleanArray>, ArrowError> {
        let mut met: Option<BooleanArray> = None;
        for Comparison { column, test } in &self.0 {
            let more = test.of(&column.values(rows)?)?;
            met = Some(match met {
                Some(met) => and_kleene(&met, &more)?,
                None => more,
            });
        }
        Ok(met)
    }

    /// Whether a row may meet it. `statistics` has the smallest and the largest value of each
    /// column of the rows, by its path.
    pub(super) fn may_be_met<'s>(
        &self,
        statistics: impl Fn(&Column) -> Option<&'s Statistics>,
    ) -> bool {
        self.0.iter().all(|Comparison { column, test }| match test {
            Test::Compare(operator, literal) => statistics(column)
                .and_then(|statistics| literal.is_within(*operator, statistics))
                .unwrap_or(true),
            Test::Null | Test::NotNull => true,
        })
    }
}

/// What follows a keyword at the start of a text. `None` if it does not begin with the keyword.
fn word<'t>(text: &'t str, keyword: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(keyword.len())?;
    let ends = rest.chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '_');
    (start.eq_ignore_ascii_case(keyword) && ends).then_some(rest)
}

impl Test {
    /// Reads what follows the column, and returns it with the rest of the text.
    fn read<'t>(column: &Column, text: &'t str) -> Result<(Self, &'t str), String> {
        if let Some(rest) = word(text, "is") {
            let rest = rest.trim_start();
            let (test, rest) = match word(rest, "not") {
                Some(rest) => (Self::NotNull, rest.trim_start()),
                None => (Self::Null, rest),
            };
            let expected =
                || format!("expected `is null` or `is not null` after `{}`", column.name);
            return Ok((test, word(rest, "null").ok_or_else(expected)?));
        }
        let (operator, rest) = Operator::read(text).ok_or_else(|| {
            format!(
                "expected one of = != < <= > >= `is null` `is not null` after `{}`, found `{text}`",
                column.name
            )
        })?;
        let (literal, rest) = Literal::read(column, rest.trim_start())?;
        Ok((Self::Compare(operator, literal), rest))
    }

    /// Which values meet it.
    fn of(&self, values: &ArrayRef) -> Result<BooleanArray, ArrowError> {
        match self {
            Self::Null => is_null(values),
            Self::NotNull => is_not_null(values),
            Self::Compare(operator, literal) => operator.compare(values, &literal.array()),
        }
    }
}

impl Operator {
    /// Reads the operator at the start of a text. Longer ones come first.
    fn read(text: &str) -> Option<(Self, &str)> {
        [
            ("!=", Self::NotEqual),
            ("<=", Self::LessOrEqual),
            (">=", Self::GreaterOrEqual),
            ("=", Self::Equal),
            ("<", Self::Less),
            (">", Self::Greater),
        ]
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)))
    }

    fn compare(self, values: &ArrayRef, literal: &ArrayRef) -> Result<BooleanArray, ArrowError> {
        let literal = Scalar::new(literal);
        match self {
            Self::Equal => cmp::eq(values, &literal),
            Self::NotEqual => cmp::neq(values, &literal),
            Self::Less => cmp::lt(values, &literal),
            Self::LessOrEqual => cmp::lt_eq(values, &literal),
            Self::Greater => cmp::gt(values, &literal),
            Self::GreaterOrEqual => cmp::gt_eq(values, &literal),
        }
    }

    /// Whether a value from `least` to `most` can compare so with `literal`.
    fn can_be_met<T: PartialOrd>(self, least: &T, most: &T, literal: &T) -> bool {
        match self {
            Self::Equal => least <= literal && literal <= most,
            Self::NotEqual => true,
            Self::Less => least < literal,
            Self::LessOrEqual => least <= literal,
            Self::Greater => most > literal,
            Self::GreaterOrEqual => most >= literal,
        }
    }
}

impl Literal {
    /// Reads a value of the column's type, and returns it with the rest of the text.
    fn read<'t>(column: &Column, text: &'t str) -> Result<(Self, &'t str), String> {
        let (value, rest, is_quoted) = match text.strip_prefix('\'') {
            Some(quoted) => {
                let (value, rest) = unquoted(quoted)
                    .ok_or_else(|| format!("expected a quote at the end of `{text}`"))?;
                (value, rest, true)
            }
            None => {
                let end = text.find(char::is_whitespace).unwrap_or(text.len());
                (text[..end].to_owned(), &text[end..], false)
            }
        };
        let name = &column.name;
        let not = |expected: &str| format!("`{name}` is {expected}, found `{value}`");
        let literal = match &column.data_type {
            DataType::Utf8 if is_quoted => Self::Text(value),
            DataType::Utf8 => return Err(not("a text: write it like 'voice'")),
            DataType::Int64 => Self::Integer(value.parse().map_err(|_| not("a whole number"))?),
            DataType::Float64 => {
                let number: f64 = value.parse().map_err(|_| not("a number"))?;
                Self::Number(
                    Some(number).filter(|it| it.is_finite()).ok_or_else(|| not("a number"))?,
                )
            }
            DataType::Boolean => Self::Boolean(value.parse().map_err(|_| not("true or false"))?),
            time if *time == timestamp() => {
                let time = parse_time(&value).ok_or_else(|| invalid_time(&value))?;
                Self::Time(time.as_microsecond())
            }
            _ => return Err(format!("`{name}` is nested: only `is null` and `is not null` apply")),
        };
        Ok((literal, rest))
    }

    /// The value alone in an array.
    fn array(&self) -> ArrayRef {
        match self {
            Self::Text(text) => Arc::new(StringArray::from(vec![text.as_str()])),
            Self::Integer(number) => Arc::new(Int64Array::from(vec![*number])),
            Self::Number(number) => Arc::new(Float64Array::from(vec![*number])),
            Self::Boolean(value) => Arc::new(BooleanArray::from(vec![*value])),
            Self::Time(us) => {
                Arc::new(TimestampMicrosecondArray::from(vec![*us]).with_timezone("UTC"))
            }
        }
    }

    /// Whether a value within these statistics can compare so with the literal. `None` if they do
    /// not tell.
    fn is_within(&self, operator: Operator, statistics: &Statistics) -> Option<bool> {
        Some(match (self, statistics) {
            (Self::Integer(literal) | Self::Time(literal), Statistics::Int64(found)) => {
                operator.can_be_met(found.min_opt()?, found.max_opt()?, literal)
            }
            (Self::Number(literal), Statistics::Double(found)) => {
                operator.can_be_met(found.min_opt()?, found.max_opt()?, literal)
            }
            (Self::Text(literal), Statistics::ByteArray(found)) => {
                let (least, most) = (found.min_opt()?.as_bytes(), found.max_opt()?.as_bytes());
                operator.can_be_met(&least, &most, &literal.as_bytes())
            }
            _ => return None,
        })
    }
}

/// The text up to a closing quote, in which `''` is a quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (start, after) = rest.split_once('\'')?;
        value.push_str(start);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}
