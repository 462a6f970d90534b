//! The query that makes the rows of a flat table from the nested rows.
//!
//! It joins the lists that lead to the rows of the table. Columns that are computed from other
//! lists come from subqueries, one for each set of lists, which are joined by the key of the row or
//! element that they are computed for.

use arrow::datatypes::DataType;

use crate::{
    catalog::{
        Dataset, PARTITION,
        tables::{Computation, ListStep, Lookup, Member, Source, Table, Unit},
    },
    commands::views::dialect::{Dialect, Joined, Object, Pick},
};

/// The query of a table.
pub(super) fn query(dialect: Dialect, dataset: &Dataset, table: &Table, rows: &str) -> String {
    Query { dialect, dataset, table, rows }.text()
}

struct Query<'q> {
    dialect: Dialect,
    dataset: &'q Dataset,
    table: &'q Table,
    /// The view of the nested rows.
    rows: &'q str,
}

/// A list that is joined.
#[derive(PartialEq)]
struct Node {
    /// The number of the join, from 1, whose elements contain the list. 0: the row contains it.
    outside: usize,
    members: Vec<Member>,
    is_map: bool,
    is_outer: bool,
    /// The type of its elements.
    element: DataType,
}

/// The lists that a query joins.
#[derive(PartialEq)]
struct Joins {
    nodes: Vec<Node>,
}

/// A subquery: columns that are computed from the same lists for the same elements.
struct Sums {
    /// How many lists lead to the elements. 0: the columns are computed for rows of the dataset.
    level: usize,
    joins: Joins,
    /// Their names and expressions.
    columns: Vec<(String, String)>,
}

