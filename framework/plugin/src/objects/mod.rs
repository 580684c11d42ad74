//! Objects: files in the buckets of S3 and what speaks its language, of Google Cloud Storage and of Azure.
//!
//! The rest of the framework is not asynchronous and stays so: everything here waits for its answer, and many threads may
//! wait at once. What a bucket is reached by comes from the environment, under the names that each service's own tools use.

mod bucket;
mod client;
mod explain;
mod find;
mod read;
#[cfg(test)]
mod server;
mod url;

pub use self::bucket::Bucket;
pub(crate) use self::find::{Listing, files_of};
pub use self::read::{Lost, ObjectReader, is_lost};
pub use self::url::{ObjectUrl, is_url};
