//! Gives a batch of rows the columns that their dataset has now, for [`upgrade`](super::upgrade).

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, ListArray, MapArray, PrimitiveArray, RecordBatch,
        RecordBatchOptions, StructArray, new_null_array,
    },
    datatypes::{
        DataType, Fields, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    },
    error::ArrowError,
};

/// Returns the rows with the columns of `schema`: times in milliseconds become microseconds, and
/// columns that the rows lack are null.
///
/// # Errors
/// If a column has another type, or a time in microseconds does not fit 64 bits.
pub(crate) fn with_columns(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let find = |name: &str| batch.column_by_name(name).cloned();
    let columns = fields(schema.fields(), batch.num_rows(), find)?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// The columns of an object, each from the one of the same name.
fn fields(
    fields: &Fields,
    rows: usize,
    find: impl Fn(&str) -> Option<ArrayRef>,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let column = |name: &str, data_type: &DataType| match find(name) {
        Some(column) => with_type(&column, data_type),
        None => Ok(new_null_array(data_type, rows)),
    };
    fields.iter().map(|field| column(field.name(), field.data_type())).collect()
}

fn with_type(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    use DataType::{List, Map, Struct, Timestamp};
    let nulls = array.nulls().cloned();
    Ok(match (array.data_type(), wanted) {
        (same, wanted) if same == wanted => Arc::clone(array),
        (Timestamp(TimeUnit::Millisecond, _), Timestamp(TimeUnit::Microsecond, zone)) => {
            let times = array.as_primitive::<TimestampMillisecondType>();
            let microseconds: PrimitiveArray<TimestampMicrosecondType> = times.try_unary(|ms| {
                ms.checked_mul(1_000).ok_or_else(|| {
                    ArrowError::ArithmeticOverflow(format!("the time {ms} ms is too far away"))
                })
            })?;
            Arc::new(microseconds.with_timezone_opt(zone.clone()))
        }
        (Struct(_), Struct(wanted)) => {
            let old = array.as_struct();
            let columns = fields(wanted, old.len(), |name| old.column_by_name(name).cloned())?;
            Arc::new(StructArray::try_new(wanted.clone(), columns, nulls)?)
        }
        (List(_), List(element)) => {
            let old = array.as_list::<i32>();
            let values = with_type(old.values(), element.data_type())?;
            let (element, ends) = (Arc::clone(element), old.offsets().clone());
            Arc::new(ListArray::try_new(element, ends, values, nulls)?)
        }
        (Map(..), Map(entry, is_sorted)) => {
            let old = array.as_map();
            let entries: ArrayRef = Arc::new(old.entries().clone());
            let entries = with_type(&entries, entry.data_type())?.as_struct().clone();
            let (entry, ends) = (Arc::clone(entry), old.offsets().clone());
            Arc::new(MapArray::try_new(entry, ends, entries, nulls, *is_sorted)?)
        }
        (found, wanted) => {
            let message = format!("a column of {found} cannot become one of {wanted}");
            return Err(ArrowError::SchemaError(message));
        }
    })
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int64Array, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray},
        buffer::{NullBuffer, OffsetBuffer},
        datatypes::{Field, Schema},
    };

    use super::*;

    fn times(unit: TimeUnit) -> DataType {
        DataType::Timestamp(unit, Some("UTC".into()))
    }

    /// A row of an id, and of a list of sessions that have a time, in this unit.
    fn schema(unit: TimeUnit, more: Option<Field>) -> SchemaRef {
        let mut session = vec![Field::new("at", times(unit), true)];
        session.extend(more);
        let element = Field::new("element", DataType::Struct(session.into()), true);
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("sessions", DataType::List(element.into()), true),
        ]))
    }

    fn rows() -> RecordBatch {
        let schema = schema(TimeUnit::Millisecond, None);
        let DataType::List(element) = schema.field(1).data_type() else { panic!() };
        let DataType::Struct(fields) = element.data_type() else { panic!() };
        let at = TimestampMillisecondArray::from(vec![Some(-1), None, Some(1_704_067_200_123)]);
        let at: ArrayRef = Arc::new(at.with_timezone("UTC"));
        let nulls = Some(NullBuffer::from(vec![true, true, true]));
        let sessions = StructArray::try_new(fields.clone(), vec![at], nulls).unwrap();
        let ends = OffsetBuffer::from_lengths([2, 0, 1]);
        let nulls = Some(NullBuffer::from(vec![true, false, true]));
        let list = ListArray::try_new(Arc::clone(element), ends, Arc::new(sessions), nulls);
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
        RecordBatch::try_new(schema, vec![ids, Arc::new(list.unwrap())]).unwrap()
    }

    #[test]
    fn nested_times_become_microseconds_and_new_columns_are_null() {
        let new = Field::new("new", DataType::Int64, true);
        let upgraded = with_columns(&rows(), &schema(TimeUnit::Microsecond, Some(new))).unwrap();
        assert_eq!(upgraded.column(0).as_string::<i32>(), &StringArray::from(vec!["a", "b", "c"]));
        let list = upgraded.column(1).as_list::<i32>();
        assert_eq!(list.offsets().as_ref(), [0, 2, 2, 3]);
        assert_eq!([0, 1, 2].map(|row| list.is_null(row)), [false, true, false]);
        let sessions = list.values().as_struct();
        let expected = [Some(-1_000), None, Some(1_704_067_200_123_000)];
        let expected = TimestampMicrosecondArray::from(expected.to_vec()).with_timezone("UTC");
        assert_eq!(sessions.column(0).as_primitive::<TimestampMicrosecondType>(), &expected);
        assert_eq!(sessions.column(1).as_ref(), &Int64Array::new_null(3));
    }

    #[test]
    fn a_column_of_another_type_and_a_time_too_far_away_are_refused() {
        let other = Field::new("at", DataType::Int64, true);
        let mut fields = vec![Field::new("id", DataType::Int64, false)];
        let error = with_columns(&rows(), &Arc::new(Schema::new(fields.clone()))).unwrap_err();
        assert!(error.to_string().contains("Utf8 cannot become one of Int64"), "{error}");
        fields[0] = other;
        let far: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![i64::MAX]));
        let error = with_type(&far, &times(TimeUnit::Microsecond)).unwrap_err();
        assert!(error.to_string().contains("too far away"), "{error}");
    }
}
