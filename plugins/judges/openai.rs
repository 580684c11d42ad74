//! A language model behind an endpoint that speaks OpenAI's chat completions, as vLLM, llama.cpp and Ollama do.

use std::time::Duration;

use sbp_plugin::prelude::*;
use sbp_plugin::slots::judge::{Judge, Opinion};
use serde_json::{Value, json};

/// What is asked unless the recipe says something else.
const PROMPT: &str = "You are given a seed document and a document that a language model wrote after reading it. Answer with one JSON \
                      object and nothing else: {\"factual\": true or false, \"relevant\": true or false}. \"factual\" is false \
                      if the written document states anything that is wrong. \"relevant\" is false if the written document is not \
                      related to the seed document.";

/// Asks a language model whether a text is true and whether it belongs to its seed document.
///
/// Model, prompt and endpoint stand in the report; a report by another judge is another figure. Answers are asked for at
/// temperature 0, which does not make every endpoint give the same one twice. Over `https` only where the program was built
/// with the feature `https`.
///
/// Cost: a request a document, of both documents' tokens, one after another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenaiConfig {
    /// The endpoint, up to and without `/chat/completions`.
    pub url: String,
    /// The model's name, as the endpoint knows it.
    pub model: String,
    /// What it is told before the two documents. It must ask for a JSON object with `factual` and `relevant`.
    #[serde(default = "default_prompt")]
    pub prompt: String,
    /// Name of the environment variable that holds the key of the endpoint, where it wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Seconds to wait for an answer.
    #[serde(default = "default_timeout")]
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 86_400.0))]
    pub timeout_secs: f64,
}

fn default_prompt() -> String {
    PROMPT.to_owned()
}
fn default_timeout() -> f64 {
    60.0
}

impl Plugin<slots::Judge> for OpenaiConfig {
    const KIND: &'static str = "openai";
    fn example() -> Self {
        Self {
            url: "http://localhost:8000/v1".to_owned(),
            model: "a-model".to_owned(),
            prompt: default_prompt(),
            api_key_env: None,
            timeout_secs: default_timeout(),
        }
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Judge>> {
        let timeout = Duration::from_secs_f64(self.timeout_secs);
        let agent = ureq::Agent::config_builder().timeout_global(Some(timeout)).build().new_agent();
        Ok(Box::new(OpenaiJudge { config: self.clone(), agent }))
    }
}
register!(slots::Judge => OpenaiConfig);

struct OpenaiJudge {
    config: OpenaiConfig,
    agent: ureq::Agent,
}

impl Judge for OpenaiJudge {
    fn card(&self) -> Value {
        json!({"url": self.config.url, "model": self.config.model, "prompt": self.config.prompt})
    }

    fn judge(&mut self, synthetic: &SyntheticDocument, seed: &Document) -> Result<Opinion> {
        let OpenaiConfig { url, model, prompt, api_key_env, .. } = &self.config;
        let documents = format!("Seed document:\n{}\n\nWritten document:\n{}", seed.text, synthetic.text);
        let body = json!({
            "model": model,
            "temperature": 0,
            "messages": [{"role": "system", "content": prompt}, {"role": "user", "content": documents}],
        });
        let mut request = self.agent.post(format!("{}/chat/completions", url.trim_end_matches('/')));
        if let Some(name) = api_key_env {
            let key = std::env::var(name)
                .map_err(|_| format!("the environment has no {name}, which `api_key_env` names"))?;
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let mut response = request.send_json(&body).map_err(|error| format!("{url}: {error}"))?;
        let answer: Value = response.body_mut().read_json().map_err(|error| format!("{url}: {error}"))?;
        let said = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
        opinion(said.ok_or_else(|| format!("{url}: an answer without a message: {answer}"))?)
    }
}

/// The first JSON object in what the model said, whatever it put around it.
fn opinion(said: &str) -> Result<Opinion> {
    let object = said.find('{').and_then(|start| {
        let mut values = serde_json::Deserializer::from_str(&said[start..]).into_iter::<Value>();
        values.next()?.ok()
    });
    let object = object.ok_or_else(|| format!("no JSON object in the answer {said:?}"))?;
    let field = |name: &str| object.get(name).and_then(Value::as_bool);
    Ok(Opinion { factual: field("factual"), relevant: field("relevant") })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use sbp_testkit::synthetic;

    use super::*;

    /// An endpoint that answers one request, and gives back what it was asked.
    fn endpoint(status: &'static str, answer: Value) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut chunk = [0; 4096];
            while !is_whole(&asked) {
                let read = stream.read(&mut chunk).unwrap();
                asked.extend_from_slice(&chunk[..read]);
            }
            let body = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (url, served)
    }

    /// Whether a request came to its end, told by its length or by an empty last chunk.
    fn is_whole(asked: &[u8]) -> bool {
        let text = String::from_utf8_lossy(asked).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        match length {
            Some(length) => body.len() >= length.trim().parse().unwrap(),
            None => body.ends_with("0\r\n\r\n"),
        }
    }

    fn judge(url: String) -> Result<Opinion> {
        let config = OpenaiConfig { url, ..OpenaiConfig::example() };
        let seed = Document::new("seed", "The mayor keeps bees.");
        let mut judge = config.build(&BuildContext::default()).unwrap();
        judge.judge(&synthetic(&seed, "Bees make honey."), &seed)
    }

    #[test]
    fn both_documents_are_sent_and_the_answer_is_read() {
        let said = "Sure! {\"factual\": true, \"relevant\": false} I hope that helps.";
        let (url, served) = endpoint("200 OK", json!({"choices": [{"message": {"content": said}}]}));
        assert_eq!(judge(url).unwrap(), Opinion { factual: Some(true), relevant: Some(false) });
        let asked = served.join().unwrap();
        assert!(asked.starts_with("POST /v1/chat/completions "), "{asked}");
        for part in ["The mayor keeps bees.", "Bees make honey.", "a-model"] {
            assert!(asked.contains(part), "{part} is missing in {asked}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_names_the_endpoint() {
        let (url, _served) = endpoint("500 Internal Server Error", json!({}));
        assert!(judge(url.clone()).unwrap_err().to_string().contains(&url));
        let (url, _served) = endpoint("200 OK", json!({"error": "busy"}));
        assert!(judge(url).unwrap_err().to_string().contains("without a message"));
        assert!(opinion("I cannot tell.").is_err());
        assert_eq!(opinion("{\"factual\": \"yes\"}").unwrap(), Opinion::default());
    }
}
