//! Finds the columns of a dataset that the tables of its catalog name.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields, Schema};

use crate::catalog::{
    InvalidKey, PARTITION, ValuePath,
    schema::timestamp,
    tables::{
        Computation, Definition, ListStep, Lookup, Member, Source, Table, Unit,
        lookup::shared_lists,
    },
};

/// The columns that identify a row of the dataset in all of its tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowKey<'d> {
    /// The key of the tables in the catalog, for errors: `dataset.calls.tables`.
    pub toml: &'d str,
    /// The columns of the id.
    pub id: &'d [String],
    /// The column of the time.
    pub time: &'d str,
}

/// The columns of a table so far.
#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    sources: Vec<Source>,
}

/// Returns the tables of a dataset with the columns `fields`: the one with a row for each row of
/// the dataset first, then those with fewer lists before those with more.
///
/// # Errors
/// If a path leads nowhere or to values that do not fit, if two tables or columns clash, or if a
/// table is a list inside another list that is not a table itself.
pub(crate) fn compile(
    definitions: &[Definition],
    fields: &Fields,
    key: &RowKey,
) -> Result<Vec<Arc<Table>>, InvalidKey> {
    let mut places = Vec::with_capacity(definitions.len());
    for definition in definitions {
        places.push((rows_of(definition, fields, key)?, definition));
    }
    places.sort_by_key(|(rows, _)| rows.len());
    let lists: Vec<_> = places.iter().map(|(rows, _)| rows.as_slice()).collect();
    for (number, (rows, definition)) in places.iter().enumerate() {
        let reason = match rows.split_last() {
            _ if lists[..number].contains(&rows.as_slice()) => "another table has the same rows",
            Some((_, outer)) if !lists.contains(&outer) => {
                "what contains these rows is no table: add one for the list around it, or one \
                 without `rows` for the rows of the dataset"
            }
            _ => continue,
        };
        return Err(InvalidKey::new(&format!("{}.{}.rows", key.toml, definition.name), reason));
    }
    let mut tables = Vec::with_capacity(places.len());
    for (rows, definition) in &places {
        tables.push(Arc::new(table(definition, rows, &lists, fields, key)?));
    }
    Ok(tables)
}

/// The lists that lead to the rows of a table.
fn rows_of(
    definition: &Definition,
    fields: &Fields,
    key: &RowKey,
) -> Result<Vec<ListStep>, InvalidKey> {
    let Some(path) = &definition.rows else { return Ok(Vec::new()) };
    let is_filtered = path.0.iter().any(|step| step.filter.is_some());
    match Lookup::of(path, fields) {
        Some((Lookup { lists, value, .. }, DataType::Struct(_)))
            if value.is_empty() && !is_filtered =>
        {
            Ok(lists)
        }
        _ => {
            let reason = format!(
                "`{path}` does not lead to a list of objects or to a map, all of whose elements \
                 are rows: write a path such as `legs[].parts[]`"
            );
            Err(InvalidKey::new(&format!("{}.{}.rows", key.toml, definition.name), reason))
        }
    }
}

fn table(
    definition: &Definition,
    rows: &[ListStep],
    lists: &[&[ListStep]],
    fields: &Fields,
    key: &RowKey,
) -> Result<Table, InvalidKey> {
    let of_table = format!("{}.{}", key.toml, definition.name);
    let mut columns = Columns::default();
    let mut key_names: Vec<&str> = key.id.iter().map(String::as_str).collect();
    if !key_names.contains(&key.time) {
        key_names.push(key.time);
    }
    for name in &key_names {
        columns.add_key(name, fields, rows, lists, &of_table)?;
    }
    for (number, list) in rows.iter().enumerate() {
        let field = Field::new(format!("{}Number", singular(list)), DataType::Int64, false);
        columns.add(field, Source::Number(number + 1));
    }
    for path in &definition.inherit {
        let key = format!("{of_table}.inherit");
        let (place, data_type) = seen_from(path, fields, rows)
            .map_err(|reason| InvalidKey::new(&key, format!("`{path}` {reason}")))?;
        if !place.lists.is_empty() || is_object(&data_type) || place.level == rows.len() {
            let reason = format!(
                "`{path}` is no value of what contains a row: write a path through the lists of \
                 `rows` except the last, or compute a column with `first`"
            );
            return Err(InvalidKey::new(&key, reason));
        }
        let field = Field::new(place.value_name(), data_type, true);
        columns.add(field, Source::Value { place, is_own: false });
    }
    let mut level = fields;
    for list in rows {
        level = elements(level, &list.members).expect("the rows were found");
    }
    let skipped: &[&str] = if rows.is_empty() { &key_names } else { &[] };
    Own { rows, lists, skipped }.add(level, &[], &mut columns);
    for (name, computation) in &definition.columns {
        let invalid = |reason| InvalidKey::new(&format!("{of_table}.columns.{name}"), reason);
        let (data_type, computation) = computed(computation, fields, rows).map_err(invalid)?;
        columns.add(Field::new(name, data_type, true), Source::Computed(computation));
    }
    check_names(&columns.fields, &of_table)?;
    Ok(Table {
        name: definition.name.clone(),
        key_columns: key_names.len(),
        rows: rows.to_vec(),
        schema: Arc::new(Schema::new(columns.fields)),
        columns: columns.sources,
        definition: definition.clone(),
    })
}

