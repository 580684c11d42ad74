//! Why something could not be done with an object: the URL, the cause in a line, and what to do.

use std::error::Error as _;

use object_store::Error as StoreError;
use object_store::client::{HttpError, HttpErrorKind};

use super::url::{ObjectUrl, Service};
use crate::Error;

/// Most characters of what a service says that are passed on.
const MOST: usize = 300;

pub(super) fn explain(action: &str, url: &ObjectUrl, error: &StoreError) -> Error {
    let (answer, service) = (deepest(error), url.service);
    let said = in_a_line(&answer);
    // Some requests keep what the service answered inside an error of another kind.
    let is = |status: &str, named: bool| named || answer.contains(status);
    let is_missing = is("404 Not Found", matches!(error, StoreError::NotFound { .. }));
    let is_denied = is("403 Forbidden", matches!(error, StoreError::PermissionDenied { .. }))
        || is("401 Unauthorized", matches!(error, StoreError::Unauthenticated { .. }));
    let is_changed = is("412 Precondition Failed", matches!(error, StoreError::Precondition { .. }));
    let (cause, remedy) = if is_about_bucket(&answer) {
        (
            format!("there is no bucket {}", url.bucket),
            format!("check its name; {} says where buckets are looked for", service.endpoint()),
        )
    } else if is_missing {
        ("there is no such object".to_owned(), "check the URL, or upload what it should name".to_owned())
    } else if lacks_credentials(&answer, error) {
        ("no credentials are given".to_owned(), service.credentials())
    } else if is_denied {
        (format!("access is denied{}", in_brackets(&said)), service.credentials())
    } else if is_changed {
        ("it was changed while it was read".to_owned(), "run again once nobody writes to it".to_owned())
    } else if is_unreachable(error) {
        (
            format!("the service cannot be reached{}", in_brackets(&said)),
            format!("check the network and {}, and run again", service.endpoint()),
        )
    } else if answer.contains("region") {
        (
            format!("the bucket is not where it is looked for{}", in_brackets(&said)),
            format!("set {} to the bucket's own", service.region()),
        )
    } else {
        (said, format!("run again; if it stays so, check {}", service.endpoint()))
    };
    format!("cannot {action} {url}: {cause}; {remedy}").into()
}

impl Service {
    fn credentials(self) -> String {
        match self {
            Self::S3 => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if you have one) of someone who may, or \
                 AWS_SKIP_SIGNATURE=true for a public bucket"
            }
            Self::Google => {
                "set GOOGLE_APPLICATION_CREDENTIALS to a file of credentials of someone who may, or \
                 GOOGLE_SKIP_SIGNATURE=true for a public bucket"
            }
            Self::Azure => {
                "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN of someone who may, \
                 or AZURE_SKIP_SIGNATURE=true for a public container"
            }
        }
        .to_owned()
    }

    fn endpoint(self) -> &'static str {
        match self {
            Self::S3 => "AWS_ENDPOINT_URL",
            Self::Google => "GOOGLE_BASE_URL",
            Self::Azure => "AZURE_STORAGE_ENDPOINT",
        }
    }

    fn region(self) -> &'static str {
        match self {
            Self::S3 => "AWS_REGION",
            Self::Google | Self::Azure => self.endpoint(),
        }
    }
}

fn is_about_bucket(answer: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"].iter().any(|it| answer.contains(it))
}

/// Without any, clients ask the machine that they run on for some, which only machines of the cloud answer.
fn lacks_credentials(answer: &str, error: &StoreError) -> bool {
    let all = error.to_string();
    ["169.254.169.254", "metadata.google.internal", "latest/api/token", "/metadata/identity"]
        .iter()
        .any(|it| all.contains(it))
        || answer.contains("Account must be specified")
}

fn is_unreachable(error: &StoreError) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return matches!(
                http.kind(),
                HttpErrorKind::Connect
                    | HttpErrorKind::Timeout
                    | HttpErrorKind::Request
                    | HttpErrorKind::Interrupted
            );
        }
        next = error.source();
    }
    false
}

fn in_brackets(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

/// What the service or the system says itself.
fn deepest(error: &StoreError) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// The same in a line.
fn in_a_line(text: &str) -> String {
    let part = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside.trim())
    };
    // Services answer in XML.
    let text = match (part("Code"), part("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => text.to_owned(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches([':', '.', ' ']);
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_cause_and_remedy_are_told_for_each_service() {
        let told = |url: &str, error: StoreError| {
            explain("read", &ObjectUrl::parse(url).expect("a URL"), &error).to_string()
        };
        let missing =
            |said: &str| StoreError::NotFound { path: "k".to_owned(), source: said.to_owned().into() };
        assert_eq!(
            told("s3://b/k", missing("<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")),
            "cannot read s3://b/k: there is no such object; check the URL, or upload what it should name"
        );
        let bucket = told("s3://b/k", missing("<Error><Code>NoSuchBucket</Code></Error>"));
        assert!(bucket.contains("there is no bucket s3://b; check") && bucket.contains("AWS_ENDPOINT_URL"));
        for (url, variable) in [
            ("s3://b/k", "AWS_ACCESS_KEY_ID"),
            ("gs://b/k", "GOOGLE_APPLICATION_CREDENTIALS"),
            ("az://c/k", "AZURE_STORAGE_ACCOUNT_KEY"),
        ] {
            let source = "<Code>AccessDenied</Code>\n<Message>Not\nyou.</Message>".into();
            let denied = told(url, StoreError::PermissionDenied { path: "k".to_owned(), source });
            assert!(
                denied.contains(variable) && denied.contains("denied (AccessDenied: Not you)"),
                "{denied}"
            );
        }
        let listed = "status code: 403 Forbidden: <Code>AccessDenied</Code>".into();
        let listed = told("s3://b/k", StoreError::Generic { store: "S3", source: listed });
        assert!(listed.contains("access is denied (AccessDenied)"), "{listed}");
        let long = StoreError::Generic { store: "S3", source: "ä".repeat(1000).into() };
        assert!(told("s3://b/k", long).chars().count() < MOST + 200);
    }
}
