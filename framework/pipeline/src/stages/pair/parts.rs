//! Pairs as a product: Parquet files of the columns `seed_id`, `target_id`, `similarity` and `rank`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::RowAccessor;
use parquet::schema::parser::parse_message_type;
use sbp_core::{DocId, Pair};

use crate::{Error, Result, files};

/// Pairs of a file.
const PART: usize = 1 << 20;

/// Ids as everywhere: 16 hexadecimal digits.
const SCHEMA: &str = "message pairs {
    required binary seed_id (UTF8);
    required binary target_id (UTF8);
    required float similarity;
    required int32 rank (UINT_32);
}";

/// Writes pairs into `part-00000.parquet` and so on, in order.
pub(super) fn write(folder: &Path, pairs: &[Pair]) -> Result<()> {
    write_parts(folder, pairs, PART)
}

fn write_parts(folder: &Path, pairs: &[Pair], size: usize) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    files::create_folder(folder)?;
    for (number, part) in pairs.chunks(size).enumerate() {
        let path = folder.join(format!("part-{number:05}.parquet"));
        let bytes = encode(part).map_err(|error| files::invalid(&path, &error))?;
        files::write_whole(&path, &bytes)?;
    }
    Ok(())
}

fn encode(pairs: &[Pair]) -> std::result::Result<Vec<u8>, ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let ids = |id: fn(&Pair) -> DocId| -> Vec<ByteArray> {
        pairs.iter().map(|pair| ByteArray::from(id(pair).to_string().into_bytes())).collect()
    };
    let mut place = 0;
    while let Some(mut column) = group.next_column()? {
        match column.untyped() {
            ColumnWriter::ByteArrayColumnWriter(column) => {
                let of = if place == 0 { ids(|pair| pair.seed) } else { ids(|pair| pair.target) };
                column.write_batch(&of, None, None)?
            }
            ColumnWriter::FloatColumnWriter(column) => {
                let similarities: Vec<f32> = pairs.iter().map(|pair| pair.similarity).collect();
                column.write_batch(&similarities, None, None)?
            }
            ColumnWriter::Int32ColumnWriter(column) => {
                let ranks: Vec<i32> = pairs.iter().map(|pair| pair.rank.cast_signed()).collect();
                column.write_batch(&ranks, None, None)?
            }
            _ => return Err(ParquetError::General("a column of another type".to_owned())),
        };
        column.close()?;
        place += 1;
    }
    group.close()?;
    writer.into_inner()
}

/// Reads all parts of a folder, in order. Other files, such as those of an interrupted write or of a file
/// manager, are passed over.
pub(super) fn read(folder: &Path) -> Result<Vec<Pair>> {
    let entries = fs::read_dir(folder).map_err(Error::file("read", folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths: Vec<PathBuf> = paths.map_err(Error::file("read", folder))?;
    paths.retain(|path| is_part(path));
    paths.sort();
    let mut pairs = Vec::new();
    for path in paths {
        let file = File::open(&path).map_err(Error::file("read", &path))?;
        decode(file, &mut pairs).map_err(|error| files::invalid(&path, &error))?;
    }
    Ok(pairs)
}

/// Whether the file is named as [`write()`] names its own.
fn is_part(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix("part-")?.strip_suffix(".parquet"));
    number.is_some_and(|number| number.len() == 5 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

fn decode(file: File, pairs: &mut Vec<Pair>) -> std::result::Result<(), ParquetError> {
    let id = |text: &String| {
        let id = u64::from_str_radix(text, 16).map(DocId);
        id.map_err(|error| ParquetError::General(format!("{text:?} is no id: {error}")))
    };
    for row in SerializedFileReader::new(file)?.get_row_iter(None)? {
        let row = row?;
        pairs.push(Pair {
            seed: id(row.get_string(0)?)?,
            target: id(row.get_string(1)?)?,
            similarity: row.get_float(2)?,
            rank: row.get_uint(3)?,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stray_files_are_no_parts() {
        let folder = tempfile::tempdir().unwrap();
        let pairs = [Pair { seed: DocId(1), target: DocId(2), similarity: 0.5, rank: 0 }];
        write(folder.path(), &pairs).unwrap();
        let strays = [
            ".DS_Store",
            "part-00001.parquet.tmp",
            "part-1.parquet",
            "part-0000x.parquet",
            "._part-00000.parquet",
        ];
        for stray in strays {
            fs::write(folder.path().join(stray), "no pairs").unwrap();
        }
        assert_eq!(read(folder.path()).unwrap(), pairs);
    }

    #[test]
    fn pairs_survive_the_disk_in_parts_and_a_cut_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let pairs: Vec<Pair> = (0..25_u64)
            .map(|n| Pair {
                seed: DocId(n),
                target: DocId(u64::MAX - n),
                similarity: -0.5 + n as f32 / 31.0,
                rank: u32::MAX - n as u32,
            })
            .collect();
        for size in [1, 10, 25, 100] {
            write_parts(folder.path(), &pairs, size).unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), pairs.len().div_ceil(size));
            assert_eq!(read(folder.path()).unwrap(), pairs);
        }
        let path = folder.path().join("part-00000.parquet");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("part-00000.parquet"));
    }
}
