"""Read Parquet files of any columns, part by part."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from data_provider.series_table import require_distinct
from utils.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


def iterate_parquet(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """Read a Parquet file of any columns in frames of up to `rows` rows, whose columns have the
    same types, and whose index counts the rows of the file; it is read twice. A named index is a
    column.

    Raises:
        UserError: not such a file, no rows, two columns of the same name.
    """
    import pyarrow as pa  # takes a while to import
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            names = [
                field.name
                for field in schema
                if not (field.name.startswith("__index_level_") and pa.types.is_integer(field.type))
            ]
            require_distinct(path, names)
            if not file.metadata.num_rows:
                raise UserError(f"{path}: no rows")
            gaps = dict.fromkeys(names, False)
            for batch in file.iter_batches(rows, columns=names):
                for name in names:
                    gaps[name] |= batch[name].null_count > 0
            types = pa.schema(
                [(name, _type_in_batches(schema.field(name).type, gaps[name])) for name in names]
            )
            first = 0
            for batch in file.iter_batches(rows, columns=names):
                frame = pa.Table.from_batches([batch]).cast(types).to_pandas(ignore_metadata=True)
                frame.index += first
                first += len(frame)
                yield frame
    except pa.ArrowException as error:
        raise UserError(f"{path}: not a Parquet file that can be read: {error}") from error


def _type_in_batches(kind: "pa.DataType", has_gaps: bool) -> "pa.DataType":
    """The type in which every batch of a column gives the same type of pandas."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_decimal(kind) or (pa.types.is_integer(kind) and has_gaps):
        return pa.float64()
    if pa.types.is_boolean(kind) and has_gaps:
        return pa.string()
    return kind