impl Query<'_> {
    fn text(&self) -> String {
        let (mut columns, mut all_sums, mut chosen) = (Vec::new(), Vec::<Sums>::new(), Vec::new());
        let joins = self.joins(self.table.rows.len());
        for (field, source) in self.table.schema.fields().iter().zip(&self.table.columns) {
            let name = self.dialect.name(field.name());
            if let Source::Computed(computation) = source
                && let Some(sums) = self.sums(computation, field.data_type(), &name)
            {
                let same = |other: &Sums| other.level == sums.level && other.joins == sums.joins;
                let place = all_sums.iter().position(same).unwrap_or(all_sums.len());
                chosen.push(format!("sums{}.{name}", place + 1));
                match all_sums.get_mut(place) {
                    Some(other) => other.columns.extend(sums.columns),
                    None => all_sums.push(sums),
                }
            } else {
                columns.push(format!("{} AS {name}", self.value(source, &joins)));
                chosen.push(format!("flat.{name}"));
            }
        }
        let date = self.dialect.name(PARTITION);
        columns.push(format!("r.{date} AS {date}"));
        chosen.push(format!("flat.{date}"));
        let flat = self.select(&columns, &joins, "");
        if all_sums.is_empty() {
            return flat;
        }
        let mut parts = vec![format!("WITH flat AS (\n{flat}\n)")];
        let mut from = "flat".to_owned();
        for (number, sums) in (1..).zip(&all_sums) {
            let keys = self.keys(sums.level);
            let key_columns = keys.iter().map(|(index, _)| {
                let name = self.dialect.name(self.table.schema.field(*index).name());
                format!("{} AS {name}", self.value(&self.table.columns[*index], &sums.joins))
            });
            let computed = sums.columns.iter().map(|(name, value)| format!("{value} AS {name}"));
            let columns: Vec<_> = key_columns.chain(computed).collect();
            let groups: Vec<_> = (1..=keys.len()).map(|number| number.to_string()).collect();
            let groups = format!("\nGROUP BY {}", groups.join(", "));
            let query = self.select(&columns, &sums.joins, &groups);
            parts.push(format!("sums{number} AS (\n{query}\n)"));
            let equal = keys.iter().map(|(index, is_nullable)| {
                let name = self.dialect.name(self.table.schema.field(*index).name());
                let (one, other) = (format!("flat.{name}"), format!("sums{number}.{name}"));
                match is_nullable {
                    true => {
                        format!("({one} = {other} OR ({one} IS NULL AND {other} IS NULL))")
                    }
                    false => format!("{one} = {other}"),
                }
            });
            from +=
                &format!("\n    JOIN sums{number} ON {}", equal.collect::<Vec<_>>().join(" AND "));
        }
        format!("{}\nSELECT {}\nFROM {from}", parts.join(", "), listed(&chosen))
    }

    fn select(&self, columns: &[String], joins: &Joins, groups: &str) -> String {
        let from = joins.from(self.dialect, self.rows);
        format!("SELECT {}\nFROM {from}{groups}", listed(columns))
    }

    /// The indices of the columns that identify an element of the nth list of the table, and
    /// whether each can be null. The time is never null.
    fn keys(&self, level: usize) -> Vec<(usize, bool)> {
        let indices = 0..self.table.key_columns + level;
        indices.map(|index| (index, self.table.schema.field(index).is_nullable())).collect()
    }

    /// The lists that lead to the elements of the nth list of the table.
    fn joins(&self, level: usize) -> Joins {
        let mut joins = Joins { nodes: Vec::new() };
        for (outside, list) in self.table.rows[..level].iter().enumerate() {
            joins.add(self.dataset, outside, list, false);
        }
        joins
    }

    fn value(&self, source: &Source, joins: &Joins) -> String {
        match source {
            Source::Value { place, .. } => joins.field(self, place.level, &place.value).0,
            Source::KeyText(place) => {
                self.dialect.key_text(&joins.field(self, place.level, &place.value).0)
            }
            Source::Number(number) => {
                self.dialect.position(*number, joins.nodes[number - 1].is_map)
            }
            Source::Computed(computation) => self.plain(computation, joins),
        }
    }

    /// A column that is computed from the row and what contains it, without other lists.
    fn plain(&self, computation: &Computation<Lookup>, joins: &Joins) -> String {
        let field = |place: &Lookup| joins.field(self, place.level, &place.value);
        match computation {
            Computation::First { value, .. } | Computation::Last { value, .. } => field(value).0,
            Computation::Sum { values, unit } => {
                in_unit(&format!("coalesce({}, 0)", field(values).0), *unit)
            }
            Computation::Any(values) => format!("coalesce({}, false)", is_there(field(values))),
            Computation::Seconds([from, to]) => self.dialect.seconds(&field(from).0, &field(to).0),
        }
    }

    /// A column that is computed from the elements of other lists. `None` if there are no others.
    fn sums(
        &self,
        computation: &Computation<Lookup>,
        data_type: &DataType,
        name: &str,
    ) -> Option<Sums> {
        let (values, by, is_last) = match computation {
            Computation::First { value, by } => (value, by.as_ref(), false),
            Computation::Last { value, by } => (value, by.as_ref(), true),
            Computation::Sum { values, .. } | Computation::Any(values) => (values, None, false),
            Computation::Seconds(_) => return None,
        };
        if values.lists.is_empty() && by.is_none_or(|by| by.lists.is_empty()) {
            return None;
        }
        let mut joins = self.joins(values.level);
        let places = joins.add_all(self.dataset, values.level, &values.lists);
        let element = places.last().copied().unwrap_or(values.level);
        let condition = joins.conditions(self, &places, &values.lists);
        let by = by.map(|by| {
            let places = joins.add_all(self.dataset, by.level, &by.lists);
            let element = places.last().copied().unwrap_or(by.level);
            let (time, _) = joins.field(self, element, &by.value);
            let filter = joins.conditions(self, &places, &by.lists);
            if filter.is_empty() { time } else { format!("CASE WHEN {filter} THEN {time} END") }
        });
        let order = |number: usize| self.dialect.order(number, joins.nodes[number - 1].is_map);
        let guarded = |value: String| match condition.as_str() {
            "" => value,
            condition => format!("CASE WHEN {condition} THEN {value} END"),
        };
        let expression = match computation {
            Computation::Sum { unit, .. } => {
                let sum = format!("sum({})", guarded(joins.field(self, element, &values.value).0));
                let sum = format!("coalesce({sum}, 0)");
                match data_type {
                    DataType::Int64 => self.dialect.integer(&sum),
                    _ => in_unit(&sum, *unit),
                }
            }
            Computation::Any(_) => {
                let is_there = is_there(joins.field(self, element, &values.value));
                let and = if condition.is_empty() { "" } else { " AND " };
                format!("max(CASE WHEN {is_there}{and}{condition} THEN 1 ELSE 0 END) = 1")
            }
            _ => self.dialect.pick(Pick {
                value: &joins.field(self, element, &values.value).0,
                data_type,
                condition: &condition,
                by: by.as_deref(),
                positions: &places.iter().map(|&place| order(place)).collect::<Vec<_>>(),
                is_last,
            }),
        };
        Some(Sums { level: values.level, joins, columns: vec![(name.to_owned(), expression)] })
    }
}

