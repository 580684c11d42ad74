//! What talks to a service, set up from the environment; one for each bucket, and one runtime for all.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use tokio::runtime::Runtime;

use super::explain::explain;
use super::url::{ObjectUrl, Service};
use crate::Result;

/// How often a request is tried again, with pauses that grow to half a minute in all: services ask for such when they are
/// short of breath.
const TRIES: usize = 12;

/// How much longer a pause may be than the one before it.
const GROWTH: f64 = 3.0;

/// How long a request may take with all its tries.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a connection may be silent.
const SILENCE: &str = "60 seconds";

/// How long one request may take with its whole body. The client's own 30 seconds would end the reading of every large
/// object; a reader goes on where this ends it.
const REQUEST: &str = "10 minutes";

/// One thread drives all connections: they mostly wait, and what is read is worked on by those who read it.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    // Fails where another part of the program has chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("objects").enable_all().build()
});

/// Connections are kept open for whoever comes next to a bucket.
static CLIENTS: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>> = Mutex::new(BTreeMap::new());

/// The runtime that connections live in.
pub(super) fn runtime() -> Result<&'static Runtime> {
    RUNTIME
        .as_ref()
        .map_err(|error| format!("a thread for connections cannot be started: {error}; allow more").into())
}

/// Waits for an answer.
pub(super) fn wait<T>(answer: impl Future<Output = T>) -> Result<T> {
    Ok(runtime()?.block_on(answer))
}

/// The client of a URL's bucket.
pub(super) fn client(url: &ObjectUrl) -> Result<Arc<dyn ObjectStore>> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients.get(&url.bucket) {
        return Ok(Arc::clone(client));
    }
    runtime()?;
    let backoff = BackoffConfig { base: GROWTH, ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: TRIES, retry_timeout: PATIENCE };
    let client = of_environment(url, retry).map_err(|error| explain("reach", url, &error))?;
    clients.insert(url.bucket.clone(), Arc::clone(&client));
    Ok(client)
}

fn of_environment(url: &ObjectUrl, retry: RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> {
    let options = [
        (ClientConfigKey::Timeout, REQUEST),
        (ClientConfigKey::ReadTimeout, SILENCE),
        (ClientConfigKey::UserAgent, concat!("sbp/", env!("CARGO_PKG_VERSION"))),
    ];
    // Whoever names an endpoint without TLS means it.
    let is_plain = |endpoint: Option<String>| endpoint.is_some_and(|it| it.starts_with("http://"));
    Ok(match url.service {
        Service::S3 => {
            let mut builder = AmazonS3Builder::from_env().with_url(&url.bucket).with_retry(retry);
            let endpoints = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
            if endpoints.iter().any(|key| is_plain(builder.get_config_value(key))) {
                builder = builder.with_config(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp), "true");
            }
            for (key, value) in options {
                builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
            }
            Arc::new(builder.build()?)
        }
        Service::Google => {
            let mut builder = GoogleCloudStorageBuilder::from_env().with_url(&url.bucket).with_retry(retry);
            if is_plain(builder.get_config_value(&GoogleConfigKey::BaseUrl)) {
                builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true");
            }
            for (key, value) in options {
                builder = builder.with_config(GoogleConfigKey::Client(key), value);
            }
            Arc::new(builder.build()?)
        }
        Service::Azure => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_url(&url.bucket).with_retry(retry);
            if is_plain(builder.get_config_value(&AzureConfigKey::Endpoint)) {
                builder = builder.with_config(AzureConfigKey::Client(ClientConfigKey::AllowHttp), "true");
            }
            for (key, value) in options {
                builder = builder.with_config(AzureConfigKey::Client(key), value);
            }
            Arc::new(builder.build()?)
        }
    })
}