impl Columns {
    /// Whether another column has this name. Some readers do not distinguish case, so case is
    /// ignored.
    fn has(&self, name: &str) -> bool {
        let names = self.fields.iter().map(|field| field.name().as_str());
        names.chain([PARTITION]).any(|known| known.eq_ignore_ascii_case(name))
    }

    fn add(&mut self, field: Field, source: Source) {
        self.fields.push(field);
        self.sources.push(source);
    }

    /// Adds a column of the id, or the time.
    fn add_key(
        &mut self,
        name: &str,
        fields: &Fields,
        rows: &[ListStep],
        lists: &[&[ListStep]],
        of_table: &str,
    ) -> Result<(), InvalidKey> {
        let (index, field) = fields.find(name).expect("the key of a dataset is checked");
        let member = Member { name: name.to_owned(), index };
        let place = Lookup { level: 0, lists: Vec::new(), value: vec![member] };
        match field.data_type() {
            DataType::Map(..) => {
                let list = ListStep { members: place.value.clone(), filter: None };
                if !lists.contains(&[list].as_slice()) {
                    let reason = format!(
                        "`{name}` is a part of the id, for which tables have a text in its place: \
                         add a table with `rows = \"{name}[]\"`"
                    );
                    return Err(InvalidKey::new(of_table, reason));
                }
                self.add(Field::new(name, DataType::Utf8, true), Source::KeyText(place));
            }
            DataType::List(_) | DataType::Struct(_) => {
                let reason = format!(
                    "rows of tables are joined by the id, and `{name}` is a list or an object: \
                     a dataset with such an id has no tables"
                );
                return Err(InvalidKey::new(of_table, reason));
            }
            _ => {
                let is_own = rows.is_empty();
                self.add(Field::clone(field), Source::Value { place, is_own });
            }
        }
        Ok(())
    }
}

/// Adds the columns that a table does not share with others: the values of its rows themselves.
struct Own<'a> {
    rows: &'a [ListStep],
    /// The lists of all tables.
    lists: &'a [&'a [ListStep]],
    /// Columns that are there already.
    skipped: &'a [&'a str],
}

impl Own<'_> {
    /// Adds the columns among `fields`, to which `members` lead from a row of the table.
    fn add(&self, fields: &Fields, members: &[Member], columns: &mut Columns) {
        for (index, field) in fields.iter().enumerate() {
            let member = Member { name: field.name().clone(), index };
            let members = [members, &[member]].concat();
            match field.data_type() {
                DataType::Struct(inner) => {
                    self.add(inner, &members, columns);
                    continue;
                }
                DataType::List(_) | DataType::Map(..) if self.is_table(&members) => continue,
                _ => {}
            }
            if members.len() == 1 && self.skipped.contains(&field.name().as_str()) {
                continue;
            }
            let place = Lookup { level: self.rows.len(), lists: Vec::new(), value: members };
            let mut name = place.value_name();
            if let Some(list) = self.rows.last().filter(|_| columns.has(&name)) {
                name = format!("{}_{name}", singular(list));
            }
            let field = Field::new(name, field.data_type().clone(), true);
            columns.add(field, Source::Value { place, is_own: true });
        }
    }

    /// Whether the elements of a list are the rows of a table.
    fn is_table(&self, members: &[Member]) -> bool {
        let (depth, list) = (self.rows.len(), ListStep { members: members.to_vec(), filter: None });
        self.lists.iter().any(|lists| {
            lists.split_last().is_some_and(|(last, outer)| *last == list && outer == self.rows)
                && lists.len() == depth + 1
        })
    }
}