impl Joins {
    /// Joins a list. Returns which join it is; the same list is joined once.
    fn add(&mut self, dataset: &Dataset, outside: usize, list: &ListStep, is_outer: bool) -> usize {
        let same = |node: &Node| node.outside == outside && node.members == list.members;
        if let Some(index) =
            self.nodes.iter().position(|node| node.is_outer == is_outer && same(node))
        {
            return index + 1;
        }
        let data_type = type_of(self.object_type(dataset, outside), &list.members);
        let (is_map, element) = match &data_type {
            DataType::Map(entry, _) => (true, entry.data_type().clone()),
            DataType::List(element) => (false, element.data_type().clone()),
            _ => (false, data_type),
        };
        self.nodes.push(Node { outside, members: list.members.clone(), is_map, is_outer, element });
        self.nodes.len()
    }

    /// Joins lists, each in the elements of the one before. Rows without elements stay.
    fn add_all(&mut self, dataset: &Dataset, level: usize, lists: &[ListStep]) -> Vec<usize> {
        let mut outside = level;
        let mut places = Vec::with_capacity(lists.len());
        for list in lists {
            outside = self.add(dataset, outside, list, true);
            places.push(outside);
        }
        places
    }

    fn object_type(&self, dataset: &Dataset, place: usize) -> DataType {
        match place.checked_sub(1) {
            Some(index) => self.nodes[index].element.clone(),
            None => DataType::Struct(dataset.schema.fields().clone()),
        }
    }

    fn object(&self, place: usize) -> Object {
        match place.checked_sub(1) {
            Some(index) => Object::Element { number: place, is_map: self.nodes[index].is_map },
            None => Object::Row,
        }
    }

    /// A field of an element, or of the row, and its type. Without members the element itself.
    fn field(&self, query: &Query, place: usize, members: &[Member]) -> (String, DataType) {
        let data_type = type_of(self.object_type(query.dataset, place), members);
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        (query.dialect.field(&self.object(place), &names, &data_type), data_type)
    }

    /// What the filters of joined lists demand.
    fn conditions(&self, query: &Query, places: &[usize], lists: &[ListStep]) -> String {
        let conditions = places.iter().zip(lists).filter_map(|(&place, list)| {
            let (member, text) = list.filter.as_ref()?;
            let (field, _) = self.field(query, place, std::slice::from_ref(member));
            Some(format!("{field} = {}", query.dialect.text(text)))
        });
        conditions.collect::<Vec<_>>().join(" AND ")
    }

    fn from(&self, dialect: Dialect, rows: &str) -> String {
        let join = |(number, node): (usize, &Node)| {
            let names: Vec<_> = node.members.iter().map(|member| member.name.as_str()).collect();
            // lists stay as they are in every dialect
            let list = dialect.field(&self.object(node.outside), &names, &DataType::Null);
            Joined { number, list, is_map: node.is_map, is_outer: node.is_outer }
        };
        dialect.from(rows, &(1..).zip(&self.nodes).map(join).collect::<Vec<_>>())
    }
}

/// The type of the field to which members lead from a value of this type.
fn type_of(object: DataType, members: &[Member]) -> DataType {
    members.iter().fold(object, |object, member| match &object {
        DataType::Struct(fields) => {
            fields.find(&member.name).map_or(DataType::Null, |(_, field)| field.data_type().clone())
        }
        _ => DataType::Null,
    })
}

/// Whether there is a value; of booleans, whether it is true.
fn is_there((value, data_type): (String, DataType)) -> String {
    if data_type == DataType::Boolean { value } else { format!("{value} IS NOT NULL") }
}

fn in_unit(sum: &str, unit: Unit) -> String {
    match unit {
        Unit::None => sum.to_owned(),
        Unit::Milliseconds => format!("{sum} / 1000"),
    }
}

/// Columns in lines.
fn listed(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\n    {column}")).collect::<Vec<_>>().join(",")
}
