//! A server for tests: one object, and connections that break where a test wants it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, RetryConfig};

/// Answers each request in turn.
pub(super) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Server {
    /// Serves an object; each answer stops after so many bytes, or goes to its end. After the last answer the server
    /// is gone.
    pub(super) fn start(object: Vec<u8>, tag: Option<&'static str>, answers: &[Option<usize>]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, log) = (answers.to_vec(), Arc::clone(&asked));
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((stream, _)) = listener.accept() else { return };
                let from = asked_from(&stream);
                log.lock().expect("unpoisoned").push(from);
                // Whoever asked may be gone.
                let _ = respond(stream, &object, tag, from, answer);
            }
        });
        Self { address, asked }
    }

    /// The byte that each request asked for the object from; none where it asked for all of it.
    pub(super) fn asked(&self) -> Vec<Option<u64>> {
        self.asked.lock().expect("unpoisoned").clone()
    }
}

/// A client of it that nothing is secret from.
pub(super) fn client_of(server: &Server) -> Arc<dyn ObjectStore> {
    let retry = RetryConfig { max_retries: 2, ..RetryConfig::default() };
    let builder =
        AmazonS3Builder::new().with_bucket_name("bucket").with_endpoint(&server.address).with_retry(retry);
    super::client::runtime().expect("a runtime");
    Arc::new(builder.with_allow_http(true).with_skip_signature(true).build().expect("a client"))
}

fn asked_from(stream: &TcpStream) -> Option<u64> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let ranges: Vec<u64> = lines
        .filter_map(|line| {
            let line = line.to_lowercase();
            line.strip_prefix("range: bytes=")?.split('-').next()?.parse().ok()
        })
        .collect();
    ranges.first().copied()
}

fn respond(
    mut stream: TcpStream,
    object: &[u8],
    tag: Option<&str>,
    from: Option<u64>,
    most: Option<usize>,
) -> std::io::Result<()> {
    let len = object.len();
    let rest = &object[from.unwrap_or(0) as usize..];
    let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", rest.len());
    head += "Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n";
    if let Some(tag) = tag {
        head += &format!("ETag: {tag}\r\n");
    }
    if let Some(from) = from {
        head += &format!("Content-Range: bytes {from}-{}/{len}\r\n", len - 1);
    }
    write!(stream, "{head}\r\n")?;
    stream.write_all(&rest[..most.unwrap_or(rest.len()).min(rest.len())])
}