/// The columns of the elements of a list.
fn elements<'f>(fields: &'f Fields, members: &[Member]) -> Option<&'f Fields> {
    let (first, rest) = members.split_first()?;
    match fields.get(first.index)?.data_type() {
        DataType::Struct(inner) => elements(inner, rest),
        DataType::List(element) | DataType::Map(element, _) if rest.is_empty() => {
            match element.data_type() {
                DataType::Struct(inner) => Some(inner),
                _ => None,
            }
        }
        _ => None,
    }
}

fn seen_from(
    path: &ValuePath,
    fields: &Fields,
    rows: &[ListStep],
) -> Result<(Lookup, DataType), String> {
    let (lookup, data_type) = Lookup::of(path, fields)
        .ok_or("leads to no column, or has a filter by a column that is no string")?;
    Ok((lookup.seen_from(rows)?, data_type))
}

/// The type of a computed column, and the computation.
fn computed(
    computation: &Computation<ValuePath>,
    fields: &Fields,
    rows: &[ListStep],
) -> Result<(DataType, Computation<Lookup>), String> {
    let mut types = BTreeMap::new();
    let resolved = computation.map(|path| {
        let (lookup, data_type) =
            seen_from(path, fields, rows).map_err(|reason| format!("`{path}`: it {reason}"))?;
        types.insert(path.to_string(), data_type);
        Ok::<_, String>(lookup)
    })?;
    let type_of = |path: &ValuePath| types[&path.to_string()].clone();
    let wrong = |path: &ValuePath, expected: &str| Err(format!("`{path}` is not {expected}"));
    let data_type = match (computation, &resolved) {
        (
            Computation::First { value, by } | Computation::Last { value, by },
            Computation::First { value: values, by: order }
            | Computation::Last { value: values, by: order },
        ) => {
            if is_nested(&type_of(value)) {
                return wrong(value, "a value: name a column that is no list, object or map");
            }
            if let (Some(by), Some(order)) = (by, order) {
                if !matches!(type_of(by), DataType::Int64 | DataType::Timestamp(..)) {
                    return wrong(by, "a timestamp or an int64");
                }
                check_order(values, order).map_err(|reason| format!("`{by}`: {reason}"))?;
            }
            type_of(value)
        }
        (Computation::Sum { values, unit }, _) => match (type_of(values), unit) {
            (DataType::Int64, Unit::None) => DataType::Int64,
            (DataType::Int64 | DataType::Float64, _) => DataType::Float64,
            _ => return wrong(values, "an int64 or a double"),
        },
        (Computation::Seconds([from, to]), Computation::Seconds(lookups)) => {
            for (path, lookup) in [from, to].into_iter().zip(lookups) {
                if type_of(path) != timestamp() || !lookup.lists.is_empty() {
                    return wrong(path, "one timestamp of a row: it must lead into no other lists");
                }
            }
            DataType::Float64
        }
        _ => DataType::Boolean,
    };
    Ok((data_type, resolved))
}

/// Checks that `by` orders the values: it begins where they do.
fn check_order(values: &Lookup, by: &Lookup) -> Result<(), String> {
    let shared = shared_lists(&values.lists, &by.lists);
    if values.level != by.level || (shared == 0 && !values.lists.is_empty()) {
        return Err("it has no list in common with the values that it orders".to_owned());
    }
    let mut pairs = values.lists.iter().zip(&by.lists).take(shared);
    if pairs.any(|(values, by)| by.filter.is_some() && by.filter != values.filter) {
        return Err("a list that it shares with the values has another filter".to_owned());
    }
    Ok(())
}

fn is_object(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(_))
}

fn is_nested(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(_) | DataType::List(_) | DataType::Map(..))
}

/// Refuses columns that readers could not tell apart; some do not distinguish case.
fn check_names(fields: &[Field], of_table: &str) -> Result<(), InvalidKey> {
    let mut known = BTreeMap::from([(PARTITION.to_owned(), PARTITION)]);
    for field in fields {
        if let Some(other) = known.insert(field.name().to_lowercase(), field.name()) {
            let reason = if other == PARTITION {
                format!("a column cannot be called `{other}`, as the folders `{other}=…` are")
            } else {
                format!("two of its columns are called `{other}`: rename or leave out one")
            };
            return Err(InvalidKey::new(of_table, reason));
        }
    }
    Ok(())
}

/// The name of a list without the `s` of its plural.
fn singular(list: &ListStep) -> String {
    let name = list.members.last().map_or("", |member| &member.name);
    match name {
        _ if name.ends_with("ies") => format!("{}y", &name[..name.len() - 3]),
        _ if name.ends_with("sses") => name[..name.len() - 2].to_owned(),
        _ if name.ends_with("ss") => name.to_owned(),
        _ => name.strip_suffix('s').unwrap_or(name).to_owned(),
    }
}
